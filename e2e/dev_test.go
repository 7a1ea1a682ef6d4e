package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cloakql-dev prints four lines: the first has the console's address, and the command in the last
// signs alice in. It uses its own fake Keycloak unless the settings point to another Keycloak, and
// refuses to start with the fake in production.
func TestDev(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "cloakql-dev")
	if err := build(binary, "./cmd/cloakql-dev"); err != nil {
		t.Fatal(err)
	}
	start := func(t *testing.T, environ ...string) (lines chan string,
		stop func() (rest []string, err error)) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		server := exec.CommandContext(ctx, binary)
		server.Dir, server.Env = t.TempDir(), append([]string{"ADDR=127.0.0.1:0"}, environ...)
		pipe, err := server.StderrPipe()
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			cancel()
			t.Fatal(err)
		}
		lines = make(chan string, 100)
		go func() {
			defer close(lines)
			for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
				lines <- scanner.Text()
			}
		}()
		stop = sync.OnceValues(func() (rest []string, err error) {
			server.Process.Signal(syscall.SIGTERM)
			for line := range lines {
				rest = append(rest, line)
			}
			return rest, server.Wait()
		})
		t.Cleanup(func() {
			cancel() // kills the server if the test failed before stopping it
			stop()
		})
		return lines, stop
	}
	// readUntilServing reads the log up to the line that reports serving, or to its end if the
	// server exits before that.
	readUntilServing := func(lines chan string) (logLines []string) {
		for line := range lines {
			if logLines = append(logLines, line); servingPattern.MatchString(line) {
				break
			}
		}
		return logLines
	}
	// readPrinted returns the first n lines that aren't log lines.
	readPrinted := func(lines chan string, n int) (printed []string) {
		for line := range lines {
			if !strings.HasPrefix(line, "time=") {
				if printed = append(printed, line); len(printed) == n {
					return printed
				}
			}
		}
		return printed
	}

	t.Run("no settings", func(t *testing.T) {
		startedAt := time.Now()
		lines, stop := start(t)
		printed := readPrinted(lines, 4)
		t.Logf("ready after %v", time.Since(startedAt).Round(time.Millisecond))
		if len(printed) != 4 || !strings.HasPrefix(printed[1], "GraphQL ") ||
			!strings.Contains(printed[2], "alice-password") ||
			!strings.HasPrefix(printed[3], "Try ") {
			t.Fatalf("cloakql-dev prints %q, want the addresses, a user and a command to try",
				printed)
		}
		console := regexp.MustCompile(`^Console +(http://\S+/) `).FindStringSubmatch(printed[0])
		if console == nil {
			t.Fatalf("cloakql-dev prints %q, want the console's address", printed[0])
		}
		consoleServer := &server{url: strings.TrimSuffix(console[1], "/")}
		if status, body := consoleServer.get(t, "/"); status != http.StatusOK ||
			!strings.Contains(body, "<title>CloakQL console</title>") {
			t.Errorf("%s responds %d %s, want the console", console[1], status, body)
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		command := exec.CommandContext(ctx, "bash", "-c",
			strings.TrimSpace(strings.TrimPrefix(printed[3], "Try")))
		command.WaitDelay = time.Second // for a curl that outlives bash
		output, err := command.Output()
		if err != nil ||
			!regexp.MustCompile(
				`^\{"data":\{"login":\{"accessToken":"[^"]+","refreshToken":"[^"]+","expiresIn":300\}\}\}\n?$`).Match(output) {
			t.Errorf("the printed command prints %s (%v), want tokens", output, err)
		}
		if _, err := stop(); err != nil {
			t.Errorf("cloakql-dev exits with %v, want exit status 0", err)
		}
	})
	t.Run("another Keycloak", func(t *testing.T) {
		lines, stop := start(t, "KEYCLOAK_SERVER_URL="+sharedKeycloak.url,
			"KEYCLOAK_REALM_NAME=local", "KEYCLOAK_CLIENT_ID=local-api",
			"KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret")
		if printed := readPrinted(lines, 1); len(printed) != 1 ||
			!strings.Contains(printed[0], "uses the Keycloak at "+sharedKeycloak.url) {
			t.Errorf("cloakql-dev prints %q, want a line that it uses the Keycloak at %s", printed,
				sharedKeycloak.url)
		}
		if _, err := stop(); err != nil {
			t.Errorf("cloakql-dev exits with %v, want exit status 0", err)
		}
	})
	// In production, the log is JSON.
	t.Run("another Keycloak, in production", func(t *testing.T) {
		lines, stop := start(t, "KEYCLOAK_SERVER_URL="+sharedKeycloak.url,
			"KEYCLOAK_REALM_NAME=local", "KEYCLOAK_CLIENT_ID=local-api",
			"KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret",
			"RUNTIME_ENV=prod")
		logLines := readUntilServing(lines)
		rest, err := stop()
		if err != nil {
			t.Errorf("cloakql-dev exits with %v, want exit status 0", err)
		}
		logLines = append(logLines, rest...)
		if !servingPattern.MatchString(strings.Join(logLines, "\n")) {
			t.Errorf("cloakql-dev logs %q, want a line that reports serving", logLines)
		}
		for _, line := range logLines {
			if !json.Valid([]byte(line)) {
				t.Errorf("the log line %q isn't JSON", line)
			}
		}
	})
	for _, tt := range []struct{ name, setting, want string }{
		{"production", "RUNTIME_ENV=prod",
			`RUNTIME_ENV is "prod": the fake Keycloak is for a developer's machine only`},
		{"empty RUNTIME_ENV", "RUNTIME_ENV=",
			`RUNTIME_ENV is "": the fake Keycloak is for a developer's machine only`},
		{"incomplete Keycloak settings", "KEYCLOAK_CLIENT_ID=shop",
			"KEYCLOAK_CLIENT_ID is set, and KEYCLOAK_SERVER_URL isn't"},
		{"invalid setting", "REFRESH_GRACE=soon", "REFRESH_GRACE: expected a duration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines, stop := start(t, tt.setting)
			logLines := readUntilServing(lines)
			if _, err := stop(); err == nil ||
				!strings.Contains(strings.Join(logLines, "\n"), tt.want) {
				t.Errorf("cloakql-dev prints %q and exits with %v, want an error and %q",
					logLines, err, tt.want)
			}
		})
	}
}

