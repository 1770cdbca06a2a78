package kafkatest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// findJava returns a Java that Kafka runs on: JAVA_HOME's, else the path's.
func findJava(ctx context.Context) (string, error) {
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	java, err := exec.LookPath(java)
	if err != nil {
		return "", fmt.Errorf("%w: no Java found", errUnavailable)
	}
	out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s -version: %w", errUnavailable, java, err)
	}
	m := regexp.MustCompile(`version "(\d+)`).FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%w: %s does not say its version", errUnavailable, java)
	}
	if major, _ := strconv.Atoi(string(m[1])); major < 17 {
		return "", fmt.Errorf("%w: it needs Java 17, and %s is version %s", errUnavailable, java, m[1])
	}
	return java, nil
}
