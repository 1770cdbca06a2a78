package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"causeway/pkg/kafka/kafkatest"
)

// program is one under test, running.
type program struct {
	process *kafkatest.Process
	name    string
	log     string // a file with what it wrote
	ops     string // causeway's listener for metrics and profiles; "" of a limit
	admin   string // of the API; in use in that role only
}

// start runs a program until stop. Its output is kept for the day it fails.
func (b *bench) start(name, ops string, env []string, path string, args ...string) (*program, error) {
	b.started++
	p := &program{name: name, ops: ops, log: filepath.Join(b.dir, fmt.Sprintf("%d-%s.log", b.started, name))}
	env = append(env, sourceSecretVar+"="+sourceSecret, subscriptionSecretVar+"="+subscriptionSecret)
	var err error
	if p.process, err = kafkatest.Spawn(p.log, env, path, args...); err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends programs, and removes their logs.
func stop(programs ...*program) error {
	var errs []error
	for _, p := range programs {
		if p == nil {
			continue
		}
		select {
		case <-p.process.Done():
			errs = append(errs, p.ended())
		default:
			errs = append(errs, p.terminate())
		}
		errs = append(errs, os.Remove(p.log))
	}
	return errors.Join(errs...)
}

// terminate asks a program to end, and kills it if it does not.
func (p *program) terminate() error {
	const patience = 30 * time.Second
	if err := p.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.process.Done():
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("%s did not end within %s of SIGTERM", p.name, patience), p.process.Kill())
	}
}

// ended is the error of a program that is gone before it was asked to.
func (p *program) ended() error {
	out, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s ended by itself:\n%s", p.name, out[max(0, len(out)-2000):])
}

// await tries until it works; a program that ends meanwhile never will.
func (p *program) await(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.process.Done():
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("%s of %s: %w", what, p.name, errors.Join(err, context.Cause(ctx)))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// listening waits until something accepts at the address.
func (p *program) listening(ctx context.Context, address string) error {
	return p.await(ctx, "first connection", func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// ready waits until causeway says that it is.
func (p *program) ready(ctx context.Context) error {
	return p.await(ctx, "readiness", func(ctx context.Context) error { return p.get(ctx, "/readyz", io.Discard) })
}

// get copies what the program's ops listener answers.
func (p *program) get(ctx context.Context, path string, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+path, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s answered %d: %s", path, resp.StatusCode, text)
	}
	_, err = io.Copy(to, resp.Body)
	return err
}

// bare starts one of the limits.
func (b *bench) bare(verb string, args ...string) (*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.start(verb, "", nil, self, append([]string{verb, "-brokers", strings.Join(b.brokers, ",")}, args...)...)
}

// settings are what differs between the causeways that a bench starts.
type settings struct {
	prefix string // of causeway's own topics and groups
	topic  string
	format string // of ingress; "" raw
	listen string // of ingress
	url    string // of the one subscription
}

// source is the name of the source that writes the topic: each topic has its own.
func (s settings) source() string { return strings.TrimPrefix(s.topic, "webhooks.") }

// file writes the process file of a role, with the defaults of everything that has one.
func (b *bench) file(role, ops, admin string, s settings) (string, error) {
	text := fmt.Sprintf("kafka: {brokers: [%q], prefix: %q}\nops: {listen: %q, pprof: true}\nadmin: {listen: %q}\n", strings.Join(b.brokers, `","`), s.prefix, ops, admin)
	text += fmt.Sprintf("ingress:\n  listen: %q\n  drain_delay: 0s\n  sources:\n    - {name: %q, provider: stripe, topic: %q, format: %s, secrets: [\"env:%s\"]}\n",
		cmp.Or(s.listen, "127.0.0.1:0"), s.source(), s.topic, cmp.Or(s.format, "raw"), sourceSecretVar)
	text += "egress:\n  allow_http: true\n  allow_networks: [127.0.0.0/8]\n"
	if s.url != "" {
		text += fmt.Sprintf("  subscriptions:\n    - {name: bench, topics: [%q], url: %q, secrets: [\"env:%s\"]}\n", s.topic, s.url, subscriptionSecretVar)
	}
	text += "secrets: {allow: [\"env:*\"]}\n"
	file := filepath.Join(b.dir, role+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	return file, nil
}

// causeway starts the real binary in a role.
func (b *bench) causeway(ctx context.Context, role string, s settings) (*program, error) {
	ops, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file, err := b.file(role, ops, admin, s)
	if err != nil {
		return nil, err
	}
	p, err := b.start(role, ops, nil, b.options.causeway, role, "-c", file)
	if err != nil {
		return nil, err
	}
	p.admin = admin
	if err := p.ready(ctx); err != nil {
		return nil, errors.Join(err, stop(p))
	}
	return p, nil
}

// apply puts a source and, where there is a URL, a subscription into the catalog of
// that prefix.
func (b *bench) apply(ctx context.Context, s settings) (err error) {
	api, err := b.causeway(ctx, "admin", s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(api)) }()
	file := filepath.Join(b.dir, "admin.yaml")
	apply := exec.CommandContext(ctx, b.options.causeway, "apply", "-c", file, "-f", file, "--set", "bench", "--data", b.dir) // not the key of a causeway dev in this folder
	if out, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("causeway apply: %w\n%s", err, out)
	}
	return nil
}

// freeAddress is one that nothing listens on at this moment.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed on the next line
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}
