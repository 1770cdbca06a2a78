package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"

	"causeway/pkg/kafka/kafkatest"
)

// TestMain lets the test binary be causeway itself, when it is called so.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "causeway" {
		main()
		return
	}
	// Several causeways run at once here, and most of them have an API that nobody calls.
	if err := os.Setenv(listenVariable, "127.0.0.1:0"); err != nil {
		panic(err)
	}
	kafkatest.Main(m)
}

// listenVariable is the variable that says where the API listens.
const listenVariable = "CAUSEWAY_ADMIN_LISTEN"

// slowDisk lets ingress wait longer for the embedded broker than a provider
// would: on a machine whose disk is busy with other tests, a sync can take seconds.
const slowDisk = "CAUSEWAY_INGRESS_REPLY_TIMEOUT"

// patience is how long a test waits for something that takes milliseconds on an
// idle machine.
const patience = 30 * time.Second

func TestScripts(t *testing.T) {
	bin := causewayBinary(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv(slowDisk, "25s")
			env.Setenv(listenVariable, "127.0.0.1:0")
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			for _, name := range []string{"INGRESS", "OPS", "BROKER", "LISTEN", "SECOND", "ADMIN"} {
				address, err := freePort()
				if err != nil {
					return err
				}
				env.Setenv(name, address)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"api":   startAPI,
			"await": await,
			"kafka": startKafka,
		},
		UpdateScripts: *update,
	})
}

// causewayBinary gives a directory with a causeway in it: this test binary.
func causewayBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "causeway")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// await waits for something that a process in the background does:
//
//	await ADDRESS                     somebody listens
//	await ADDRESS/PATH                it answers 200
//	await ADDRESS/PATH TEXT...        the answer holds each of the texts
//	await -long ...                   it may take two minutes
func await(ts *testscript.TestScript, neg bool, args []string) {
	limit := patience
	if len(args) > 0 && args[0] == "-long" {
		limit, args = 2*time.Minute, args[1:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: await [-long] ADDRESS[/PATH [TEXT...]]")
	}
	err := until(limit, func() error {
		if !strings.Contains(args[0], "/") {
			return dial(args[0])
		}
		body, err := get("http://" + args[0])
		for _, text := range args[1:] {
			if err == nil && !strings.Contains(body, text) {
				err = fmt.Errorf("no %q in %.2000s", text, body)
			}
		}
		return err
	})
	if err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// startKafka starts a Kafka cluster, of one in-process broker, and names it in BROKER:
//
//	kafka
func startKafka(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: kafka")
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		ts.Fatalf("start a broker: %v", err)
	}
	ts.Defer(c.Close)
	ts.Setenv("BROKER", c.ListenAddrs()[0])
}

// until tries again and again, until it works or the limit is over.
func until(limit time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func dial(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}
