package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
)

// Exit codes. They are a contract with scripts: a new one may come, none changes.
const (
	exitDone = iota
	exitFailed
	exitMisused
	exitDifferent
	exitConflict
	exitForbidden
	exitUnreachable
)

// exitCode is one code and when a verb ends with it.
type exitCode struct {
	code int
	doc  string
}

func exitCodes() []exitCode {
	return []exitCode{
		{exitDone, "done; also when there was nothing to do"},
		{exitFailed, "it did not work, or a test failed; the message says why"},
		{exitMisused, "it was not asked properly: a wrong flag or argument, or rm without --yes where nobody can be asked"},
		{exitDifferent, "causeway apply --dry-run found differences"},
		{exitConflict, "in conflict with what is there: somebody else changed it meanwhile, the name is taken, or the entry belongs to a set"},
		{exitForbidden, "not allowed: no API key, a wrong one, or one without the right"},
		{exitUnreachable, "the admin API cannot be reached, or it cannot reach Kafka"},
	}
}

// reported ends a verb that has told its user already what came of it. Its value is
// the exit code.
type reported int

func (r reported) Error() string { return fmt.Sprintf("reported; exit code %d", int(r)) }

// errReported is reported for what did not work.
const errReported = reported(exitFailed)

// exitCodeOf is the code for what a verb returned.
func exitCodeOf(err error) int {
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[reported](err); ok {
		return int(code)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitMisused
	}
	if problem, ok := errors.AsType[*admin.Problem](err); ok {
		switch problem.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return exitForbidden
		case http.StatusConflict, http.StatusPreconditionFailed:
			return exitConflict
		case http.StatusServiceUnavailable:
			return exitUnreachable
		}
		return exitFailed
	}
	if _, ok := errors.AsType[*unansweredError](err); ok {
		return exitUnreachable
	}
	return exitFailed
}

// newExitCodes is a page of the help, not a verb.
func newExitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("How a verb ended, for scripts:\n\n")
	for _, c := range exitCodes() {
		fmt.Fprintf(&b, "  %d  %s\n", c.code, c.doc)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimSuffix(b.String(), "\n")}
}
