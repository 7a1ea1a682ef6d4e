package authz_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/identity"
)

// A guardCase has a field of Query with a guard, and functions that change the user of contextOf.
type guardCase struct {
	field      string               // with arguments
	satisfying func(*identity.User) // lets the user satisfy the guard
	lacking    func(*identity.User) // lets the user almost satisfy the guard; may be nil
	err        error                // the error for the user lacking
}

var guardCases = []guardCase{
	{"auth", func(*identity.User) {}, nil, nil},
	{"anyRole", realmRoles("editor"), realmRoles("Editor", "editors", ""), identity.ErrRoleMissing},
	{"allRoles", realmRoles("editor", "admin", "x"), realmRoles("editor"),
		identity.ErrRoleMissing},
	{"clientRole", clientRoles("billing", "viewer"), func(u *identity.User) {
		realmRoles("viewer")(u)
		clientRoles("shop", "viewer")(u)
		u.ClientRoles = append(u.ClientRoles, identity.ClientRoles{Client: "billing",
			Roles: []string{"payer"}})
	}, identity.ErrRoleMissing},
	{"anyScope", scopes("notes:write"), scopes("notes", "notes:"), identity.ErrScopeMissing},
	{"allScopes", scopes("notes:write", "notes:read"), scopes("notes:read"),
		identity.ErrScopeMissing},
	// If the lists were read as an AND of ORs, a token with notes:read and audit would be denied.
	{"scopeLists", scopes("notes:read", "audit"), scopes("audit"), identity.ErrScopeMissing},
	{"scopeLists", scopes("notes:write"), scopes("notes:read"), identity.ErrScopeMissing},
	{"group", groups("/staff"), groups("/staff/ops", "staff", "/staffing"),
		identity.ErrGroupMissing},
	{"subgroup", groups("/staff/ops"), groups("/staffing", "/x/staff/ops"),
		identity.ErrGroupMissing},
	{"subgroup", groups("/staff"), groups("/"), identity.ErrGroupMissing},
	{"organization", organizations("acme"), organizations("acme2", "Acme"),
		identity.ErrOrganizationMissing},
	{`organizationNotes(alias: "blue")`, organizations("acme", "blue"), organizations("acme"),
		identity.ErrOrganizationMissing},
	{"claim", claims(`{"tenant":{"tier":"gold"}}`), claims(`{"tenant":{"tier":["gold"]},` +
		`"tier":"gold","tenant.tier":"gold"}`), identity.ErrClaimMissing},
	{`owned(userId: "alice")`, func(*identity.User) {}, id("alice2"), identity.ErrNotOwner},
	{`owned(userId: "bob")`, realmRoles("admin"), clientRoles("billing", "admin"),
		identity.ErrNotOwner},
	{`ownedInput(input: {userId: "alice"})`, func(*identity.User) {}, id("Alice"),
		identity.ErrNotOwner},
	{`ownedInput(input: {userId: "bob"})`, id("bob"), realmRoles("admin"), identity.ErrNotOwner},
	{"notImpersonated", func(*identity.User) {}, impersonated, identity.ErrImpersonated},
	{"strong", acr("gold"), acr("Gold"), identity.ErrStepUpRequired},
	{"recent", signedIn(5 * time.Minute), signedIn(5*time.Minute + time.Second),
		identity.ErrStepUpRequired},
	{"recent", signedIn(0), func(u *identity.User) { u.Token.Session = nil },
		identity.ErrStepUpRequired},
	{"both", func(u *identity.User) { realmRoles("admin")(u); scopes("notes:read")(u) },
		realmRoles("admin"), identity.ErrScopeMissing},
	{"both", func(u *identity.User) { realmRoles("admin")(u); scopes("notes:read")(u) },
		scopes("notes:read"), identity.ErrRoleMissing},
}

// name returns the field's name without arguments.
func (c guardCase) name() string {
	name, _, _ := strings.Cut(c.field, "(")
	return name
}

// A guardCaller is a caller of a guarded field.
type guardCaller struct {
	ctx context.Context
	err error // the error that the caller gets, or nil
}

