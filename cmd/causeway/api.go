package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
	"causeway/pkg/secret"
)

const (
	envServer = envPrefix + "SERVER"
	envAPIKey = envPrefix + "API_KEY"

	defaultServer = "http://127.0.0.1:8701"
	devAPIKey     = "admin" // in dev.yaml: the API key that causeway dev made

	callTimeout  = 30 * time.Second
	applyTimeout = 5 * time.Minute // 100,000 entries on a busy machine
)

// api is how a verb reaches the admin API, from flags and the environment.
type api struct {
	*common
	server, keyFile, data string
	output                choice
	keyFrom               string // where the key was found
}

// newAPI gives a command, and those below it, the flags that every verb on the API has.
func newAPI(c *common, cmd *cobra.Command) *api {
	a := &api{common: c, output: choice{text: "table", of: []string{"table", "json", "yaml", "name"}}}
	f := cmd.PersistentFlags()
	f.StringVar(&a.server, "server", "", "the admin API (also CAUSEWAY_SERVER); admin.listen of the process file when left out, else "+defaultServer)
	f.StringVar(&a.keyFile, "key-file", "", "file with the API key (or the key itself in CAUSEWAY_API_KEY)")
	f.StringVar(&a.data, "data", defaultData, "data directory of causeway dev, where the key of an API on this machine is")
	f.VarP(&a.output, "output", "o", "how the result is written: "+strings.Join(a.output.of, ", "))
	a.output.complete(cmd, "output")
	return a
}

// client makes the client. Nothing is asked yet.
func (a *api) client() (*admin.Client, error) {
	server, err := a.address()
	if err != nil {
		return nil, err
	}
	key, from, err := findAPIKey(server, a.keyFile, a.data)
	a.keyFrom = from
	if err != nil {
		return nil, err
	}
	client, err := admin.NewClient(admin.ClientOptions{URL: server, Key: key, HTTP: newAPITransport(), UserAgent: "causeway/" + readBuild().version})
	if err != nil {
		return nil, usageError{"", fmt.Errorf("--server or %s: %w", envServer, err)}
	}
	return client, nil
}

// call makes the client and one call, or a few that belong together.
func (a *api) call(ctx context.Context, do func(context.Context, *admin.Client) error) error {
	return a.callWithin(ctx, callTimeout, do)
}

func (a *api) callWithin(ctx context.Context, limit time.Duration, do func(context.Context, *admin.Client) error) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	if server, err := a.address(); err == nil && strings.HasPrefix(server, "http://") && !onThisMachine(server) {
		fmt.Fprintf(a.stderr, "causeway: %s is not https: whoever is on the way reads the API key and what is shown once\n", printable(server, 200))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx, client)
}

// address is the URL of the API.
func (a *api) address() (string, error) {
	if server := cmp.Or(a.server, os.Getenv(envServer)); server != "" {
		return server, nil
	}
	listen, err := adminListen(a.configPath)
	if err != nil || listen == "" {
		return defaultServer, err
	}
	return "http://" + reachable(listen), nil
}

// adminListen finds admin.listen in the environment and the process file. The rest of
// the file is no business of a verb that asks an API: its secrets may be on other
// machines, and a fault in it must not keep anybody from pausing a subscription.
func adminListen(path string) (string, error) {
	listen := os.Getenv(envPrefix + "ADMIN_LISTEN")
	if listen == "" && path != "" {
		text, err := readAtMost(path, maxFileSize+1)
		if err != nil {
			return "", fmt.Errorf("read the configuration for the admin API's address: %w", err)
		}
		top, _ := readYAML(text, processFileLimits()).value.(map[string]any)
		part, _ := top["admin"].(map[string]any)
		listen, _ = part["listen"].(string)
	}
	if listen == "" {
		return "", nil
	}
	if err := checkAddress(listen, true); err != nil {
		return "", fmt.Errorf("admin.listen: %w", err)
	}
	return listen, nil
}

// apiKeyForm is what an API key looks like; the API knows more about it.
var apiKeyForm = regexp.MustCompile(`^cwk_[A-Za-z0-9_-]{8,200}$`)

