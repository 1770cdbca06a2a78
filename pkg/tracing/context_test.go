package tracing_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"causeway/pkg/tracing"
)

const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceparent(t *testing.T) {
	for text, want := range map[string]string{
		good:                                  good,
		strings.TrimSuffix(good, "01") + "00": good[:53] + "00",
		"":                                    "",
		"01" + good[2:]:                       "", // another version
		strings.ToUpper(good):                 "",
		good + "-more":                        "",
		good[:54]:                             "",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01":   "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01":   "",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-\r\n": "",
		strings.Repeat("x", 1<<20):                                  "",
	} {
		if got := tracing.Traceparent(text); got != want {
			t.Errorf("Traceparent(%.80q) = %q, want %q", text, got, want)
		}
		if remote := tracing.Remote(text); remote.IsValid() != (want != "") || tracing.Text(remote) != want {
			t.Errorf("Remote(%.80q) is valid: %v, and reads %q", text, remote.IsValid(), tracing.Text(remote))
		}
	}
	// A flag that nobody knows is not passed on, and costs nobody the trace.
	if got := tracing.Text(tracing.Remote(good[:53] + "87")); got != good[:53]+"03" {
		t.Errorf("flags 87 are passed on as %q", got)
	}
	if got := tracing.Text(trace.SpanContext{}); got != "" {
		t.Errorf("no span reads %q", got)
	}
	if !tracing.Remote(good).IsSampled() || tracing.Remote(good[:53]+"00").IsSampled() {
		t.Error("the sampled flag is lost")
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(good)
	f.Add(good[:53] + "91")
	f.Add("cc-" + good[3:] + "-what-the-future-will-be-like")
	f.Fuzz(func(t *testing.T, text string) {
		remote := tracing.Remote(text)
		if valid := tracing.Traceparent(text) != ""; remote.IsValid() != valid {
			t.Fatalf("%q: a traceparent: %v, a span: %v", text, valid, remote.IsValid())
		}
		// Of the flags only those that are known are passed on.
		if got := tracing.Text(remote); remote.IsValid() && got[:53] != text[:53] {
			t.Fatalf("%q reads %q", text, got)
		}
	})
}
