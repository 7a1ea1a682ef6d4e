package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A target is one row of the table.
type target struct {
	name     string
	server   *process
	settings []string // of its CloakQL; nil for bare
	load     load
	want     string // a part of each response
	script   script
	runs     []targetRun
	mallocs  float64 // a request
	bytes    float64 // allocated for a request
}

// A targetRun is the result of one window. cpu is in µs a request.
type targetRun struct {
	result
	cpu float64
}

// targets returns the bare servers and the targets whose names contain filter.
func (s *setup) targets(filter string) ([]*target, error) {
	one, thousand := s.tokens[:1], s.tokens[:1000]
	unknownKey, err := s.keycloak.Realm("bench").Mint(keycloaktest.TokenSpec{
		Header: map[string]any{"kid": "unknown"},
		Claims: map[string]any{"sub": "somebody", "azp": "bench-api", "aud": "bench-api"},
	})
	if err != nil {
		return nil, err
	}
	guarded, err := s.bare.findInLog(guardedPattern)
	if err != nil {
		return nil, err
	}
	me := []string{meBody}
	var hundred []string
	for i := range 100 {
		hundred = append(hundred, fmt.Sprintf(
			`{"query":"query Me%d { me { id username email realmRoles groups } }"}`, i))
	}
	deep := `{"query":"` + strings.Repeat("{ a ", 30) + strings.Repeat("} ", 30) + `"}`
	bare := func(name, url, path string) *target {
		return &target{name: name, server: s.bare, want: `"me"`,
			load: load{url: url, path: path, tokens: one, bodies: me}}
	}
	cloakql := func(name string, tokens, bodies []string, want string,
		settings ...string) *target {
		return &target{name: name, want: want, settings: append([]string{}, settings...),
			load: load{path: "/graphql", tokens: tokens, bodies: bodies}}
	}
	meData, off, small := `"data":{"me":{"id"`, "ANSWER_CACHE=off", "TOKEN_CACHE_BYTES=1048576"
	all := []*target{
		bare("bare net/http", s.bare.url, "/graphql"),
		bare("bare, with CloakQL's headers and timeouts", guarded, "/graphql"),
		bare("bare, JSON in and out", s.bare.url, "/json"),
		bare("bare, one RS256 check", s.bare.url, "/verify"),
		cloakql("me remembered, one token", one, me, meData),
		cloakql("me remembered, 1,000 tokens", thousand, me, meData),
		cloakql("me remembered, 10,000 tokens", s.tokens, me, meData),
		cloakql("me remembered, 100 bodies", thousand[:20], hundred, meData),
		cloakql("me executed, one token", one, me, meData, off),
		cloakql("me executed, 1,000 tokens", thousand, me, meData, off),
		cloakql("me executed, 10,000 tokens", s.tokens, me, meData, off),
		cloakql("me executed, 100 bodies", one, hundred, meData, off),
		cloakql("me executed, a new document each time", one,
			[]string{`{"query":"query Me@@ { me { id username email realmRoles groups } }"}`},
			meData, off),
		cloakql("me executed, a token that isn't cached", s.tokens, me, meData, off, small),
		cloakql("a wrong signature", []string{changeSignature(one[0])}, me,
			"TOKEN_SIGNATURE", off),
		cloakql("an unknown key", []string{unknownKey}, me, "KEY", off),
		cloakql("an invalid document", one,
			[]string{`{"query":"{ me { nothing } }"}`}, "GRAPHQL_VALIDATION_FAILED", off),
		cloakql("a document that is too deep", one, []string{deep},
			"OPERATION_TOO_LARGE", off),
		cloakql("a syntax error", one, []string{`{"query":"{ me {"}`},
			"GRAPHQL_PARSE_FAILED", off),
	}
	var selected []*target
	for i, t := range all {
		if i > 0 && !strings.Contains(t.name, filter) {
			continue
		}
		if t.server == nil { // one of its own, so that no row fills the caches of another
			t.server, err = s.startCloakQL(fmt.Sprint("target-", i), t.settings...)
			if err != nil {
				return nil, err
			}
			s.servers = append(s.servers, t.server)
			t.load.url = t.server.url
		}
		if t.script, err = writeScript(s.dir, fmt.Sprint("target-", i), t.load); err != nil {
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

// check sends one request and returns an error unless the response is the expected one.
func (t *target) check(server *process) error {
	body := strings.ReplaceAll(t.load.bodies[0], "@@", "0")
	response, err := server.post(t.load.path, t.load.tokens[0], body)
	if err != nil || !bytes.Contains(response, []byte(t.want)) {
		return fmt.Errorf("got %s, %v; want %s", response, err, t.want)
	}
	return nil
}

// measure runs the target for one window, and appends the result.
func (t *target) measure(connections int, window time.Duration) error {
	if err := t.check(t.server); err != nil {
		return err
	}
	before, err := t.server.cpu()
	if err != nil {
		return err
	}
	r, err := t.script.run(connections, window)
	if err != nil {
		return err
	}
	after, err := t.server.cpu()
	if err != nil {
		return err
	}
	t.runs = append(t.runs, targetRun{r, float64((after - before).Microseconds()) / r.requests})
	return nil
}

// countAllocations counts the allocations of a request in a server of its own, because counting
// needs the debug listener, and stops all goroutines for a moment.
func (s *setup) countAllocations(t *target, n int, connections int) error {
	server := s.bare
	if t.settings != nil {
		var err error
		server, err = s.startSelf(fmt.Sprint("allocations-", n), s.settings(t.settings...),
			"cloakql")
		if err != nil {
			return err
		}
		defer server.stop()
	}
	l := t.load
	if t.settings != nil {
		l.url = server.url
	}
	counted, err := writeScript(s.dir, fmt.Sprint("allocations-", n), l)
	if err != nil {
		return err
	}
	if _, err := counted.run(connections, time.Second); err != nil { // fill the caches
		return err
	}
	before, err := server.memStats()
	if err != nil {
		return err
	}
	r, err := counted.run(connections, time.Second)
	if err != nil {
		return err
	}
	after, err := server.memStats()
	t.mallocs = float64(after.Mallocs-before.Mallocs) / r.requests
	t.bytes = float64(after.TotalAlloc-before.TotalAlloc) / r.requests
	return err
}
