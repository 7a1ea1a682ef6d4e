package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// meBody is the body of a request that queries me.
const meBody = `{"query":"{ me { id username email realmRoles groups } }"}`

// A setup has the servers to measure, and the fake Keycloak that they use.
type setup struct {
	dir                  string
	keycloak             *keycloaktest.Server
	bare, main, uncached *process      // uncached is a CloakQL without a token cache
	startup              time.Duration // how long main took to listen
}

// A process is a server that runs as a separate process.
type process struct {
	command *exec.Cmd
	url     string
}

// newSetup starts the fake Keycloak and the servers.
func newSetup(binary string) (s *setup, err error) {
	s = &setup{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errors.New("wrk is not installed")
	}
	if s.dir, err = os.MkdirTemp("", "cloakql-bench"); err != nil {
		return nil, err
	}
	if binary == "" {
		binary = filepath.Join(s.dir, "cloakql")
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary,
			"github.com/cloakql/cloakql/cmd/cloakql")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	realm := keycloaktest.RealmSpec{
		Name: "bench",
		Clients: []keycloaktest.ClientSpec{
			{ID: "bench-api", Secret: "bench-secret"},
		},
		Users: []keycloaktest.UserSpec{{Name: "alice", Password: "alice-password"}},
	}
	s.keycloak, err = keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{realm.File()}})
	if err != nil {
		return nil, err
	}
	settings := []string{"RUNTIME_ENV=prod", "ADDR=127.0.0.1:0",
		"KEYCLOAK_SERVER_URL=" + s.keycloak.URL, "KEYCLOAK_REALM_NAME=bench",
		"KEYCLOAK_CLIENT_ID=bench-api", "KEYCLOAK_CLIENT_SECRET_KEY=bench-secret",
		"LOGIN_ATTEMPTS_LIMIT=2000/5ms"}
	before := time.Now()
	if s.main, err = s.startCloakQL(binary, "main", settings); err != nil {
		return nil, err
	}
	s.startup = time.Since(before)
	s.uncached, err = s.startCloakQL(binary, "uncached", append(settings, "TOKEN_CACHE_BYTES=0"))
	if err != nil {
		return nil, err
	}
	token, err := s.mintToken(0)
	if err != nil {
		return nil, err
	}
	response, err := s.main.post("/graphql", token, meBody)
	if err != nil || !bytes.Contains(response, []byte(`"data":{"me":{"id"`)) {
		return nil, fmt.Errorf("me responds %s, %w", response, err)
	}
	file := filepath.Join(s.dir, "response.json")
	if err := os.WriteFile(file, response, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.bare, err = s.startProcess("bare", exec.Command(self, "serve-bare", file),
		regexp.MustCompile(`serving (http://\S+)`))
	return s, err
}

// startCloakQL starts CloakQL with these settings.
func (s *setup) startCloakQL(binary, name string, settings []string) (*process, error) {
	command := exec.Command(binary)
	command.Env = settings
	return s.startProcess(name, command, regexp.MustCompile(`"url":"(http://[^"]+)/graphql"`))
}

// startProcess starts a server, whose log goes to a file as that of a service does. It waits until
// the log has the server's URL.
func (s *setup) startProcess(name string, command *exec.Cmd, urlPattern *regexp.Regexp) (
	*process, error) {
	file := filepath.Join(s.dir, name+".log")
	out, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	command.Dir, command.Stdout, command.Stderr = s.dir, out, out
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if match := urlPattern.FindSubmatch(text); match != nil {
			p.url = string(match[1])
			return p, nil
		}
		time.Sleep(time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s doesn't serve", name)
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
	s.main.stop()
	s.uncached.stop()
	s.bare.stop()
	if s.keycloak != nil {
		s.keycloak.Close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// mintToken returns an access token for alice. Each n gives a different token.
func (s *setup) mintToken(n int) (string, error) {
	return s.keycloak.Realm("bench").Mint(keycloaktest.TokenSpec{
		Lifetime: 10 * time.Hour,
		Claims: map[string]any{
			"sub": "0b2a8b0f-6a0f-4f7b-9a53-2d4d5f1f5c11", "preferred_username": "alice",
			"email": "alice@example.com", "azp": "bench-api", "aud": "bench-api", "number": n,
			"groups":       []string{"/staff", "/staff/ops"},
			"realm_access": map[string]any{"roles": []string{"admin", "reader"}},
		},
	})
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

// rss returns the resident memory of the process in MB.
func (p *process) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	return float64(pages*os.Getpagesize()) / 1e6, err
}

// report prints the main server's startup time and memory.
func (s *setup) report() error {
	rss, err := s.main.rss()
	fmt.Printf("Start to listening %v; %.0f MB resident after all rounds.\n",
		s.startup.Round(100*time.Microsecond), rss)
	return err
}

// serveBare serves the JSON in a file. The handler of /graphql responds with the file's bytes; the
// handler of /json decodes the request and encodes the response.
func serveBare(file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var response any
	if err := json.Unmarshal(body, &response); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/graphql", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Query string }
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(response)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	log.Printf("serving http://%s", listener.Addr())
	return http.Serve(listener, mux)
}
