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
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

const repository = ".." // the root directory of the repository

// timeout is how long a test waits for an event. Even on a slow machine, only a bug makes a test
// wait that long.
const timeout = 4 * time.Minute

var (
	cloakqlBinary  string    // the path of the built server
	sharedKeycloak *keycloak // used by several tests, which don't stop it
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cloakql-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)

	cloakqlBinary = filepath.Join(dir, "cloakql")
	if err := build(cloakqlBinary, "./cmd/cloakql"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: the server doesn't build:", err)
		return 1
	}
	if url := os.Getenv("TEST_KEYCLOAK_URL"); url != "" {
		sharedKeycloak = &keycloak{url: strings.TrimRight(url, "/")}
		return m.Run()
	}
	sharedKeycloak = newKeycloak(dir)
	if err := sharedKeycloak.start(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: the fake Keycloak doesn't start:", err)
		return 1
	}
	defer sharedKeycloak.stop()
	return m.Run()
}

// build builds a command, such as ./cmd/cloakql, to a file. It also calls os.Stat for every file of
// the repository, so that go test doesn't use a cached result after a change: the cache depends
// only on files that the test itself accesses.
func build(output, command string, flags ...string) error {
	err := filepath.WalkDir(repository, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() &&
			(entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		if err == nil {
			_, err = os.Stat(name)
		}
		if errors.Is(err, fs.ErrNotExist) { // such as an editor's temporary file
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	goBuild := exec.Command("go",
		append(append([]string{"build", "-o", output}, flags...), command)...)
	goBuild.Dir = repository
	if out, err := goBuild.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// A keycloak is the Keycloak that the server under test uses: a fake or, if TEST_KEYCLOAK_URL is
// set, a real one. Tests can start, stop and hang a Keycloak from newKeycloak. If Keycloak is real,
// scripts/keycloak runs it.
type keycloak struct {
	url  string
	port string
	// env is the environment of scripts/keycloak. It is nil for a fake, and for the Keycloak at
	// TEST_KEYCLOAK_URL.
	env      []string
	listener net.Listener         // reserves a fake's port until its first start
	fake     *keycloaktest.Server // nil while it isn't running, and if Keycloak is real
	resume   func()               // ends a fake's hang

	adminMu        sync.Mutex // guards the fields below, of a real Keycloak
	lastAdminToken string
	adminTokenAt   time.Time // when lastAdminToken was requested
}

// usesRealKeycloak reports whether the tests run against a real Keycloak.
func usesRealKeycloak() bool { return os.Getenv("TEST_KEYCLOAK_URL") != "" }

// newKeycloak picks free ports for a Keycloak, but doesn't start it. A fake's port is reserved
// until start or stop: until then, connections to it are accepted and get no response.
func newKeycloak(dir string) *keycloak {
	listener, port := freePort()
	k := &keycloak{url: "http://localhost:" + port, port: port, listener: listener}
	if usesRealKeycloak() {
		managementListener, managementPort := freePort()
		managementListener.Close()
		listener.Close()
		k.listener = nil
		k.env = append(slices.DeleteFunc(os.Environ(), func(entry string) bool {
			return strings.HasPrefix(entry, "KEYCLOAK_") &&
				!strings.HasPrefix(entry, "KEYCLOAK_VERSION=")
		}),
			"KEYCLOAK_PORT="+port, "KEYCLOAK_MANAGEMENT_PORT="+managementPort,
			"KEYCLOAK_RUN_DIR="+filepath.Join(dir, "keycloak-"+port))
	}
	return k
}

// isolatedKeycloak returns a Keycloak for a test that moves the clock: a fake for this test only
// or, if Keycloak is real, sharedKeycloak, whose clock doesn't move.
func isolatedKeycloak(t *testing.T) *keycloak {
	t.Helper()
	if usesRealKeycloak() {
		return sharedKeycloak
	}
	k := newKeycloak(t.TempDir())
	t.Cleanup(func() { k.stop() })
	if err := k.start(); err != nil {
		t.Fatal(err)
	}
	return k
}

// start starts the Keycloak, with new keys.
func (k *keycloak) start() error {
	if k.env != nil {
		k.adminTokenAt = time.Time{} // the new Keycloak has other keys
		return k.script("start")
	}
	file, err := os.ReadFile(repository + "/deploy/keycloak/local-realm.json")
	if err != nil {
		return err
	}
	listener := k.listener
	if k.listener = nil; listener == nil {
		if listener, err = listenAgain(k.port); err != nil {
			return err
		}
	}
	k.fake, err = keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file},
		Listener: listener, PublicURL: k.url, OwnKeys: true})
	return err
}

// stop stops the Keycloak. Its port then refuses connections.
func (k *keycloak) stop() error {
	if k.env != nil {
		return k.script("stop")
	}
	if k.listener != nil {
		k.listener.Close()
		k.listener = nil
	}
	if k.fake != nil {
		k.fake.Close()
		k.fake = nil
	}
	return nil
}

// hang makes the Keycloak accept connections without responding, until unhang is called.
func (k *keycloak) hang() error {
	if k.env == nil {
		k.resume = k.fake.Fail(keycloaktest.Fault{Hang: true})
		return nil
	}
	return k.signal(syscall.SIGSTOP)
}

// unhang makes the Keycloak respond again.
func (k *keycloak) unhang() error {
	if k.env == nil {
		k.resume()
		return nil
	}
	return k.signal(syscall.SIGCONT)
}

// signal sends a signal to the process group of a real Keycloak from newKeycloak.
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
	return errors.New("this Keycloak wasn't started by a test")
}

// script runs a command of scripts/keycloak.
func (k *keycloak) script(command string) error {
	cmd := exec.Command(repository+"/scripts/keycloak", command)
	cmd.Env = k.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/keycloak %s: %w\n%s", command, err, out)
	}
	return nil
}

// agedTokens calls login, and returns its tokens when they are d old. It waits or, with a fake,
// sets the clock back while login runs.
func (k *keycloak) agedTokens(d time.Duration, login func() tokens) tokens {
	if k.fake == nil {
		result := login()
		time.Sleep(d)
		return result
	}
	k.fake.Advance(-d)
	defer k.fake.Advance(d)
	return login()
}

// freePort returns a free port, which is reserved while the listener is open.
func freePort() (listener net.Listener, port string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return listener, port
}

// listenAgain listens on a port that was closed before. It retries, since another process may use
// the port for a moment.
func listenAgain(port string) (net.Listener, error) {
	for tries := 1; ; tries++ {
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if tries == 20 || !errors.Is(err, syscall.EADDRINUSE) {
			return listener, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
