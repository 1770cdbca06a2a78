package cursor

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"
)

func TestMetadataRoundTrip(t *testing.T) {
	for name, m := range map[string]Metadata{
		"everything":         {Cluster: "MkU3OEVBNTcwNTJENDM2Qg", Catalog: 1 << 40, Record: time.UnixMilli(1_790_000_000_123), Topic: [16]byte{1, 15: 255}},
		"nothing":            {},
		"a first read":       {Cluster: "c1", Topic: [16]byte{7}, Since: time.UnixMilli(1_790_000_000_123)},
		"a log made anew":    {Cluster: "c1", Catalog: 9, Topic: [16]byte{7}, Anew: Anew{Catalog: 1 << 40, Offset: 77}},
		"both":               {Cluster: "c1", Since: time.UnixMilli(1_790_000_000_123), Anew: Anew{Catalog: 3}},
		"a time before 1970": {Record: time.UnixMilli(-5)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(m.String())
			if err != nil || got.Cluster != m.Cluster || got.Catalog != m.Catalog || got.Topic != m.Topic || !got.Record.Equal(m.Record) || !got.Since.Equal(m.Since) || got.Anew != m.Anew {
				t.Errorf("Parse(%q) = %+v, %v; want %+v", m.String(), got, err, m)
			}
		})
	}
}

// The bytes of both versions stand in groups of running clusters: each must be read
// for two releases after the next one comes.
func TestEveryVersionStaysReadable(t *testing.T) {
	m := Metadata{Cluster: "c1", Catalog: 7, Record: time.UnixMilli(1_790_000_000_123), Topic: [16]byte{1, 2, 3, 15: 16}}
	const two = "Y3d5Agf2sYPFmGgBAgMAAAAAAAAAAAAAAAAQAmMxhwqp6g=="
	if got := m.String(); got != two {
		t.Errorf("String() = %q, want %q", got, two)
	}
	old := m
	old.Topic = [16]byte{}
	for text, want := range map[string]Metadata{"Y3d5AQf2sYPFmGgCYzFeXn/W": old, two: m} {
		got, err := Parse(text)
		if err != nil || got.Cluster != want.Cluster || got.Catalog != want.Catalog || !got.Record.Equal(want.Record) || got.Topic != want.Topic {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestVersionThreeStaysReadable(t *testing.T) {
	m := Metadata{Cluster: "c1", Catalog: 7, Record: time.UnixMilli(1_790_000_000_123), Since: time.UnixMilli(1_780_000_000_123)}
	if got := m.String(); got != "Y3d5Awf2sYPFmGgAAAAAAAAAAAAAAAAAAAAA9qGkhM5nAmMxg6j/XQ==" {
		t.Errorf("String() = %q, want %q", got, "Y3d5Awf2sYPFmGgAAAAAAAAAAAAAAAAAAAAA9qGkhM5nAmMxg6j/XQ==")
	}
}

func TestVersionFourStaysReadable(t *testing.T) {
	m := Metadata{Cluster: "c1", Catalog: 7, Anew: Anew{Catalog: 300, Offset: 5}}
	if got, want := m.String(), "Y3d5BAcAAAAAAAAAAAAAAAAAAAAAAACsAgUCYzEyn4v4"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestWhatIsNotOursIsToldApart(t *testing.T) {
	good, _ := base64.StdEncoding.DecodeString(Metadata{Cluster: "c1"}.String())
	newer := append([]byte(nil), good...)
	newer[3] = 5
	damaged := append([]byte(nil), good...)
	damaged[len(damaged)-5] ^= 1
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"a commit by Kafka's own tools":   {"", ErrForeign},
		"a member id, as franz-go writes": {"causeway-0a1b2c3d", ErrForeign},
		"base64 of something else":        {"aGVsbG8gd29ybGQ=", ErrForeign},
		"a later version":                 {base64.StdEncoding.EncodeToString(newer), ErrNewer},
		"a flipped bit":                   {base64.StdEncoding.EncodeToString(damaged), ErrDamaged},
		"cut off":                         {base64.StdEncoding.EncodeToString(good[:6]), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(tc.text); !errors.Is(err, tc.want) {
				t.Errorf("Parse(%q): %v, want %v", tc.text, err, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Metadata{Cluster: "c1", Catalog: 7, Record: time.UnixMilli(1_790_000_000_123)}.String())
	f.Add("Y3d5AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(m.String())
		if err != nil || again.Cluster != m.Cluster || again.Catalog != m.Catalog || !again.Record.Equal(m.Record) || !again.Since.Equal(m.Since) || again.Anew != m.Anew {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