// callers returns callers of the field, with a description of each caller as the key.
func (c guardCase) callers() map[string]guardCaller {
	unverified := func(err error) context.Context {
		return identity.NewContext(context.Background(), nil, err)
	}
	asImpersonated := guardCaller{ctx: contextOf(func(u *identity.User) {
		c.satisfying(u)
		impersonated(u)
	})}
	if c.name() == "notImpersonated" {
		asImpersonated.err = c.err
	}
	asServiceAccount := guardCaller{ctx: contextOf(func(u *identity.User) {
		c.satisfying(u)
		u.Token.Session = nil
	})}
	if c.name() == "recent" {
		asServiceAccount.err = c.err
	}
	callers := map[string]guardCaller{
		"nothing in the context": {context.Background(), identity.ErrTokenMissing},
		"anonymous":              {unverified(nil), identity.ErrTokenMissing},
		"expired":                {unverified(identity.ErrTokenExpired), identity.ErrTokenExpired},
		"bad token": {unverified(identity.ErrTokenSignature),
			identity.ErrTokenSignature},
		"satisfying":                       {contextOf(c.satisfying), nil},
		"satisfying, impersonated":         asImpersonated,
		"satisfying, as a service account": asServiceAccount,
	}
	if c.lacking != nil {
		callers["lacking"] = guardCaller{contextOf(c.lacking), c.err}
	}
	return callers
}

// Each guard admits only callers who satisfy it, however an operation selects the field. The
// resolver of a denied field never runs.
func TestMatrix(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	for _, tt := range guardCases {
		for callerName, caller := range tt.callers() {
			for shape, document := range map[string]string{
				"field":           "{ %s }",
				"alias":           "{ x: %s }",
				"inline fragment": "{ ... { %s } }",
				"typed fragment":  "{ ... on Query { ... on Query { %s } } }",
				"fragment":        "{ ...F } fragment F on Query { ...G } fragment G on Query { %s }",
				"included":        "query($t: Boolean!) { ... @include(if: $t) { %s } }",
				"not skipped":     "query($f: Boolean!) { ... @skip(if: $f) { %s } }",
			} {
				key := tt.name()
				if shape == "alias" {
					key = "x"
				}
				got := s.query(caller.ctx, fmt.Sprintf(document, tt.field), variablesFor(document))
				response := fmt.Sprintf(`{"data":{"%s":"text"}}`, key)
				ran := []string{"Query." + tt.name()}
				if caller.err != nil {
					response = fmt.Sprintf(
						`{"errors":[{"message":%q,"path":["%s"]}],"data":{"%s":null}}`,
						caller.err, key, key)
					ran = nil
				}
				if got != response {
					t.Errorf("%s, %s, %s:\ngot  %s\nwant %s", tt.field, callerName, shape, got,
						response)
				}
				if !slices.Equal(s.ran(), ran) {
					t.Errorf("%s, %s, %s: %v ran, want %v", tt.field, callerName, shape, s.ran(),
						ran)
				}
			}
			// No rule is checked for a field that isn't included.
			got := s.query(caller.ctx, fmt.Sprintf(
				"query($t: Boolean!) { open ... @skip(if: $t) { %s } }", tt.field),
				map[string]any{"t": true})
			if got != `{"data":{"open":"text"}}` {
				t.Errorf("%s, %s, skipped: got %s", tt.field, callerName, got)
			}
		}
	}
}

