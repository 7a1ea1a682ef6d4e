package cloakql_test

import (
	"fmt"
	"strings"
	"testing"
)

// The limits refuse small documents that gqlparser can't validate safely: fragment cycles, which
// would overflow its stack and crash this test; fragments that each double the validation time; and
// conflicts that take hundreds of megabytes.
func TestLimits_smallExpensiveDocuments(t *testing.T) {
	s := newTestServer(t, testConfig(t, "RUNTIME_ENV=prod"), nil)
	doublingFragments := `{ __type(name: "User") { ...F0 } }`
	for i := range 40 {
		doublingFragments += fmt.Sprintf(" fragment F%d on __Type { ...F%d ...F%d }", i, i+1, i+1)
	}
	doublingFragments += " fragment F40 on __Type { name }"
	conflictingFields := "fragment F on Query { me { " +
		strings.Repeat("a: id a: name ", 110) + "} }"
	for i := range 46 {
		conflictingFields += fmt.Sprintf(" query q%d { ...F }", i)
	}
	nestFragments := func(selections string) string {
		return "{ me { " + strings.Repeat("... { ", 110) + selections +
			strings.Repeat("} ", 110) + "} }"
	}
	longName := strings.Repeat("n", 55_000)
	longMessages := "{ __type(name: \"User\") { " + strings.Repeat("x: name ", 150) +
		strings.Repeat("ofType { ...F } ", 90) + "} } fragment F on __Type { ofType { x: " +
		longName +
		" } }"
	for name, tt := range map[string]struct{ document, want string }{
		"repeated field in nested fragments": {nestFragments(strings.Repeat("id ", 655)),
			"OPERATION_TOO_LARGE"},
		"conflicts in nested fragments": {nestFragments(strings.Repeat("x: id x: name ", 109)),
			"OPERATION_TOO_LARGE"},
		"conflicts with long error messages": {longMessages, "OPERATION_TOO_LARGE"},
		"fragment cycle": {`{me{...A}} fragment A on User{token{token{...A}} token{...A}}`,
			"within itself"},
		"fragment cycle through the root": {`{...A} fragment A on Query{me{me{...A} id} me{...A}}`,
			"within itself"},
		"cycle of two fragments": {
			`{me{...A}} fragment A on User{token{...B} token{token{...B}}} fragment B on ` +
				`User{token{...A} token{token{...A}}}`, "within itself",
		},
		"unused fragment cycle": {`{me{id}} fragment A on User{token{...A}}`, "within itself"},
		"doubling fragments":    {doublingFragments, "OPERATION_TOO_LARGE"},
		"conflicting fields":    {conflictingFields, "OPERATION_TOO_LARGE"},
	} {
		if _, body := s.do(t, testRequest{query: tt.document}); !strings.Contains(body, tt.want) ||
			len(body) > 1_000 {
			t.Errorf("%s: got %.1000s, want an error with %q", name, body, tt.want)
		}
	}
}
