package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// hostileEnv tells a child process of this test which decoder to use.
const hostileEnv = "CAUSEWAY_TEST_HOSTILE_AVRO"

// headroom is what the child may map beyond what it has when it starts: far more
// than reading any record takes, far less than what the hostile ones ask for.
const headroom = 256 << 20

// hostile gives Avro values whose few bytes ask for gigabytes.
func hostile() map[string][]byte {
	frame := []byte("\xC3\x01\x29\x1f\x95\x9b\xb2\x2a\xb3\x66")
	// Empty strings, times of 0, no occurred_at: everything up to the headers.
	upTo := append(slices.Clip(frame), 0, 0, 0, 0, 0, 0, 0)
	value := func(parts ...string) []byte { return append(slices.Clip(upTo), strings.Join(parts, "")...) }
	return map[string][]byte{
		"2^31-1 headers":           value("\xfe\xff\xff\xff\x0f"),
		"-2^31+1 headers":          value("\xfd\xff\xff\xff\x0f\x00"),
		"2^62 headers":             value("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
		"-2^63 headers":            value("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"),
		"4 million empty headers":  value("\x80\xa4\xe8\x03", strings.Repeat("\x00\x00", 4_000_000), "\x00\x00\x00\x00"),
		"4 million blocks of one":  value(strings.Repeat("\x02\x00\x00", 4_000_000), "\x00\x00\x00\x00"),
		"a name of 2^62 bytes":     value("\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
		"an ID of 2^62 bytes":      append(slices.Clip(frame), "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"...),
		"a number that never ends": append(slices.Clip(frame), bytes.Repeat([]byte{0x80}, 1<<20)...),
	}
}

// TestMain also plays the child: a process of its own, so that what the limit
// kills is not the test.
func TestMain(m *testing.M) {
	mode := os.Getenv(hostileEnv)
	if mode == "" {
		os.Exit(m.Run())
	}
	if err := readHostile(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestHostileAvroCostsNoMemory(t *testing.T) {
	if out, err := child(t, "all"); err != nil {
		t.Errorf("with %d MiB to spare: %v\n%s", headroom>>20, err, out)
	}
}

// Without this, the test above might pass only because the limit limits nothing.
func TestHostileAvroKillsAnUnguardedDecoder(t *testing.T) {
	for _, name := range []string{"2^31-1 headers", "4 million empty headers", "4 million blocks of one"} {
		t.Run(name, func(t *testing.T) {
			// The runtime's or the race detector's own end, not exit code 1, which is
			// an error that was returned.
			out, err := child(t, name)
			if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() == 1 {
				t.Errorf("goavro alone survived: %v\n%.2000s", err, out)
			}
		})
	}
}

func child(t *testing.T, mode string) ([]byte, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), hostileEnv+"="+mode)
	return command.CombinedOutput()
}

// readHostile reads one hostile value as goavro alone does, or all of them as
// FromRecord does.
func readHostile(mode string) error {
	values := hostile() // before the limit: the values themselves are large
	r, err := sampleEvent(Avro).Record("webhooks.stripe", Avro)
	if err != nil {
		return err
	}
	if err := limitMemory(); err != nil {
		return err
	}
	if value, ok := values[mode]; ok {
		_, _, err := eventSchema().codec.NativeFromBinary(value[10:])
		return err
	}
	if _, err := FromRecord(r); err != nil {
		return fmt.Errorf("an honest record: %w", err)
	}
	for name, value := range values {
		r.Value = value
		if _, err := FromRecord(r); !errors.Is(err, ErrMalformed) {
			return fmt.Errorf("%s: error is %w, want that it is malformed", name, err)
		}
	}
	return nil
}

// limitMemory sets the limit above what is mapped already: the race detector maps
// terabytes.
func limitMemory() error {
	var pages uint64
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return err
	}
	limit := pages*uint64(os.Getpagesize()) + headroom
	return syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit})
}