// A rule on a type, an interface or a field of an interface applies wherever an operation reaches
// an object of the type. A denied nullable field is null, with an error. The rest of a query runs.
func TestRules_types(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	alice := contextOf(nil)
	const roleMissing, scopeMissing = "a role is missing", "a scope is missing"
	errorAt := func(message string, path ...any) string {
		text, _ := json.Marshal(path)
		return fmt.Sprintf(`{"message":%q,"path":%s}`, message, text)
	}
	for _, tt := range []struct {
		name, document, data string
		errs                 []string
		ran                  []string
	}{
		{"nested", "{ document { title audit } }", `{"document":{"title":"text","audit":null}}`,
			[]string{errorAt(roleMissing, "document", "audit")},
			[]string{"Document.title", "Query.document"}},
		{"two levels down", "{ document { next { body } } }", `{"document":{"next":{"body":null}}}`,
			[]string{errorAt(scopeMissing, "document", "next", "body")},
			[]string{"Document.next", "Query.document"}},
		{"in a list", "{ documents { id audit } }",
			`{"documents":[{"id":"d","audit":null},{"id":"e","audit":null}]}`,
			[]string{errorAt(roleMissing, "documents", 0, "audit"),
				errorAt(roleMissing, "documents", 1, "audit")},
			[]string{"Document.id", "Document.id", "Query.documents"}},
		{"non-null below a nullable parent", "{ document { price } open }",
			`{"document":null,"open":"text"}`, []string{errorAt(roleMissing, "document", "price")},
			[]string{"Query.document", "Query.open"}},
		{"the whole response would be null", "{ open strictDocuments { id price } }", "null",
			[]string{errorAt(roleMissing, "strictDocuments", "price")}, nil},
		{"non-null root field", "{ open required }", "null",
			[]string{errorAt(roleMissing, "required")}, nil},
		{"one of two denials makes the response null", "{ erased: anyRole required }", "null",
			[]string{errorAt(roleMissing, "erased"), errorAt(roleMissing, "required")}, nil},
		{"returned type", "{ secret { text } }", `{"secret":null}`,
			[]string{errorAt(roleMissing, "secret")}, nil},
		{"__typename of a returned type", "{ secret { __typename } }", `{"secret":null}`,
			[]string{errorAt(roleMissing, "secret")}, nil},
		{"type behind an interface", "{ node { title } }", `{"node":{"title":null}}`,
			[]string{errorAt(roleMissing, "node", "title")}, []string{"Query.node"}},
		{"type behind an interface, in a fragment", "{ node { ... on Secret { text } } }",
			`{"node":{"text":null}}`, []string{errorAt(roleMissing, "node", "text")},
			[]string{"Query.node"}},
		{"the interface's own field", "{ nodes { audit title } }",
			`{"nodes":[{"audit":null,"title":"text"},{"audit":null,"title":null}]}`,
			[]string{errorAt(roleMissing, "nodes", 0, "audit"),
				errorAt(roleMissing, "nodes", 1, "audit"),
				errorAt(roleMissing, "nodes", 1, "title")},
			[]string{"Document.title", "Query.nodes"}},
		{"members of a union", "{ search { ... on Document { title } " +
			"... on Secret { title text } ... on Report { memo } } }",
			`{"search":[{"title":"text"},{"title":null,"text":null},{"memo":null}]}`,
			[]string{errorAt(roleMissing, "search", 1, "title"),
				errorAt(roleMissing, "search", 1, "text"),
				errorAt(roleMissing, "search", 2, "memo")},
			[]string{"Document.title", "Query.search"}},
		// A denied field in one fragment must not remove an allowed field in another fragment that
		// has the same response key.
		{"one response key, two types", "{ search { ... on Secret { x: text } " +
			"... on Document { x: title } } }", `{"search":[{"x":"text"},{"x":null},{}]}`,
			[]string{errorAt(roleMissing, "search", 1, "x")},
			[]string{"Document.title", "Query.search"}},
		{"non-null in a fragment that may not apply",
			"{ search { ... on Document { price } ... on Report { __typename } } }",
			`{"search":null}`, []string{errorAt(roleMissing, "search", 0, "price")},
			[]string{"Query.search"}},
		{"interface of a returned type", "{ report { pages } }", `{"report":null}`,
			[]string{errorAt(roleMissing, "report")}, nil},
		{"enum", "{ level }", `{"level":null}`, []string{errorAt(roleMissing, "level")}, nil},
		{"everything is denied", "{ anyRole allRoles }", `{"anyRole":null,"allRoles":null}`,
			[]string{errorAt(roleMissing, "anyRole"), errorAt(roleMissing, "allRoles")}, nil},
		{"__typename of the root", "{ __typename anyRole }",
			`{"__typename":"Query","anyRole":null}`,
			[]string{errorAt(roleMissing, "anyRole")}, nil},
		{"one fragment in two places", "{ a: document { ...F } b: document { ...F } } " +
			"fragment F on Document { body }", `{"a":{"body":null},"b":{"body":null}}`,
			[]string{errorAt(scopeMissing, "a", "body"), errorAt(scopeMissing, "b", "body")},
			[]string{"Query.document", "Query.document"}},
		{"one fragment in two places; in one, it makes the response null",
			"{ document { ...F } strictDocuments { ...F } } fragment F on Document { price }",
			"null", []string{errorAt(roleMissing, "document", "price"),
				errorAt(roleMissing, "strictDocuments", "price")}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.query(alice, tt.document, nil)
			var response struct {
				Errors []json.RawMessage
				Data   json.RawMessage
			}
			if err := json.Unmarshal([]byte(got), &response); err != nil {
				t.Fatalf("response %s: %v", got, err)
			}
			var errs []string
			for _, err := range response.Errors {
				errs = append(errs, string(err))
			}
			slices.Sort(errs) // fields run concurrently
			slices.Sort(tt.errs)
			if string(response.Data) != tt.data || !slices.Equal(errs, tt.errs) {
				t.Errorf("got %s\nwant data %s\nand errors %s", got, tt.data, tt.errs)
			}
			if !slices.Equal(s.ran(), tt.ran) {
				t.Errorf("%v ran, want %v", s.ran(), tt.ran)
			}
		})
	}
}

