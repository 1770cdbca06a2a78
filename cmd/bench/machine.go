package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is what the figures were measured on.
type machine struct {
	System   string `json:"system"`
	CPU      string `json:"cpu,omitempty"`
	CPUs     int    `json:"cpus"`
	Go       string `json:"go"`
	Causeway string `json:"causeway,omitempty"`
}

func thisMachine(ctx context.Context, causeway string) machine {
	m := machine{System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close() //nolint:errcheck // was only read
		for lines := bufio.NewScanner(f); m.CPU == "" && lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
			}
		}
	}
	out, err := exec.CommandContext(ctx, causeway, "version").Output()
	if err == nil {
		m.Causeway, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%s on %s, %d CPUs (%s), %s", m.Causeway, m.System, m.CPUs, m.CPU, m.Go)
}
