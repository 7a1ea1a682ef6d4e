package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namePattern matches GraphQL names.
var namePattern = regexp.MustCompile(`[_A-Za-z][_0-9A-Za-z]*`)

// schemaNames returns the names of types, fields and arguments in the schema's files. It includes
// the built-in scalars, since the error for a guessed argument could reveal the argument's type.
func schemaNames(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(repository + "/schema/*.graphqls")
	if err != nil || len(files) == 0 {
		t.Fatalf("schema files: got %q, error %v; want at least one", files, err)
	}
	descriptionPattern := regexp.MustCompile(`(?s)""".*?"""|"[^"\n]*"|#[^\n]*`)
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		schema := descriptionPattern.ReplaceAllString(string(text), " ")
		for _, name := range namePattern.FindAllString(schema, -1) {
			names[name] = true
		}
	}
	for _, word := range []string{"type", "scalar", "directive", "on", "input", "enum", "interface",
		"union", "extend", "repeatable", "FIELD_DEFINITION"} {
		delete(names, word) // keywords, not names
	}
	for _, word := range []string{"name", "alias"} {
		delete(names, word) // error messages use the English word
	}
	for _, name := range []string{"Int", "Float", "String", "Boolean", "ID"} {
		names[name] = true
	}
	for _, name := range []string{"OpenIdToken", "accessToken", "me", "username", "TokenInfo",
		"login"} {
		if !names[name] {
			t.Fatalf("the names found in the schema lack %s: schemaNames is wrong", name)
		}
	}
	return names
}

var (
	// clairvoyanceRoots are documents that clairvoyance sends to recover a schema without
	// introspection (github.com/nikitastupin/clairvoyance, oracle.py, 2.5.5). Clairvoyance replaces
	// FUZZ with its guesses, and extends these documents with the fields that it has found.
	clairvoyanceRoots = []string{
		"query { FUZZ }", "mutation { FUZZ }", "subscription { FUZZ }", "{ me { FUZZ } }",
		"{ me { token { FUZZ } } }",
		"{ me { token { session { FUZZ } } } }", "{ me { clientRoles { FUZZ } } }",
		"{ me { organizations { FUZZ } } }",
		`mutation { login(username: "a", password: "b") { FUZZ } }`,
	}
	// clairvoyanceWords are guesses as in a word list: right, nearly right and wrong.
	clairvoyanceWords = []string{
		"me", "login", "logout", "refresh", "username", "password", "token", "session", "claims",
		"clientRoles", "organizations", "scope", "id", "roles", "mee", "logins", "usernam",
		"passwor", "tokn",
		"sesion", "accesToken", "refreshToke", "clientRole", "realmRole", "emai", "usr", "users",
		"orders", "node", "viewer", "search", "admin", "create", "delete", "IAmWrongField",
	}
)

// No response to clairvoyance's documents contains a name of the schema that isn't in the request.
// Such a name could be in a suggestion or in the message of a validation rule. The documents guess
// each word separately, and all words at once.
func TestClairvoyance(t *testing.T) {
	t.Parallel()
	names := schemaNames(t)
	s := serve(t, sharedKeycloak, "RUNTIME_ENV=prod")
	probeCount := 0
	probe := func(t *testing.T, document string) {
		t.Helper()
		probeCount++
		body, _ := json.Marshal(object{"query": document})
		got := s.postJSON(t, string(body))
		sentNames := map[string]bool{}
		for _, name := range namePattern.FindAllString(document, -1) {
			sentNames[name] = true
		}
		var response struct {
			Data   map[string]any
			Errors []struct{ Message string }
		}
		if err := json.Unmarshal([]byte(got.body), &response); err != nil {
			t.Fatalf("%s: got %d %s, want JSON", document, got.status, got.body)
		}
		reported := map[string]bool{}
		for _, e := range response.Errors {
			if strings.Contains(e.Message, "Did you mean") {
				t.Errorf("%s: the response suggests a name: %s", document, e.Message)
			}
			for _, name := range namePattern.FindAllString(e.Message, -1) {
				if names[name] && !sentNames[name] && !reported[name] &&
					e.Message != "Username or password is incorrect!" {
					reported[name] = true
					t.Errorf("%s: the response names %s: %s", document, name, e.Message)
				}
			}
		}
	}

	allWords := strings.Join(clairvoyanceWords, " ")
	for _, root := range clairvoyanceRoots {
		t.Run(root, func(t *testing.T) {
			probe(t, strings.ReplaceAll(root, "FUZZ", "__typename"))
			probe(t, strings.ReplaceAll(root, "FUZZ", allWords))
			probe(t,
				strings.ReplaceAll(root, "FUZZ",
					"me("+strings.ReplaceAll(allWords, " ", ": 7, ")+": 7)"))
			for _, word := range clairvoyanceWords {
				for _, guess := range []string{"WORD", "WORD { lol }", "WORD(WORD: 7)",
					"login(WORD: 42)", "login(WORD: {}) { lol }", `me(WORD: "42")`,
					"logout(WORD: false)"} {
					probe(t,
						strings.ReplaceAll(root, "FUZZ", strings.ReplaceAll(guess, "WORD", word)))
				}
			}
		})
	}
	// These documents trigger validation rules about variables, fragments and directives.
	// Successors of clairvoyance send such documents; clairvoyance doesn't.
	t.Run("other validation rules", func(t *testing.T) {
		for _, word := range append([]string{"User", "Usr", "OpenIdTokn", "Sesion", "Claim", "Tim",
			"Strin"}, clairvoyanceWords...) {
			for _, document := range []string{
				`query ($v: WORD) { __typename }`, `{ ... on WORD { lol } }`,
				`{ ...F } fragment F on WORD { lol }`, `{ __typename @WORD }`,
				`{ __typename @skip(WORD: 1) }`,
				`{ me { ... on WORD { lol } } }`, `query ($v: Int) { me(WORD: $v) }`,
				`mutation ($v: [Int]) { login(WORD: $v) { lol } }`,
				`{ me { WORD: id WORD: username } }`, `{ me @include { WORD } }`,
				`{ __type(name: "WORD") { name } }`, `{ __schema { WORD } }`,
			} {
				probe(t, strings.ReplaceAll(document, "WORD", word))
			}
		}
	})
	if probeCount < 1000 {
		t.Errorf("sent %d probes, want at least 1000", probeCount)
	}
}
