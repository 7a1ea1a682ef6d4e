package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

// withNode reports whether the tests that need Node.js run: other people's clients and audits come
// from there. They do where TEST_NODE=1 asks for them, as .ci/run does, and then nothing that they
// need may be missing. A machine without Node.js runs the rest, and reads here that this wasn't
// all.
func withNode(t *testing.T) bool {
	t.Helper()
	if os.Getenv("TEST_NODE") != "1" {
		t.Log("not run: set TEST_NODE=1, after npm ci --ignore-scripts --prefix e2e/node, which " +
			"needs Node.js 20 or later")
		return false
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("TEST_NODE=1, and there is no node: install Node.js 20 or later")
	}
	if _, err := os.Stat("node/node_modules/.package-lock.json"); err != nil {
		t.Fatal("TEST_NODE=1, and e2e/node/node_modules is missing: run npm ci --ignore-scripts " +
			"--prefix e2e/node")
	}
	return true
}

// runNode runs a script of the directory node, which prints one line of JSON for each case, and
// reads the lines.
func runNode[line any](t *testing.T, script string, args ...string) (lines []line) {
	t.Helper()
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok { // in time to show what it printed
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-10*time.Second))
		defer cancel()
	}
	command := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	command.Dir = "node"
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NO_COLOR=1"}
	var failed bytes.Buffer
	command.Stderr = &failed
	out, err := command.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s%s", script, err, out, &failed)
	}
	if failed.Len() > 0 { // figures, for whoever reads the log
		t.Logf("%s says:\n%s", script, &failed)
	}
	for text := range bytes.Lines(out) {
		var l line
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&l); err != nil {
			t.Fatalf("node %s prints %q: %v", script, text, err)
		}
		lines = append(lines, l)
	}
	return lines
}
