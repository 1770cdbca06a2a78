// Package delay turns waits into delay topics and says when a record that sits
// in one is due.
//
// Each tier is one topic whose records all wait equally long, so that the first
// one is always due first and nothing has to be sorted or sought. A wait is a
// planned sum of whole tiers: one write for each, never one more.
package delay

import "time"

// Tier is one delay topic.
type Tier struct {
	Name string // as in the topic: 30m
	Wait time.Duration
}

// Tiers lists the tiers, shortest first.
func Tiers() []Tier {
	return []Tier{
		{"1s", time.Second},
		{"5s", 5 * time.Second},
		{"30s", 30 * time.Second},
		{"5m", 5 * time.Minute},
		{"30m", 30 * time.Minute},
		{"2h", 2 * time.Hour},
		{"6h", 6 * time.Hour},
		{"12h", 12 * time.Hour},
		{"24h", 24 * time.Hour},
	}
}

// Names lists the names of the tiers, shortest first.
func Names() []string {
	names := make([]string, 0, len(Tiers()))
	for _, t := range Tiers() {
		names = append(names, t.Name)
	}
	return names
}

// Topic is the tier's topic.
func (t Tier) Topic(prefix string) string { return prefix + "delay." + t.Name }

// Find returns the tier of that name.
func Find(name string) (Tier, bool) {
	for _, t := range Tiers() {
		if t.Name == name {
			return t, true
		}
	}
	return Tier{}, false
}
