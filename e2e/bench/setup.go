package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// meBody is the body of a request that queries me.
const meBody = `{"query":"{ me { id username email realmRoles groups } }"}`

const (
	tokenCount = 10_000 // different tokens
	userCount  = 512    // users who sign in
)

// A setup has the fake Keycloak and the servers to measure.
type setup struct {
	dir      string
	binary   string // cmd/cloakql
	keycloak *keycloaktest.Server
	listener *countingListener // accepts the fake Keycloak's connections
	tokens   []string

	bare    *process
	servers []*process // of the targets
}

// A process is a server that runs as a separate process.
type process struct {
	command *exec.Cmd
	url     string
	log     string // the path of its log
}

// A countingListener counts the connections that it accepts.
type countingListener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return conn, err
}

// newSetup builds cmd/cloakql unless binary is the path of a built one, and starts the fake
// Keycloak.
func newSetup(binary string) (*setup, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errors.New("wrk is not installed")
	}
	dir, err := os.MkdirTemp("", "cloakql-bench")
	if err != nil {
		return nil, err
	}
	s := &setup{dir: dir, binary: binary}
	if err := s.start(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *setup) start() (err error) {
	if s.binary == "" {
		s.binary = filepath.Join(s.dir, "cloakql")
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", s.binary,
			"github.com/cloakql/cloakql/cmd/cloakql")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	if s.binary, err = filepath.Abs(s.binary); err != nil {
		return err
	}
	realm := keycloaktest.RealmSpec{
		Name:    "bench",
		Clients: []keycloaktest.ClientSpec{{ID: "bench-api", Secret: "bench-secret"}},
	}
	for i := range userCount {
		realm.Users = append(realm.Users,
			keycloaktest.UserSpec{Name: userName(i), Password: "password-of-" + userName(i)})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.listener = &countingListener{Listener: listener}
	s.keycloak, err = keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{realm.File()},
		Listener: s.listener})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "signing %d tokens\n", tokenCount)
	s.tokens, err = s.mintTokens(tokenCount, "RS256")
	return err
}

// userName returns the name of the user with this number.
func userName(n int) string { return fmt.Sprintf("user-%d", n) }

// startBare starts the bare server, which sends CloakQL's response to meBody.
func (s *setup) startBare() error {
	server, err := s.startCloakQL("response")
	if err != nil {
		return err
	}
	defer server.stop()
	response, err := server.post("/graphql", s.tokens[0], meBody)
	if err != nil || !bytes.Contains(response, []byte(`"data":{"me":{"id"`)) {
		return fmt.Errorf("me responds %s, %w", response, err)
	}
	file := filepath.Join(s.dir, "response.json")
	if err := os.WriteFile(file, response, 0o600); err != nil {
		return err
	}
	s.bare, err = s.startSelf("bare", nil, "bare", file)
	return err
}

// settings returns the settings of a CloakQL server, followed by more.
func (s *setup) settings(more ...string) []string {
	return slices.Concat([]string{"RUNTIME_ENV=prod", "ADDR=127.0.0.1:0",
		"KEYCLOAK_SERVER_URL=" + s.keycloak.URL, "KEYCLOAK_REALM_NAME=bench",
		"KEYCLOAK_CLIENT_ID=bench-api", "KEYCLOAK_CLIENT_SECRET_KEY=bench-secret",
		// Each sign-in that wrk sends has a different client address in X-Forwarded-For.
		"TRUSTED_PROXIES=127.0.0.1"}, more)
}

// startCloakQL starts cmd/cloakql.
func (s *setup) startCloakQL(name string, settings ...string) (*process, error) {
	command := exec.Command(s.binary)
	command.Env = s.settings(settings...)
	return s.startProcess(name, command)
}

// startSelf starts this program with the arguments serve and args.
func (s *setup) startSelf(name string, env []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, append([]string{"serve"}, args...)...)
	command.Env = env
	return s.startProcess(name, command)
}

var urlPattern = regexp.MustCompile(`(?:"url":"|serving )(http://[^"/\s]+)`)

// startProcess starts a server, whose log goes to a file. It waits until the log has the server's
// URL.
func (s *setup) startProcess(name string, command *exec.Cmd) (*process, error) {
	p := &process{command: command, log: filepath.Join(s.dir, name+".log")}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	command.Dir, command.Stdout, command.Stderr = s.dir, out, out
	if err := command.Start(); err != nil {
		return nil, err
	}
	if p.url, err = p.findInLog(urlPattern); err != nil {
		p.stop()
	}
	return p, err
}

// findInLog waits until the log matches a pattern, and returns the pattern's first group.
func (p *process) findInLog(pattern *regexp.Regexp) (string, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		text, err := os.ReadFile(p.log)
		if err != nil {
			return "", err
		}
		if match := pattern.FindSubmatch(text); match != nil {
			return string(match[1]), nil
		}
		time.Sleep(time.Millisecond / 2)
	}
	return "", fmt.Errorf("the log %s lacks %v", p.log, pattern)
}

// stop kills the process, if there is one.
func (p *process) stop() {
	if p != nil {
		p.command.Process.Kill()
		p.command.Wait()
	}
}

// close stops the servers and the fake Keycloak, and removes their files.
func (s *setup) close() {
	for _, p := range append(s.servers, s.bare) {
		p.stop()
	}
	if s.keycloak != nil {
		s.keycloak.Close()
	}
	os.RemoveAll(s.dir)
}

// mintTokens returns n different access tokens of one user.
func (s *setup) mintTokens(n int, algorithm string) ([]string, error) {
	tokens := make([]string, n)
	for i := range tokens {
		var err error
		tokens[i], err = s.keycloak.Realm("bench").Mint(keycloaktest.TokenSpec{
			Lifetime: 10 * time.Hour, Algorithm: algorithm,
			Claims: map[string]any{
				"sub": "0b2a8b0f-6a0f-4f7b-9a53-2d4d5f1f5c11", "preferred_username": "alice",
				"email": "alice@example.com", "azp": "bench-api", "aud": "bench-api", "number": i,
				"groups":       []string{"/staff", "/staff/ops"},
				"realm_access": map[string]any{"roles": []string{"admin", "reader"}},
			},
		})
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// post sends one request and returns the response's body.
func (p *process) post(path, token, body string) ([]byte, error) {
	request, err := http.NewRequest("POST", p.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// cpu returns the CPU time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	// Skip the command's name, which may contain blanks. The first field after it is the state.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, userErr := strconv.Atoi(fields[11])
	system, systemErr := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go supports
	return time.Duration(user+system) * tick, errors.Join(userErr, systemErr)
}

// memory returns the resident memory of the process and its maximum so far, in MB.
func (p *process) memory() (current, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	kilobytes := func(name string) float64 {
		match := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
		if match == nil {
			err = fmt.Errorf("/proc/%d/status lacks %s", p.command.Process.Pid, name)
			return 0
		}
		n, _ := strconv.ParseFloat(string(match[1]), 64)
		return n * 1024 / 1e6
	}
	return kilobytes("VmRSS"), kilobytes("VmHWM"), err
}

// memStats returns the allocations of a process that startSelf started.
func (p *process) memStats() (stats memStats, err error) {
	debugURL, err := p.findInLog(regexp.MustCompile(`debug (http://\S+)`))
	if err != nil {
		return stats, err
	}
	response, err := http.Get(debugURL + "/memstats")
	if err != nil {
		return stats, err
	}
	defer response.Body.Close()
	return stats, json.NewDecoder(response.Body).Decode(&stats)
}
