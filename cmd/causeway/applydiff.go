package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

// mark is how an action is written: a sign, and its colour on a terminal.
type mark struct{ sign, colour string }

func marks() map[catalog.Action]mark {
	return map[catalog.Action]mark{
		catalog.ActionAdd:      {"+", "\x1b[32m"},
		catalog.ActionChange:   {"~", "\x1b[33m"},
		catalog.ActionRemove:   {"-", "\x1b[31m"},
		catalog.ActionConflict: {"!", "\x1b[35m"},
	}
}

// writeDifferences shows what an apply did or, on a dry run, would do, for people.
func writeDifferences(w io.Writer, applied admin.Applied, dry, colour bool) {
	signs := marks()
	for _, d := range applied.Differences {
		m := signs[d.Action]
		end := ""
		if colour {
			end = "\x1b[0m"
		} else {
			m.colour = ""
		}
		owner := ""
		if d.Tenant != "" {
			owner = " of tenant " + printable(d.Tenant, 64)
		}
		fmt.Fprintf(w, "%s%s %s %s%s%s\n", m.colour, m.sign, d.Kind, printable(d.Name, 64), owner, end)
		if d.Text != "" {
			fmt.Fprintf(w, "    %s\n", printable(d.Text, 500))
		}
		if d.Action != catalog.ActionChange {
			continue
		}
		for _, f := range d.Fields {
			fmt.Fprintf(w, "    %s: %s\n", printable(f.Path, 128), changeOf(f))
		}
	}
	n := countActions(applied.Differences)
	form := "%d added, %d changed, %d removed, %d unchanged"
	if dry {
		form = "%d to add, %d to change, %d to remove, %d unchanged"
	}
	fmt.Fprintf(w, form, n[catalog.ActionAdd], n[catalog.ActionChange], n[catalog.ActionRemove], applied.Unchanged)
	if n[catalog.ActionConflict] > 0 {
		fmt.Fprintf(w, "; %d in conflict, so nothing is done", n[catalog.ActionConflict])
	}
	fmt.Fprintln(w)
}

// countActions counts the differences by what becomes of the entry.
func countActions(differences []catalog.Difference) map[catalog.Action]int {
	n := map[catalog.Action]int{}
	for _, d := range differences {
		n[d.Action]++
	}
	return n
}

// changeOf says how a field changes. Of secrets only that they do: the API shows none,
// and a table of references is nothing to read.
func changeOf(f catalog.FieldDifference) string {
	if top, _, _ := strings.Cut(f.Path, "."); top == "secrets" || top == "retire" {
		return "changed"
	}
	return fieldText(f.Before) + " -> " + fieldText(f.After)
}

// fieldText is a value as people write it: a text without its quotes.
func fieldText(value json.RawMessage) string {
	if len(value) == 0 || string(value) == "null" {
		return "(none)"
	}
	var text string
	if json.Unmarshal(value, &text) == nil && text != "" {
		return printable(text, 200)
	}
	return printable(string(value), 200)
}
