package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// build says what this binary was made from, as far as the toolchain wrote it down.
type build struct {
	version  string // a tag, a pseudo-version, or (devel)
	revision string
}

func readBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{version: "(devel)"}
	}
	b := build{version: info.Main.Version}
	if b.version == "" {
		b.version = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.revision = s.Value
		}
	}
	return b
}

// register shows the build as a metric, the usual way to ask a fleet what it runs.
func (b build) register(reg prometheus.Registerer) {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "causeway_build_info",
		Help: "Always 1; the labels say what this process was built from.",
	}, []string{"version", "revision", "go_version"})
	reg.MustRegister(gauge)
	gauge.WithLabelValues(b.version, b.revision, runtime.Version()).Set(1)
}

func newVersion(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this binary was built from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			fmt.Fprintf(c.stdout, "causeway %s", b.version)
			if b.revision != "" {
				fmt.Fprintf(c.stdout, " (%.12s)", b.revision)
			}
			fmt.Fprintf(c.stdout, " %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
