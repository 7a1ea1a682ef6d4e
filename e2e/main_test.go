//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	cloakql string    // the server, built
	shared  *keycloak // the Keycloak that most tests use; nobody stops it
)

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cloakql-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)

	cloakql = filepath.Join(dir, "cloakql")
	build := exec.Command("go", "build", "-o", cloakql, ".")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: the server doesn't build: %v\n%s", err, out)
		return 1
	}

	if url := os.Getenv("TEST_KEYCLOAK_URL"); url != "" {
		shared = &keycloak{url: strings.TrimRight(url, "/")}
	} else {
		shared = newKeycloak(dir)
		if err := shared.start(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: no Keycloak could be had; what scripts/keycloak says of it:\n%v\n", err)
			return 1
		}
		defer shared.stop()
	}
	return m.Run()
}

// A keycloak is one real Keycloak of our own, started by scripts/keycloak.
type keycloak struct {
	url string
	env []string // for scripts/keycloak; nil for one that isn't ours to start and stop
}

// newKeycloak picks free ports for a Keycloak, and starts nothing yet.
func newKeycloak(dir string) *keycloak {
	port, management := freePort(), freePort()
	return &keycloak{
		url: "http://localhost:" + port,
		env: append(slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "KEYCLOAK_") }), "KEYCLOAK_PORT="+port, "KEYCLOAK_MANAGEMENT_PORT="+management,
			"KEYCLOAK_RUN_DIR="+filepath.Join(dir, "keycloak-"+port)),
	}
}

func (k *keycloak) start() error { _, err := k.script("start"); return err }
func (k *keycloak) stop() error  { _, err := k.script("stop"); return err }

// pid is the process group of a Keycloak of ours.
func (k *keycloak) pid() (int, error) {
	for _, entry := range k.env {
		if dir, ok := strings.CutPrefix(entry, "KEYCLOAK_RUN_DIR="); ok {
			text, err := os.ReadFile(filepath.Join(dir, "keycloak.pid"))
			if err != nil {
				return 0, err
			}
			return strconv.Atoi(strings.TrimSpace(string(text)))
		}
	}
	return 0, fmt.Errorf("not a Keycloak of ours")
}

func (k *keycloak) script(command string) (string, error) {
	cmd := exec.Command("../scripts/keycloak", command)
	cmd.Env = k.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("scripts/keycloak %s: %w\n%s", command, err, out)
	}
	return string(out), nil
}

func freePort() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