// findAPIKey finds the key for an API: in the file, in the environment or, for an API
// on this machine, where causeway dev keeps the one it made. None is no fault: an API
// on loopback may take whoever is there. Its errors never quote what was found.
func findAPIKey(server, file, data string) (key secret.Secret, from string, err error) {
	from, text := envAPIKey, os.Getenv(envAPIKey)
	switch {
	case file != "":
		content, err := readAtMost(file, 4<<10)
		if err != nil {
			return key, "", fmt.Errorf("read the API key: %w", err)
		}
		from, text = "--key-file "+file, strings.TrimSpace(string(content))
	case text != "":
		text = strings.TrimSpace(text)
	case onThisMachine(server):
		secrets, err := readDevSecrets(data)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return key, "", fmt.Errorf("find the API key of causeway dev: %w", err)
		}
		found := secrets[devAPIKey]
		if found.IsZero() {
			return key, "", nil
		}
		from, text = filepath.Join(data, devFile), string(found.Reveal())
	default:
		return key, "", nil
	}
	if !apiKeyForm.MatchString(text) {
		return key, "", fmt.Errorf("%s holds no API key: one begins with cwk_, and causeway key create makes it", from)
	}
	return secret.New([]byte(text)), from, nil
}

// onThisMachine says whether a URL's host is this machine's loopback.
func onThisMachine(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(strings.Trim(u.Hostname(), "[]"))
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// failed says what was being done when a call failed, and what to do about it.
func (a *api) failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, args...)
	if lost, ok := errors.AsType[*unansweredError](err); ok {
		switch {
		case lost.sent:
			return fmt.Errorf("%s: the answer was lost (%w): it may have been done or not; %s", doing, lost, lookHint(doing))
		case errors.Is(err, context.Canceled):
			return fmt.Errorf("%s: interrupted before it was asked for: nothing was changed", doing)
		}
		server, _ := a.address()
		return fmt.Errorf("%s: the admin API at %s cannot be reached: %w; start causeway dev or causeway admin, or say where it is with --server or %s", doing, printable(server, 200), lost, envServer)
	}
	problem, ok := errors.AsType[*admin.Problem](err)
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", doing, err)
	case problem.Code == unknownOutcome:
		return fmt.Errorf("%s: %w: it may have been done or not; %s", doing, shown(problem), lookHint(doing))
	}
	named := "; name an API key with " + envAPIKey + " or --key-file"
	if a.keyFrom != "" {
		named = "; the key was that of " + a.keyFrom + ": name an API key with " + envAPIKey + " or --key-file"
	}
	hint := map[int]string{
		401: named,
		412: "; somebody else changed it meanwhile: look at it with show, and ask again",
	}[problem.Status]
	return fmt.Errorf("%s: %w%s", doing, shown(problem), hint)
}

// unknownOutcome is the code of a problem after which nobody knows whether the change
// was made.
const unknownOutcome = "unknown_outcome"

// lookHint is how to find out what became of a change whose answer never came.
func lookHint(doing string) string {
	if verb, _, _ := strings.Cut(doing, " "); verb == "apply" {
		return "all of it or nothing: the same command with --dry-run says which"
	}
	return "look with show or list before you ask again"
}

// shownProblem is a problem whose text is safe for a terminal: the API quotes names.
type shownProblem struct{ *admin.Problem }

func shown(p *admin.Problem) error { return shownProblem{p} }

func (s shownProblem) Unwrap() error { return s.Problem }

func (s shownProblem) Error() string {
	lines := make([]string, 0, 1+len(s.Errors))
	lines = append(lines, printable(cmp.Or(s.Detail, s.Title, fmt.Sprintf("the API answered %d", s.Status)), 2000))
	for _, item := range s.Errors {
		where := strings.TrimPrefix(strings.TrimPrefix(item.Location, "body."), "spec.")
		lines = append(lines, printable("  "+where+": "+item.Message, 2000))
	}
	return strings.Join(lines, "\n")
}
