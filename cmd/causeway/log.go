package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// newLogger writes the log to w. Without a format it is for eyes on a terminal,
// and for machines elsewhere. Flush writes what is still buffered, at the end.
func newLogger(c logConfig, w io.Writer) (log *zap.Logger, flush func(), err error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
	}
	format := c.Format
	if format == "" {
		format = "json"
		if isTerminal(w) {
			format = "console"
		}
	}
	ec := zap.NewProductionEncoderConfig()
	ec.TimeKey, ec.MessageKey = "time", "message"
	ec.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	ec.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch format {
	case "console":
		ec.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(ec)
	case "json":
		encoder = zapcore.NewJSONEncoder(ec)
	default:
		return nil, nil, fmt.Errorf("--log-format %q: use console or json", format)
	}
	// A line for each attempt is a system call for each attempt: lines that only
	// inform are written together, a moment later. From a warning on, at once.
	// Flushing ends at the write: a terminal or a pipe cannot be synced, and says so.
	buffer := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(struct{ io.Writer }{w}), FlushInterval: 100 * time.Millisecond}
	inform := zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l >= level && l < zap.WarnLevel })
	warn := zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l >= level && l >= zap.WarnLevel })
	core := zapcore.NewTee(zapcore.NewCore(encoder, buffer, inform), zapcore.NewCore(encoder.Clone(), flushing{buffer}, warn))
	return zap.New(core), func() { _ = buffer.Stop() }, nil
}

// flushing writes to the buffer and empties it.
type flushing struct{ *zapcore.BufferedWriteSyncer }

func (f flushing) Write(line []byte) (int, error) {
	n, err := f.BufferedWriteSyncer.Write(line)
	return n, errors.Join(err, f.Sync())
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
