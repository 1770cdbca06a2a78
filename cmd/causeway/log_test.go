package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// TestLogToAPipe: what cannot be synced, as a pipe or a terminal, is no reason for a
// complaint beside each line.
func TestLogToAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log, flush, err := newLogger(logConfig{Level: "info"}, w)
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	log = log.WithOptions(zap.ErrorOutput(zapcore.AddSync(&complaints)))
	log.Info("one")
	log.Warn("two")
	flush()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != 2 || complaints.Len() > 0 {
		t.Errorf("%d lines, and the complaint %q", n, complaints.String())
	}
}
