package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// choice is a flag with a closed set of words.
type choice struct {
	text string
	of   []string
}

func (c *choice) String() string { return c.text }

// Type names the value in the help.
func (c *choice) Type() string { return "word" }

// Set takes one of the words.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.of, text) {
		return fmt.Errorf("use one of %s%s", strings.Join(c.of, ", "), didYouMean(text, c.of))
	}
	c.text = text
	return nil
}

// complete lets the shell propose the words.
func (c *choice) complete(cmd *cobra.Command, flag string) {
	completeFlag(cmd, flag, cobra.FixedCompletions(c.of, cobra.ShellCompDirectiveNoFileComp))
}

// writeValue writes a result as JSON or YAML, and says whether it was asked for so.
func (a *api) writeValue(value any) (bool, error) {
	switch a.output.text {
	case "json":
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(value); err != nil {
			return true, err
		}
		_, err := a.stdout.Write(escapeJSON(text.Bytes()))
		return true, err
	case "yaml":
		tree, err := treeOf(value)
		if err != nil {
			return true, err
		}
		return true, writeYAML(a.stdout, tree)
	}
	return false, nil
}

// escapeJSON escapes what JSON lets stand in a text and a terminal could take as a
// command (U+009B is one more ESC [), or would not show: what an endpoint answered, or a
// tenant wrote, is shown to the operator.
func escapeJSON(text []byte) []byte {
	safe := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			safe = utf8.AppendRune(safe, r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				safe = fmt.Appendf(safe, `\u%04x`, unit)
			}
		}
	}
	return safe
}

// named says whether only names were asked for.
func (a *api) named() bool { return a.output.text == "name" }

// say writes a line about what was done, unless only a name or a value was asked for.
func (a *api) say(format string, args ...any) {
	fmt.Fprintf(a.stdout, format+"\n", args...)
}

// colours says whether a writer is a terminal whose user did not ask for none.
func colours(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// moment writes a time for people.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// several is a list in a column.
func several(list []string) string { return column(strings.Join(list, " ")) }
