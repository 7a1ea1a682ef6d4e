package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

const sources = ".." // the repository

// patience is how long a test waits for what has to happen. It says nothing of how quick a machine
// is: only a fault takes so long.
const patience = 4 * time.Minute

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
	if err := build(cloakql, "cloakql"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: the server doesn't build:", err)
		return 1
	}
	if url := os.Getenv("TEST_KEYCLOAK_URL"); url != "" {
		shared = &keycloak{url: strings.TrimRight(url, "/")}
		return m.Run()
	}
	shared = newKeycloak(dir)
	if err := shared.start(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: no stand-in:", err)
		return 1
	}
	defer shared.stop()
	return m.Run()
}

// build builds the command name of the directory cmd as this repository is now. It looks at every
// source, so that go test takes no old result for a new server: it knows only what a test opens.
func build(to, name string, flags ...string) error {
	err := filepath.WalkDir(sources, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() &&
			(entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		if err == nil {
			_, err = os.Stat(name)
		}
		if errors.Is(err, fs.ErrNotExist) { // an editor's file, gone by now
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	command := exec.Command("go",
		append(append([]string{"build", "-o", to}, flags...), "./cmd/"+name)...)
	command.Dir = sources
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// A keycloak is what the server under test stands beside: a stand-in, or where TEST_KEYCLOAK_URL is
// set, a real one. Those of our own can be started, stopped and hung; a real one of our own is
// scripts/keycloak's.
type keycloak struct {
	url  string
	port string
	// for scripts/keycloak; nil for a stand-in, and for one that isn't ours
	env      []string
	listener net.Listener         // holds the port of a stand-in until its first start
	standIn  *keycloaktest.Server // nil while it doesn't run, and for a real one
	resume   func()
}

// real reports whether the tests run against a real Keycloak.
func real() bool { return os.Getenv("TEST_KEYCLOAK_URL") != "" }

// newKeycloak picks free ports for a Keycloak, and starts nothing yet. A stand-in's port is held
// until it starts or stop frees it: meanwhile it takes connections and answers nothing.
func newKeycloak(dir string) *keycloak {
	listener, port := freePort()
	k := &keycloak{url: "http://localhost:" + port, port: port, listener: listener}
	if real() {
		other, management := freePort()
		other.Close()
		listener.Close()
		k.listener = nil
		k.env = append(slices.DeleteFunc(os.Environ(), func(entry string) bool {
			return strings.HasPrefix(entry, "KEYCLOAK_")
		}),
			"KEYCLOAK_PORT="+port, "KEYCLOAK_MANAGEMENT_PORT="+management,
			"KEYCLOAK_RUN_DIR="+filepath.Join(dir, "keycloak-"+port))
	}
	return k
}

// own is a Keycloak whose clock one test may move: the shared one where it is real, and nobody's
// clock moves.
func own(t *testing.T) *keycloak {
	t.Helper()
	if real() {
		return shared
	}
	k := newKeycloak(t.TempDir())
	t.Cleanup(func() { k.stop() })
	if err := k.start(); err != nil {
		t.Fatal(err)
	}
	return k
}

// start starts it, with new keys.
func (k *keycloak) start() error {
	if k.env != nil {
		return k.script("start")
	}
	file, err := os.ReadFile(sources + "/deploy/keycloak/local-realm.json")
	if err != nil {
		return err
	}
	listener := k.listener
	if k.listener = nil; listener == nil {
		if listener, err = listenAgain(k.port); err != nil {
			return err
		}
	}
	k.standIn, err = keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file},
		Listener: listener, PublicURL: k.url, OwnKeys: true})
	return err
}

func (k *keycloak) stop() error {
	if k.env != nil {
		return k.script("stop")
	}
	if k.listener != nil {
		k.listener.Close()
		k.listener = nil
	}
	if k.standIn != nil {
		k.standIn.Close()
		k.standIn = nil
	}
	return nil
}

// hang makes it take connections and answer nothing, until goOn.
func (k *keycloak) hang() error {
	if k.env == nil {
		k.resume = k.standIn.Fail(keycloaktest.Fault{Hang: true})
		return nil
	}
	return k.signal(syscall.SIGSTOP)
}

func (k *keycloak) goOn() error {
	if k.env == nil {
		k.resume()
		return nil
	}
	return k.signal(syscall.SIGCONT)
}

// signal signals the process group of a real Keycloak of ours.
func (k *keycloak) signal(s syscall.Signal) error {
	for _, entry := range k.env {
		if dir, ok := strings.CutPrefix(entry, "KEYCLOAK_RUN_DIR="); ok {
			text, err := os.ReadFile(filepath.Join(dir, "keycloak.pid"))
			if err != nil {
				return err
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				return err
			}
			return syscall.Kill(-pid, s)
		}
	}
	return fmt.Errorf("not a Keycloak of ours")
}

func (k *keycloak) script(command string) error {
	cmd := exec.Command(sources+"/scripts/keycloak", command)
	cmd.Env = k.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/keycloak %s: %w\n%s", command, err, out)
	}
	return nil
}

// aged is what f returns, d later: with a stand-in, the clock is put back for f instead of waiting.
func (k *keycloak) aged(d time.Duration, f func() tokens) tokens {
	if k.standIn == nil {
		made := f()
		time.Sleep(d)
		return made
	}
	k.standIn.Advance(-d)
	defer k.standIn.Advance(d)
	return f()
}

// freePort is a port that nobody else gets while the listener is open.
func freePort() (held net.Listener, port string) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_, port, _ = net.SplitHostPort(held.Addr().String())
	return held, port
}

// listenAgain listens on a port that was freed before: another process may have it for a moment.
func listenAgain(port string) (net.Listener, error) {
	for tries := 1; ; tries++ {
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if tries == 20 || !errors.Is(err, syscall.EADDRINUSE) {
			return listener, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
