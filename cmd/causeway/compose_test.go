package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// compose is the part of the Compose specification that deploy/compose.yaml uses: a
// key that is not here fails the test, and belongs here when the specification has it.
type compose struct {
	Name     string                 `yaml:"name"`
	Shared   any                    `yaml:"x-causeway"` // merged into services
	Services map[string]*service    `yaml:"services"`
	Configs  map[string]composeFile `yaml:"configs"`
	Volumes  map[string]struct{}    `yaml:"volumes"`
}

type composeFile struct {
	File string `yaml:"file"`
}

type service struct {
	Image string `yaml:"image"`
	Build *struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	EnvFile     []string          `yaml:"env_file"`
	Configs     []struct {
		Source string `yaml:"source"`
		Target string `yaml:"target"`
	} `yaml:"configs"`
	Ports       []string `yaml:"ports"`
	Volumes     []string `yaml:"volumes"`
	HealthCheck struct {
		Test        []string `yaml:"test"`
		Interval    string   `yaml:"interval"`
		Timeout     string   `yaml:"timeout"`
		Retries     int      `yaml:"retries"`
		StartPeriod string   `yaml:"start_period"`
	} `yaml:"healthcheck"`
	DependsOn map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Restart         string `yaml:"restart"`
	StopGracePeriod string `yaml:"stop_grace_period"`
}

// TestCompose holds deploy/compose.yaml against what it starts: no Docker engine is
// needed for that, and none has tried the rest.
func TestCompose(t *testing.T) {
	const deploy = "../../deploy"
	text, err := os.ReadFile(filepath.Join(deploy, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	verbs, doors := map[string]int{}, map[string]string{}
	for name, s := range c.Services {
		for on := range s.DependsOn {
			if c.Services[on] == nil {
				t.Errorf("%s depends on %s, which is not there", name, on)
			}
		}
		if len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
		if s.Build == nil {
			continue
		}
		verbs[s.Command[0]]++
		if _, err := os.Stat(filepath.Join(deploy, s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
		for _, port := range s.Ports {
			host, _, _ := strings.Cut(port, ":")
			if other := doors[host]; other != "" {
				t.Errorf("%s and %s are both published on %s", name, other, host)
			}
			doors[host] = name
		}
		if grace, err := time.ParseDuration(s.StopGracePeriod); err != nil || grace <= 30*time.Second {
			t.Errorf("%s is killed after %s (%v): the shutdown timeout is 25s, and 5s more may go to leaving by hand", name, s.StopGracePeriod, err)
		}
		root := newRoot(&strings.Builder{}, &strings.Builder{})
		for _, line := range [][]string{s.Command, s.HealthCheck.Test[2:]} {
			cmd, rest, err := root.Find(line)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err != nil || cmd == root {
				t.Errorf("%s calls causeway %s: %v", name, strings.Join(line, " "), err)
			}
		}
		for _, mount := range s.Configs {
			if mount.Target != s.Command[2] {
				t.Errorf("%s reads %s, and its file is mounted at %s", name, s.Command[2], mount.Target)
			}
			loadsWhole(t, filepath.Join(deploy, c.Configs[mount.Source].File))
		}
	}
	if verbs["ingress"] != 2 || verbs["egress"] != 2 {
		t.Errorf("two of each are to be started: %v", verbs)
	}
}

// loadsWhole fails the test unless the process file has no fault when its secrets are there.
func loadsWhole(t *testing.T, path string) {
	t.Helper()
	for _, name := range []string{"STRIPE_WEBHOOK_SECRET", "BILLING_SECRET"} {
		t.Setenv(name, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	}
	p, err := readConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.config = p.config.withDefaults()
	p.build(catalog.Options{Resolver: secret.NewResolver(), ResolveSources: true, ResolveSubscriptions: true})
	if err := p.err(); err != nil {
		t.Error(err)
	}
	if len(p.config.Kafka.Brokers) == 0 {
		t.Errorf("%s names no brokers", path)
	}
}
