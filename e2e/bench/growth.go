package main

import (
	"fmt"
	"os"
	"strings"
)

// measureGrowth prints how the figures change with the number of connections, tokens and fields.
// Each row is measured with a new server, whose memory contains nothing from earlier rows.
func (s *setup) measureGrowth(o options) error {
	printHeader := func(unit string) {
		fmt.Printf("\n| %s | requests/s | CPU µs | p50 ms | p99 ms | resident MB at most |\n", unit)
		fmt.Println("|---|---|---|---|---|---|")
	}
	rowCount := 0
	measureRow := func(label string, connections int, tokens []string, body string,
		settings ...string) error {
		rowCount++
		fmt.Fprintln(os.Stderr, "growth:", label)
		server, err := s.startCloakQL(fmt.Sprint("growth-", rowCount), settings...)
		if err != nil {
			return err
		}
		defer server.stop()
		t := &target{server: server, want: `"data":{"me":{"`,
			load: load{url: server.url, path: "/graphql", tokens: tokens, bodies: []string{body}}}
		if t.script, err = writeScript(s.dir, fmt.Sprint("growth-", rowCount), t.load); err != nil {
			return err
		}
		if err := t.measure(connections, o.window); err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
		_, peak, err := server.memory()
		r := t.runs[0]
		fmt.Printf("| %s | %.0f | %.1f | %.2f | %.1f | %.0f |\n", label, r.rate, r.cpu, r.p50,
			r.p99,
			peak)
		return err
	}
	for _, cache := range []string{"off", "on"} {
		if !strings.Contains("connections", o.only) {
			break
		}
		fmt.Printf("\nANSWER_CACHE=%s, 1,000 tokens:\n", cache)
		printHeader("connections")
		for _, connections := range []int{1, 4, 16, 64, 256, 1024, 4096} {
			err := measureRow(fmt.Sprint(connections), connections, s.tokens[:1000], meBody,
				"ANSWER_CACHE="+cache)
			if err != nil {
				return err
			}
		}
	}
	if strings.Contains("tokens", o.only) {
		fmt.Fprintln(os.Stderr, "signing 1,000,000 tokens")
		tokens, err := s.mintTokens(1_000_000, "ES256")
		if err != nil {
			return err
		}
		fmt.Printf("\nTokens signed with ES256, %d connections:\n", o.connections)
		printHeader("tokens in turn")
		for count := 1; count <= len(tokens); count *= 10 {
			err := measureRow(fmt.Sprint(count), o.connections, tokens[:count], meBody)
			if err != nil {
				return err
			}
		}
	}
	if !strings.Contains("fields", o.only) {
		return nil
	}
	fmt.Printf("\nANSWER_CACHE=off, one token, %d connections:\n", o.connections)
	printHeader("fields")
	for _, count := range []int{1, 2, 5, 10, 20, 50, 100, 200} {
		var fields strings.Builder
		for i := range count {
			fmt.Fprintf(&fields, "f%d: email ", i)
		}
		err := measureRow(fmt.Sprint(count), o.connections, s.tokens[:1],
			`{"query":"{ me { `+fields.String()+`} }"}`, "ANSWER_CACHE=off", "LIMIT_ALIASES=200")
		if err != nil {
			return err
		}
	}
	return nil
}
