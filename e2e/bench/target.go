package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A target is one row of the table.
type target struct {
	name    string
	server  *process
	path    string
	tokens  []string // sent in turn
	bodies  []string // sent in turn
	want    string   // a part of each response
	script  string   // the path of the script for wrk
	results []result
}

// A result has the figures of one window. rate is requests per second, cpu is µs per request,
// and the latencies are in ms.
type result struct{ rate, cpu, p50, p99, p999 float64 }

// targets returns the bare server and the targets whose names contain filter.
func (s *setup) targets(filter string) ([]*target, error) {
	mintTokens := func(n, first int) (list []string, err error) {
		for i := range n {
			token, err := s.mintToken(first + i)
			if err != nil {
				return nil, err
			}
			list = append(list, token)
		}
		return list, nil
	}
	manyTokens, err := mintTokens(10_000, 1)
	if err != nil {
		return nil, err
	}
	oneToken := manyTokens[:1]
	unknownKeyToken, err := s.keycloak.Realm("bench").Mint(keycloaktest.TokenSpec{
		Header: map[string]any{"kid": "unknown"},
		Claims: map[string]any{"sub": "somebody", "azp": "bench-api", "aud": "bench-api"},
	})
	if err != nil {
		return nil, err
	}
	var differentBodies []string
	for i := range 100 {
		differentBodies = append(differentBodies, fmt.Sprintf(
			`{"query":"query Me%d { me { id username email realmRoles groups } }"}`, i))
	}
	meBodies, meData := []string{meBody}, `"data":{"me":{"id"`
	loginBody := `{"query":"mutation { login(username: \"alice\", password: \"alice-password\") ` +
		`{ accessToken refreshToken } }"}`
	deepBody := `{"query":"` + strings.Repeat("{ a ", 30) + strings.Repeat("} ", 30) + `"}`
	targets := []*target{
		{name: "bare net/http", server: s.bare, path: "/graphql", bodies: meBodies, want: meData},
		{name: "bare, JSON in and out", server: s.bare, path: "/json", bodies: meBodies, want: `"me"`},
		{name: "me, one token", server: s.main, tokens: oneToken, bodies: meBodies, want: meData},
		{name: "me, 1,000 tokens", server: s.main, tokens: manyTokens[:1000], bodies: meBodies, want: meData},
		{name: "me, 10,000 tokens", server: s.main, tokens: manyTokens, bodies: meBodies, want: meData},
		{name: "me, 100 documents", server: s.main, tokens: oneToken, bodies: differentBodies, want: meData},
		{name: "me, no token cache", server: s.uncached, tokens: oneToken, bodies: meBodies, want: meData},
		{name: "me, a wrong signature", server: s.main, tokens: []string{changeSignature(oneToken[0])},
			bodies: meBodies, want: "TOKEN_SIGNATURE"},
		{name: "me, an unknown key", server: s.main, tokens: []string{unknownKeyToken}, bodies: meBodies,
			want: "KEY"},
		{name: "an invalid document", server: s.main, tokens: oneToken,
			bodies: []string{`{"query":"{ me { nothing } }"}`}, want: "GRAPHQL_VALIDATION_FAILED"},
		{name: "a document that is too deep", server: s.main, tokens: oneToken,
			bodies: []string{deepBody}, want: "OPERATION_TOO_LARGE"},
		{name: "login", server: s.main, bodies: []string{loginBody}, want: "accessToken"},
	}
	var selected []*target
	for i, t := range targets {
		if i > 0 && !strings.Contains(t.name, filter) {
			continue
		}
		if t.path == "" {
			t.path = "/graphql"
		}
		if t.script, err = s.writeScript(i, t); err != nil {
			return nil, err
		}
		selected = append(selected, t)
	}
	return selected, nil
}

// changeSignature returns a token with one letter of its signature changed.
func changeSignature(token string) string {
	i := len(token) - 40
	letter := "A"
	if token[i] == 'A' {
		letter = "B"
	}
	return token[:i] + letter + token[i+1:]
}

// writeScript writes the script that makes wrk send a target's tokens and bodies in turn.
func (s *setup) writeScript(n int, t *target) (string, error) {
	luaTable := func(texts []string) string {
		var b strings.Builder
		for _, text := range texts {
			b.WriteString("[==[" + text + "]==],\n")
		}
		return "{" + b.String() + "}"
	}
	script := `
local tokens = ` + luaTable(t.tokens) + `
local bodies = ` + luaTable(t.bodies) + `
local threads, n = 0, 0
function setup(thread) thread:set("n", threads); threads = threads + 1 end
function request()
  n = n + 1
  local headers = {["Content-Type"] = "application/json"}
  if #tokens > 0 then headers["Authorization"] = "Bearer " .. tokens[n % #tokens + 1] end
  return wrk.format("POST", "` + t.path + `", headers, bodies[n % #bodies + 1])
end
function done(summary, latency)
  io.write(string.format("RESULT %d %d %f %f %f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
`
	file := filepath.Join(s.dir, fmt.Sprintf("%d.lua", n))
	return file, os.WriteFile(file, []byte(script), 0o600)
}

var resultPattern = regexp.MustCompile(`RESULT (\d+) (\d+) (\S+) (\S+) (\S+) (\d+)`)

// measure measures the target for one window, and appends the result.
func (t *target) measure(opts options) error {
	token := ""
	if len(t.tokens) > 0 {
		token = t.tokens[0]
	}
	response, err := t.server.post(t.path, token, t.bodies[0])
	if err != nil || !bytes.Contains(response, []byte(t.want)) {
		return fmt.Errorf("got %s, %v; want %s", response, err, t.want)
	}
	before, err := t.server.cpu()
	if err != nil {
		return err
	}
	out, err := exec.Command("wrk", "-t2", "-c", strconv.Itoa(opts.connections), "-d",
		fmt.Sprint(int(opts.window.Seconds())), "-s", t.script, t.server.url).CombinedOutput()
	if err != nil {
		return fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := t.server.cpu()
	if err != nil {
		return err
	}
	match := resultPattern.FindSubmatch(out)
	if match == nil {
		return fmt.Errorf("wrk printed %s", out)
	}
	var values [6]float64
	for i := range values {
		if values[i], err = strconv.ParseFloat(string(match[i+1]), 64); err != nil {
			return err
		}
	}
	if values[0] == 0 || values[5] > 0 {
		return fmt.Errorf("%.0f of %.0f requests failed", values[5], values[0])
	}
	t.results = append(t.results, result{
		rate: values[0] / values[1] * 1e6,
		cpu:  float64((after - before).Microseconds()) / values[0],
		p50:  values[2] / 1e3, p99: values[3] / 1e3, p999: values[4] / 1e3,
	})
	return nil
}
