package kafkatest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestChildrenEndWithTheTestProcess runs this test binary once more, lets it
// start a child and kills it: however a test run ends, no broker stays behind.
func TestChildrenEndWithTheTestProcess(t *testing.T) {
	const env = "CAUSEWAY_KAFKATEST_SPAWN"
	if dir := os.Getenv(env); dir != "" {
		p, err := Spawn(filepath.Join(dir, "log"), nil, "sleep", "600")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\npid %d\n", p.Pid())
		<-p.done
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), env+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child := 0
	for s := bufio.NewScanner(out); child == 0 && s.Scan(); {
		if pid, ok := strings.CutPrefix(s.Text(), "pid "); ok {
			child, _ = strconv.Atoi(pid)
		}
	}
	if child == 0 || !alive(child) {
		t.Fatalf("no child was started (pid %d)", child)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.After(10 * time.Second); running(child); {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("child %d outlived the process that started it", child)
		}
	}
}

// running is false also for a zombie that nobody has reaped yet.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
