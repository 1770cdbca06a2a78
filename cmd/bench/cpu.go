package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// cpuTime is what programs have used so far, user and system; 0 where the system
// has no /proc.
func cpuTime(programs ...*program) time.Duration {
	var sum time.Duration
	for _, p := range programs {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.Pid()))
		if err != nil {
			continue
		}
		// The name in parentheses may hold anything; utime and stime are the 12th
		// and 13th field behind it, in hundredths of a second.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		for _, field := range fields[11:13] {
			n, _ := strconv.Atoi(string(field))
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}

// profile takes CPU profiles of those programs that are causeway, if asked for. It
// gives a function that waits for them to be written.
func (b *bench) profile(ctx context.Context, name string, d time.Duration, programs ...*program) (wait func() error) {
	errs := make(chan error, len(programs))
	n := 0
	for _, p := range programs {
		if b.options.profile == "" || name == "" || p.ops == "" {
			continue
		}
		n++
		go func() {
			errs <- p.takeProfile(ctx, filepath.Join(b.options.profile, name+"-"+p.name+".pprof"), d)
		}()
	}
	return func() error {
		var first error
		for range n {
			if err := <-errs; err != nil && first == nil {
				first = fmt.Errorf("take a CPU profile: %w", err)
			}
		}
		return first
	}
}

func (p *program) takeProfile(ctx context.Context, path string, d time.Duration) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := p.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(d/time.Second))), &out); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o600)
}
