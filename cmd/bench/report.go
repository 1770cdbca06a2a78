package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// report is everything that was measured.
type report struct {
	Time    time.Time `json:"time"`
	Machine machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Seconds int       `json:"seconds"`
	Figures []*figure `json:"figures"`
}

// figure is one thing that was measured, a value a round.
type figure struct {
	Row      string    `json:"row"`
	Case     string    `json:"case"`
	What     string    `json:"what"`
	Unit     string    `json:"unit,omitempty"`
	Bare     []float64 `json:"bare,omitempty"` // none where there is no limit to compare with
	Causeway []float64 `json:"causeway"`
	Value    float64   `json:"value"` // what the bar is about: the median ratio, or the median itself
	Least    float64   `json:"least"` // of the rounds
	Most     float64   `json:"most"`
	Bar      *bar      `json:"bar,omitempty"` // none: context
	Met      *bool     `json:"met,omitempty"`
}

// bar is what the design asks for.
type bar struct {
	Ratio bool    `json:"ratio"` // of causeway to the bare one; else of causeway's own value
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
}

func atLeast(ratio float64) *bar { return &bar{Ratio: true, Least: ratio} }
func atMost(ratio float64) *bar  { return &bar{Ratio: true, Most: ratio} }
func noMore(value float64) *bar  { return &bar{Most: value} }

func (b *bar) met(value float64) bool {
	return value >= b.Least && (b.Most == 0 || value <= b.Most)
}

func (b *bar) String() string {
	switch {
	case b == nil:
		return ""
	case b.Most > 0:
		return fmt.Sprintf("<= %.2f", b.Most)
	default:
		return fmt.Sprintf(">= %.2f", b.Least)
	}
}

func newReport(ctx context.Context, o options) *report {
	return &report{Time: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(ctx, o.causeway), Rounds: o.rounds, Seconds: o.seconds}
}

// pair is a case of a row, measured on both sides.
type pair struct {
	report    *report
	row, kind string
}

func (r *report) pair(row, kind string) pair { return pair{r, row, kind} }

func (p pair) String() string { return p.row + ", " + p.kind }

// add notes a round's value; bare is 0 where there is nothing to compare with.
func (p pair) add(what, unit string, b *bar, bare, causeway float64) {
	i := slices.IndexFunc(p.report.Figures, func(f *figure) bool { return f.Row == p.row && f.Case == p.kind && f.What == what })
	if i < 0 {
		i = len(p.report.Figures)
		p.report.Figures = append(p.report.Figures, &figure{Row: p.row, Case: p.kind, What: what, Unit: unit, Bar: b})
	}
	f := p.report.Figures[i]
	f.Causeway = append(f.Causeway, causeway)
	if bare > 0 {
		f.Bare = append(f.Bare, bare)
	}
	f.judge()
}

// judge compares round by round: a round's two measurements stand next to each other
// in time, so that what the machine does meanwhile strikes both.
func (f *figure) judge() {
	values := slices.Clone(f.Causeway)
	if len(f.Bare) == len(values) {
		for i := range values {
			values[i] /= f.Bare[i]
		}
	}
	f.Value, f.Least, f.Most = median(values), slices.Min(values), slices.Max(values)
	if f.Bar != nil {
		f.Met = new(f.Bar.met(f.Value))
	}
}

// write prints the table.
func (r *report) write(to io.Writer) {
	fmt.Fprintf(to, "%s\n%d rounds of %d s; medians, and the spread of the rounds\n\n", r.Machine, r.Rounds, r.Seconds)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "row\tcase\twhat\tbare\tcauseway\tratio\tspread\tbar\t")
	last := ""
	for _, f := range r.Figures {
		row, kind := f.Row, f.Case
		if row+kind == last {
			row, kind = "", ""
		}
		last = cmp.Or(row+kind, last)
		ratio, spread := "", fmt.Sprintf("%s to %s", number4(f.Least), number4(f.Most))
		bare := ""
		if len(f.Bare) > 0 {
			bare = number4(median(f.Bare)) + " " + f.Unit
		}
		if len(f.Bare) == len(f.Causeway) {
			ratio = fmt.Sprintf("%.2f", f.Value)
			spread = fmt.Sprintf("%.2f to %.2f", f.Least, f.Most)
		}
		verdict := ""
		switch {
		case f.Met == nil:
		case *f.Met:
			verdict = "pass"
		default:
			verdict = "MISS"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s %s\t%s\t%s\t%s\t%s\n", row, kind, f.What, bare, number4(median(f.Causeway)), f.Unit, ratio, spread, f.Bar, verdict)
	}
	_ = w.Flush() // to a terminal, as above
}

// number4 writes a number with three or four digits.
func number4(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func (r *report) save(path string) error {
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(out, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep the figures: %w", err)
	}
	return nil
}
