package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// fault is one thing wrong with the configuration.
type fault struct {
	keys keys
	at   position
	text string // what is wrong and what is allowed
}

// configError is everything wrong with the configuration, in the order of the file.
type configError struct {
	file   string
	faults []fault
}

func (e *configError) Error() string {
	slices.SortStableFunc(e.faults, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.at.variable, b.at.variable), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	lines := make([]string, 0, len(e.faults))
	for _, f := range e.faults {
		where := e.file
		switch {
		case f.at.variable != "":
			where = f.at.variable
		case where == "":
			where = "configuration"
		case f.at.line > 0:
			where = fmt.Sprintf("%s:%d:%d", e.file, f.at.line, f.at.column)
		}
		if len(f.keys) > 0 {
			where += ": " + f.keys.String()
		}
		// Texts quote names from the file, and not every author of one thinks of terminals.
		lines = append(lines, printable(where+": "+f.text, 2000))
	}
	return strings.Join(lines, "\n")
}

// didYouMean proposes the allowed word that is nearest to what was written, or
// nothing when none is near.
func didYouMean(word string, allowed []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 1+len(word)/3
	for _, candidate := range allowed {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d <= least && (best == "" || d < least) {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance counts the letters to add, drop, change or swap with their neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
		for j := 1; j <= len(b); j++ {
			if i == 0 {
				rows[0][j] = j
				continue
			}
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
