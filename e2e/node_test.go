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

// hasNode reports whether TEST_NODE=1 is set, as it is in .ci/run. If it isn't set, hasNode logs
// that the test didn't run. If it is set, but Node.js or the modules in e2e/node are missing,
// hasNode fails the test.
func hasNode(t *testing.T) bool {
	t.Helper()
	if os.Getenv("TEST_NODE") != "1" {
		t.Log("not run: set TEST_NODE=1, after npm ci --ignore-scripts --prefix e2e/node, which " +
			"needs Node.js 20 or later")
		return false
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("TEST_NODE=1, but there is no node: install Node.js 20 or later")
	}
	if _, err := os.Stat("node/node_modules/.package-lock.json"); err != nil {
		t.Fatal("TEST_NODE=1, but e2e/node/node_modules is missing: run npm ci --ignore-scripts " +
			"--prefix e2e/node")
	}
	return true
}

// runNode runs a script in the directory node and decodes its output, which has a line of JSON for
// each case.
func runNode[Line any](t *testing.T, script string, args ...string) (lines []Line) {
	t.Helper()
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok { // stop early enough to log the output
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-10*time.Second))
		defer cancel()
	}
	command := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	command.Dir = "node"
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NO_COLOR=1"}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s%s", script, err, out, &stderr)
	}
	if stderr.Len() > 0 { // scripts write measurements there
		t.Logf("%s logged:\n%s", script, &stderr)
	}
	for text := range bytes.Lines(out) {
		var line Line
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("node %s prints %q: %v", script, text, err)
		}
		lines = append(lines, line)
	}
	return lines
}
