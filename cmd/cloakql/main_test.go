package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// requiredSettings are the settings that have no default.
var requiredSettings = []string{
	"KEYCLOAK_SERVER_URL=http://localhost:8080", "KEYCLOAK_REALM_NAME=shop",
	"KEYCLOAK_CLIENT_ID=shop-api", "KEYCLOAK_CLIENT_SECRET_KEY=canary-5f0c",
}

// A lockedBuffer is a bytes.Buffer that is safe for concurrent use, because a fetch of keys may log
// an error even after run has returned.
type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestRun runs each command, and checks its output and its exit status.
func TestRun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	environ := func(extra ...string) []string { return slices.Concat(requiredSettings, extra) }
	for name, tt := range map[string]struct {
		args           []string
		environ        []string
		status         int
		stdout, stderr []string // substrings of the output; nil means no output
	}{
		"--help": {args: []string{"--help"},
			stdout: []string{"Usage: cloakql [command]\n", "\n  check ", "\n  check --live "}},
		"-h":   {args: []string{"-h"}, stdout: []string{"Usage: cloakql [command]\n"}},
		"help": {args: []string{"help"}, stdout: []string{"Usage: cloakql [command]\n"}},
		"serve --help": {args: []string{"serve", "--help"},
			stdout: []string{"Usage: cloakql [command]\n"}},
		"unknown command": {args: []string{"serv"}, status: 2,
			stderr: []string{`cloakql: "serv" is not a command` + "\n\nUsage: "}},
		"unknown command with a flag": {args: []string{"chekc", "--live"}, status: 2,
			stderr: []string{`cloakql: "chekc" is not a command` + "\n\nUsage: "}},
		"help with a flag": {args: []string{"help", "--all"},
			stdout: []string{"Usage: cloakql [command]\n"}},
		"two commands": {args: []string{"check", "serve"}, status: 2,
			stderr: []string{`cloakql: unexpected argument "serve"`}},
		"unknown flag": {args: []string{"--port=1"}, status: 2,
			stderr: []string{"cloakql: flag provided but not defined: -port\n\nUsage: "}},
		"unknown flag of a command": {args: []string{"check", "-v"}, status: 2,
			stderr: []string{"cloakql: flag provided but not defined: -v\n"}},

		"two flags": {args: []string{"check", "--live", "--ready"}, status: 2,
			stderr: []string{`cloakql: "check --live --ready": expected at most one flag`}},
		"flag of another command": {args: []string{"serve", "--live"}, status: 2,
			stderr: []string{"cloakql: flag provided but not defined: -live\n\nUsage: "}},
		"flag before the command": {args: []string{"--live", "check"}, status: 2,
			stderr: []string{"cloakql: flag provided but not defined: -live\n"}},
		"flag and argument": {args: []string{"check", "--live", "now"}, status: 2,
			stderr: []string{`cloakql: unexpected argument "now"`}},

		"settings": {args: []string{"settings"},
			stdout: []string{"\nKEYCLOAK_TIMEOUT\n    Default: 8s. Accepted: 1s to 1m.\n"}},
		"version": {args: []string{"version"}, stdout: []string{"cloakql ", " go1."}},

		"policy": {args: []string{"policy"}, stdout: []string{"" +
			"Mutation.login    @public\n" +
			"Mutation.refresh  @public\n" +
			"Mutation.logout   @public\n" +
			"Query.me          @auth\n"}},
		"policy of a subgraph": {args: []string{"policy"}, environ: []string{"FEDERATION=true"},
			stdout: []string{"User.email          @auth  from User\n"}},
		"policy, bad setting": {args: []string{"policy"}, environ: []string{"FEDERATION=maybe"},
			status: 1, stderr: []string{`FEDERATION: is "maybe": expected true or false`}},
		"policy --json": {args: []string{"policy", "--json"},
			stdout: []string{`"field": "Query.me",`, `"rule": "@auth",`}},

		"check": {args: []string{"check"},
			environ: environ("RUNTIME_ENV=prod", "KEYCLOAK_SERVER_URL=https://sso.example.com"),
			stdout: []string{
				"settings are valid, from the environment only, since there is no .env " +
					"here\naddr=:8000 local=false realm=https://sso.example.com/realms/shop " +
					"client=shop-api ",
				" console=false introspection=false introspectionRole=\"\" getQueries=false corsOrigins=[] "}},
		"check, former setting": {args: []string{"check"}, environ: environ("LIMIT_PAIRS=1"),
			stdout: []string{"settings are valid"},
			stderr: []string{"warning: LIMIT_PAIRS is no longer a setting"}},
		"check, bad settings": {args: []string{"check"},
			environ: environ("ADDR=x", "KEYCLOAK_TIMEOUT=soon"), status: 1,
			stderr: []string{"\nADDR: is \"x\": expected",
				"\nKEYCLOAK_TIMEOUT: expected a duration"}},
		"check --live, no settings": {args: []string{"check", "--live"}, status: 1,
			stderr: []string{"\nKEYCLOAK_SERVER_URL: is missing"}},
		"check --live, port 0": {args: []string{"check", "--live"},
			environ: environ("ADDR=127.0.0.1:0"), status: 1,
			stderr: []string{"ADDR: is 127.0.0.1:0: expected the port that the server listens on"}},
		"check, no settings": {args: []string{"check"}, status: 1,
			stderr: []string{"\nKEYCLOAK_SERVER_URL: is missing"}},

		"default command, no settings": {status: 1,
			stderr: []string{"\nKEYCLOAK_SERVER_URL: is missing"}},
		"serve, port in use": {args: []string{"serve"},
			environ: environ("ADDR=" + listener.Addr().String()), status: 1,
			stderr: []string{"ADDR: another program listens"}},
		"default command, then stop": {environ: environ("ADDR=127.0.0.1:0"),
			stderr: []string{"msg=serving url=http://127.0.0.1:"}},
		"serve, then stop": {args: []string{"serve"}, environ: environ("ADDR=127.0.0.1:0"),
			stderr: []string{"msg=serving url=http://127.0.0.1:"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // a server that listens stops at once
			var stdout, stderr lockedBuffer
			status := run(ctx, tt.args, tt.environ, t.TempDir(), &stdout, &stderr)
			if status != tt.status {
				t.Errorf("exit status %d, want %d", status, tt.status)
			}
			for _, out := range []struct {
				name string
				text string
				want []string
			}{{"stdout", stdout.String(), tt.stdout}, {"stderr", stderr.String(), tt.stderr}} {
				if len(out.want) == 0 && out.text != "" {
					t.Errorf("%s is %q, want nothing", out.name, out.text)
				}
				for _, want := range out.want {
					if !strings.Contains(out.text, want) {
						t.Errorf("%s lacks %q:\n%s", out.name, want, out.text)
					}
				}
				if strings.Contains(out.text, "canary") {
					t.Errorf("%s is\n%s\nwant it without the secret", out.name, out.text)
				}
			}
		})
	}
}

