package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pair is a key of a mapping with its value, in the order of the Go type; without a
// key it is a comment.
type pair struct {
	key   string
	value any // mapping, []any, string, json.Number, bool, nil; of a comment, its text
}

type mapping []pair

// treeOf gives a value as its JSON says it, with the order of its keys.
func treeOf(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write the result: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return nextTree(dec)
}

func nextTree(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("write the result: %w", err)
	}
	switch token {
	case json.Delim('{'):
		m := mapping{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, fmt.Errorf("write the result: %w", err)
			}
			value, err := nextTree(dec)
			if err != nil {
				return nil, err
			}
			m = append(m, pair{fmt.Sprint(key), value})
		}
		_, err := dec.Token()
		return m, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			item, err := nextTree(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := dec.Token()
		return list, err
	}
	return token, nil
}

// pruned is a mapping without what says nothing: null, and mappings with nothing in them.
func pruned(m mapping) mapping {
	var kept mapping
	for _, p := range m {
		if below, ok := p.value.(mapping); ok {
			p.value = pruned(below)
		}
		if below, ok := p.value.(mapping); p.value == nil || ok && len(below) == 0 {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// writeYAML writes a tree as YAML that readYAML reads, in block style only.
func writeYAML(w io.Writer, tree any) error {
	var b strings.Builder
	switch t := tree.(type) {
	case mapping:
		writeMapping(&b, t, 0, false)
		if len(t) == 0 {
			b.WriteString("{}\n")
		}
	case []any:
		writeList(&b, t, 0)
		if len(t) == 0 {
			b.WriteString("[]\n")
		}
	default:
		b.WriteString(scalar(tree) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeMapping writes a mapping; its first key may stand behind a list's dash.
func writeMapping(b *strings.Builder, m mapping, depth int, behindDash bool) {
	for i, p := range m {
		if i > 0 || !behindDash {
			b.WriteString(strings.Repeat("  ", depth))
		}
		if p.key == "" {
			fmt.Fprintf(b, "# %s\n", printable(fmt.Sprint(p.value), 1000))
			continue
		}
		b.WriteString(quoted(p.key) + ":")
		writeBelow(b, p.value, depth)
	}
}

// writeBelow writes what stands behind a key.
func writeBelow(b *strings.Builder, value any, depth int) {
	switch v := value.(type) {
	case mapping:
		if len(v) > 0 {
			b.WriteString("\n")
			writeMapping(b, v, depth+1, false)
			return
		}
		b.WriteString(" {}\n")
	case []any:
		if len(v) > 0 {
			b.WriteString("\n")
			writeList(b, v, depth+1)
			return
		}
		b.WriteString(" []\n")
	default:
		b.WriteString(" " + scalar(v) + "\n")
	}
}

func writeList(b *strings.Builder, list []any, depth int) {
	for _, item := range list {
		b.WriteString(strings.Repeat("  ", depth) + "- ")
		switch v := item.(type) {
		case mapping:
			if len(v) > 0 {
				writeMapping(b, v, depth+1, true)
				continue
			}
			b.WriteString("{}\n")
		case []any:
			// No type has lists in lists; JSON is YAML as well.
			text, err := json.Marshal(v)
			if err != nil {
				text = []byte("[]")
			}
			b.Write(append(text, '\n'))
		default:
			b.WriteString(scalar(v) + "\n")
		}
	}
}

func scalar(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return quoted(v)
	default:
		return fmt.Sprint(v)
	}
}

// plainText is text that means itself in YAML without quotes: names, references, URLs.
var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./+@-]*(:[A-Za-z0-9_./+@-]+)*$`)

// quoted is text as YAML reads it back: double quotes know the escapes that Go writes.
func quoted(text string) string {
	words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	if plainText.MatchString(text) && !slices.Contains(words, strings.ToLower(text)) {
		return text
	}
	return strconv.Quote(text)
}
