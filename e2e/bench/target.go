package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A target is a benchmark case: a server and the requests that are sent to it. It becomes a row of
// the table of results.
type target struct {
	name     string
	server   *process
	settings []string // of its CloakQL server; nil if the server is bare
	load     load
	want     string // a part of each response
	script   script
	runs     []targetRun
	mallocs  float64 // allocations per request
	bytes    float64 // allocated bytes per request
}

// A targetRun is the result of one run of a target. cpu is the server's CPU time in µs per request.
type targetRun struct {
	result
	cpu float64
}

// targets returns the bare servers and the targets whose names contain filter.
func (s *setup) targets(filter string) ([]*target, error) {
	oneToken, thousandTokens := s.tokens[:1], s.tokens[:1000]
	unknownKey, err := s.keycloak.Realm("bench").Mint(keycloaktest.TokenSpec{
		Header: map[string]any{"kid": "unknown"},
		Claims: map[string]any{"sub": "somebody", "azp": "bench-api", "aud": "bench-api"},
	})
	if err != nil {
		return nil, err
	}
	hardenedURL, err := s.bare.findInLog(hardenedPattern)
	if err != nil {
		return nil, err
	}
	meBodies := []string{meBody}
	var hundredBodies []string
	for i := range 100 {
		hundredBodies = append(hundredBodies, fmt.Sprintf(
			`{"query":"query Me%d { me { id username email realmRoles groups } }"}`, i))
	}
	deep := `{"query":"` + strings.Repeat("{ a ", 30) + strings.Repeat("} ", 30) + `"}`
	bare := func(name, url, path string) *target {
		return &target{name: name, server: s.bare, want: `"me"`,
			load: load{url: url, path: path, tokens: oneToken, bodies: meBodies}}
	}
	cloakql := func(name string, tokens, bodies []string, want string,
		settings ...string) *target {
		return &target{name: name, want: want, settings: append([]string{}, settings...),
			load: load{path: "/graphql", tokens: tokens, bodies: bodies}}
	}
	const (
		meData          = `"data":{"me":{"id"`
		noAnswerCache   = "ANSWER_CACHE=off"
		smallTokenCache = "TOKEN_CACHE_BYTES=1048576"
	)
	all := []*target{
		bare("bare net/http", s.bare.url, "/graphql"),
		bare("bare, with CloakQL's headers and timeouts", hardenedURL, "/graphql"),
		bare("bare, JSON in and out", s.bare.url, "/json"),
		bare("bare, one RS256 check", s.bare.url, "/verify"),
		cloakql("me, cached response, one token", oneToken, meBodies, meData),
		cloakql("me, cached response, 1,000 tokens", thousandTokens, meBodies, meData),
		cloakql("me, cached response, 10,000 tokens", s.tokens, meBodies, meData),
		cloakql("me, cached response, 100 bodies", thousandTokens[:20], hundredBodies, meData),
		cloakql("me, no response cache, one token", oneToken, meBodies, meData, noAnswerCache),
		cloakql("me, no response cache, 1,000 tokens", thousandTokens, meBodies, meData,
			noAnswerCache),
		cloakql("me, no response cache, 10,000 tokens", s.tokens, meBodies, meData, noAnswerCache),
		cloakql("me, no response cache, 100 bodies", oneToken, hundredBodies, meData,
			noAnswerCache),
		cloakql("me, no response cache, new documents", oneToken,
			[]string{`{"query":"query Me@@ { me { id username email realmRoles groups } }"}`},
			meData, noAnswerCache),
		cloakql("me, no response cache, uncached token", s.tokens, meBodies, meData,
			noAnswerCache, smallTokenCache),
		cloakql("a wrong signature", []string{changeSignature(oneToken[0])}, meBodies,
			"TOKEN_SIGNATURE", noAnswerCache),
		cloakql("an unknown key", []string{unknownKey}, meBodies, "KEY", noAnswerCache),
		cloakql("an invalid document", oneToken,
			[]string{`{"query":"{ me { nothing } }"}`}, "GRAPHQL_VALIDATION_FAILED", noAnswerCache),
		cloakql("a document that is too deep", oneToken, []string{deep},
			"OPERATION_TOO_LARGE", noAnswerCache),
		cloakql("a syntax error", oneToken, []string{`{"query":"{ me {"}`},
			"GRAPHQL_PARSE_FAILED", noAnswerCache),
	}
	var selected []*target
	for i, t := range all {
		if i > 0 && !strings.Contains(t.name, filter) {
			continue
		}
		if t.server == nil { // a new server, so that no target uses the caches of another
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

// check sends one request, and returns an error unless the response contains t.want.
func (t *target) check(server *process) error {
	body := strings.ReplaceAll(t.load.bodies[0], "@@", "0")
	response, err := server.post(t.load.path, t.load.tokens[0], body)
	if err != nil || !bytes.Contains(response, []byte(t.want)) {
		return fmt.Errorf("got %s, %v; want %s", response, err, t.want)
	}
	return nil
}

// measure sends the target's load for the time window, and appends the result to runs.
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

// countAllocations counts the allocations per request. For CloakQL, it starts a separate server
// with the debug listener, because counting stops all goroutines for a moment.
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
	script, err := writeScript(s.dir, fmt.Sprint("allocations-", n), l)
	if err != nil {
		return err
	}
	if _, err := script.run(connections, time.Second); err != nil { // fill the caches
		return err
	}
	before, err := server.memStats()
	if err != nil {
		return err
	}
	r, err := script.run(connections, time.Second)
	if err != nil {
		return err
	}
	after, err := server.memStats()
	t.mallocs = float64(after.Mallocs-before.Mallocs) / r.requests
	t.bytes = float64(after.TotalAlloc-before.TotalAlloc) / r.requests
	return err
}