// The command check reads the settings file, like serve.
func TestRun_checkFile(t *testing.T) {
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, ".env"),
		[]byte(strings.Join(requiredSettings, "\n")+"\nADDR=127.0.0.1:9\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that run returns if it serves
	status := run(ctx, []string{"check"}, []string{"RUNTIME_ENV=prod"}, dir, &stdout, &stderr)
	if want := "settings are valid, from the environment and .env\naddr=127.0.0.1:9 "; status !=
		0 || !strings.HasPrefix(stdout.String(), want) {
		t.Errorf("exit status %d, stdout %q; want 0 and %q", status, stdout.String(), want)
	}
}

// The health checks in the Dockerfile and in compose.yaml run existing commands of cloakql. If the
// server isn't running, they exit with 1, as Docker requires.
func TestRun_healthChecks(t *testing.T) {
	for file, commandPattern := range map[string]*regexp.Regexp{
		"../../Dockerfile":          regexp.MustCompile(`(?m)^HEALTHCHECK .*CMD (\[.*\])$`),
		"../../deploy/compose.yaml": regexp.MustCompile(`(?m)^ +test: (\["CMD", "/cloakql".*\])$`),
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		match := commandPattern.FindSubmatch(text)
		if match == nil {
			t.Errorf("%s has no health check", file)
			continue
		}
		var args []string
		if err := json.Unmarshal(match[1], &args); err != nil {
			t.Fatalf("%s: %s: %v", file, match[1], err)
		}
		if args[0] == "CMD" {
			args = args[1:]
		}
		var stdout, stderr lockedBuffer
		environ := append([]string{"ADDR=127.0.0.1:1"}, requiredSettings...)
		status := run(t.Context(), args[1:], environ, t.TempDir(), &stdout, &stderr)
		if args[0] != "/cloakql" || status != 1 ||
			!strings.HasPrefix(stderr.String(), "http://127.0.0.1:1/") {
			t.Errorf("%s: %q exits with %d and prints %s; want 1 and the URL", file, args, status,
				stderr.String())
		}
	}
}