// The production binary contains no code or users of the fake Keycloak. Without settings, it exits
// with a message that suggests cloakql-dev.
func TestProgram_withoutFake(t *testing.T) {
	listDependencies := func(name string) string {
		command := exec.Command("go", "list", "-deps", "./cmd/"+name)
		command.Dir = repository
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for _, dependency := range []string{"/keycloaktest", "pquerna/otp", "html/template"} {
		if strings.Contains(listDependencies("cloakql"), dependency) {
			t.Errorf("cmd/cloakql depends on %s", dependency)
		}
		if !strings.Contains(listDependencies("cloakql-dev"), dependency) {
			t.Errorf("cmd/cloakql-dev doesn't depend on %s: this test checks the wrong name",
				dependency)
		}
	}
	// The console of cloakql-dev suggests the users of the development realm and their passwords.
	// The production binary must not contain them.
	dev := filepath.Join(t.TempDir(), "cloakql-dev")
	if err := build(dev, "./cmd/cloakql-dev"); err != nil {
		t.Fatal(err)
	}
	for _, binary := range []string{cloakqlBinary, dev} {
		containsPassword := bytes.Contains(must(os.ReadFile(binary)), []byte("alice-password"))
		if containsPassword != (binary == dev) {
			t.Errorf("%s contains alice-password: %v, want it only in cloakql-dev",
				filepath.Base(binary), containsPassword)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	server := exec.CommandContext(ctx, cloakqlBinary)
	server.Dir, server.Env = t.TempDir(), []string{}
	out, err := server.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "KEYCLOAK_SERVER_URL: is missing") ||
		!strings.Contains(string(out), "go run ./cmd/cloakql-dev") {
		t.Errorf("without settings, cloakql prints %s (%v), want the missing settings and a hint "+
			"at "+
			"cloakql-dev", out, err)
	}
}

// Each command of the built program prints the expected text and exits with the expected status.
func TestProgram_commands(t *testing.T) {
	validSettings := []string{"KEYCLOAK_SERVER_URL=http://localhost:8080",
		"KEYCLOAK_REALM_NAME=local",
		"KEYCLOAK_CLIENT_ID=local-api", "KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret"}
	for _, tt := range []struct {
		argument string
		environ  []string
		status   int
		want     string
	}{
		{"version", nil, 0, "cloakql "},
		{"settings", nil, 0, "\nKEYCLOAK_SERVER_URL\n"},
		{"--help", nil, 0, "Usage: cloakql [command]"},
		{"check", validSettings, 0, "settings are valid"},
		{"check", nil, 1, "KEYCLOAK_SERVER_URL: is missing"},
		{"chekc", validSettings, 2, `"chekc" is not a command`},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		command := exec.CommandContext(ctx, cloakqlBinary, tt.argument)
		command.Dir, command.Env = t.TempDir(), append([]string{}, tt.environ...)
		out, _ := command.CombinedOutput()
		cancel()
		if status := command.ProcessState.ExitCode(); status != tt.status ||
			!strings.Contains(string(out), tt.want) {
			t.Errorf("cloakql %s exits with %d, want %d; it prints %s, want %q in it", tt.argument,
				status, tt.status, out, tt.want)
		}
	}
}