// If one field of a mutation is denied, no field runs. This also applies if only some of the
// possible types of an object have the rule.
func TestRules_mutations(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	alice := contextOf(nil)
	for document, want := range map[string]string{
		"mutation { write erase }": `{"errors":[{"message":"a role is missing","path":["erase"]}],` +
			`"data":null}`,
		"mutation { create { id audit } }": `{"errors":[{"message":"a role is missing",` +
			`"path":["create","audit"]}],"data":null}`,
		"mutation { createNode { id } }": `{"errors":[{"message":"a role is missing",` +
			`"path":["createNode","id"]}],"data":null}`,
		"mutation { write(filter: {and: [{deleted: true}]}) }": `{"errors":[{"message":"a role is ` +
			`missing","path":["write"]}],"data":null}`,
	} {
		if got := s.query(alice, document, nil); got != want || s.ran() != nil {
			t.Errorf("%s: got %s, and %v ran\nwant %s, and nothing runs", document, got, s.ran(),
				want)
		}
	}
	want := `{"data":{"write":"text","create":{"id":"d"}}}`
	if got := s.query(alice, "mutation { write create { id } }", nil); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A rule on an input field or an enum applies if the client sends the field or a value of the enum,
// at any depth.
func TestRules_inputs(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	alice := contextOf(nil)
	const denied = `{"errors":[{"message":"a role is missing","path":["find"]}],` +
		`"data":{"find":null}}`
	for _, tt := range []struct {
		document  string
		variables map[string]any
		denied    bool
	}{
		{`{ find }`, nil, false},
		{`{ find(filter: {text: "x"}) }`, nil, false},
		{`{ find(filter: {deleted: false}) }`, nil, true},
		{`{ find(filter: {and: [{text: "x"}, {and: {deleted: true}}]}) }`, nil, true},
		{`{ find(filter: {level: LOW}) }`, nil, true},
		{`{ find(levels: [LOW]) }`, nil, true},
		{`{ find(levels: LOW) }`, nil, true},
		{`{ find(levels: []) }`, nil, false},
		{`query($f: Filter) { find(filter: $f) }`, nil, false},
		{`query($f: Filter) { find(filter: $f) }`,
			map[string]any{"f": map[string]any{"text": "x"}}, false},
		{`query($f: Filter) { find(filter: $f) }`,
			map[string]any{"f": map[string]any{"deleted": true}}, true},
		{`query($f: Filter = {deleted: true}) { find(filter: $f) }`, nil, true},
		{`query($f: Filter) { find(filter: $f) }`,
			map[string]any{"f": map[string]any{"and": map[string]any{"level": "LOW"}}}, true},
		{`query($d: Boolean) { find(filter: {deleted: $d}) }`, map[string]any{"d": false}, true},
		{`query($l: [Level!]) { find(levels: $l) }`, map[string]any{"l": "LOW"}, true},
		{`query($l: Level!) { find(levels: [$l]) }`, map[string]any{"l": "LOW"}, true},
	} {
		got := s.query(alice, tt.document, tt.variables)
		want, ran := `{"data":{"find":"text"}}`, []string{"Query.find"}
		if tt.denied {
			want, ran = denied, nil
		}
		if got != want || !slices.Equal(s.ran(), ran) {
			t.Errorf("%s %v: got %s, and %v ran; want %s", tt.document, tt.variables, got, s.ran(),
				want)
		}
	}
	admin := contextOf(realmRoles("admin", "support"))
	got := s.query(admin, `{ find(filter: {deleted: true, level: LOW}, levels: LOW) }`, nil)
	if got != `{"data":{"find":"text"}}` {
		t.Errorf("an admin got %s", got)
	}
}
