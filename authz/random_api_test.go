package authz_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/testapi"
)

// apiRules reports whether a user may have a field of testapi. Other fields have no rules.
var apiRules = map[string]func(*identity.User) bool{
	"Query.auth":      isSignedIn,
	"Query.document":  isSignedIn,
	"Query.documents": isSignedIn,
	"Query.node":      isSignedIn,
	"Query.nodes":     isSignedIn,
	"Query.anyRole":   hasRole("admin", "editor"),
	"Query.required":  hasRole("admin"),
	"Query.secret":    hasRole("admin"),
	"Query.report":    hasRole("support"),
	"Query.level":     hasRole("support"),
	"Document.audit":  hasRole("admin", "support"),
	"Document.body":   func(u *identity.User) bool { return u.HasScope("notes:read") },
	"Document.price":  hasRole("admin"),
	"Secret.id":       hasRole("admin"),
	"Secret.title":    hasRole("admin"),
	"Secret.audit":    hasRole("admin"),
	"Secret.text":     hasRole("admin"),
	"Report.memo":     hasRole("support"),
	"Report.pages":    hasRole("support"),
}

func isSignedIn(u *identity.User) bool { return u != nil }

func hasRole(roles ...string) func(*identity.User) bool {
	return func(u *identity.User) bool { return slices.ContainsFunc(roles, u.HasRealmRole) }
}

// apiObjects has the types of the objects that the fields of testapi return, by the field's name.
var apiObjects = map[string][]string{
	"document": {"Document"}, "documents": {"Document", "Document"}, "secret": {"Secret"},
	"node": {"Secret"}, "nodes": {"Document", "Secret"}, "report": {"Report"},
	"search": {"Document", "Secret", "Report"},
}

// apiSelections has selections on each type of testapi. % stands for selections on another type,
// whose name precedes it.
var apiSelections = map[string][]string{
	"Query": {"open", "auth", "anyRole", "level", "document { Document% }",
		"documents { Document% }", "secret { Secret% }", "node { Node% }", "nodes { Node% }",
		"report { Report% }", "search { SearchResult% }", "... { Query% }", "required"},
	"Document": {"id", "title", "audit", "body", "price", "... on Node { Node% }",
		"... on SearchResult { SearchResult% }", "... @include(if: $b) { Document% }"},
	"Secret": {"id", "title", "audit", "text", "... on Node { Node% }"},
	"Report": {"memo", "pages", "... on Internal { Internal% }"},
	"Node": {"id", "title", "audit", "... on Document { Document% }", "... on Secret { Secret% }",
		"... @skip(if: $b) { Node% }"},
	"Internal": {"memo", "... on Report { Report% }"},
	"SearchResult": {"... on Document { Document% }", "... on Node { Node% }",
		"... on Report { Report% }"},
}

// randomSelections returns random selections on a type of testapi. Each field has its own alias.
func randomSelections(r *rand.Rand, typ string, depth int, aliases *int) string {
	text := "__typename "
	for range 1 + r.IntN(4) {
		selection := apiSelections[typ][r.IntN(len(apiSelections[typ]))]
		if !strings.HasPrefix(selection, "...") {
			*aliases++
			selection = fmt.Sprintf("k%d: %s", *aliases, selection)
		}
		if before, after, nested := strings.Cut(selection, "%"); nested {
			if depth > 4 {
				continue
			}
			i := strings.LastIndex(before, " ") + 1
			selection = before[:i] + randomSelections(r, before[i:], depth+1, aliases) + after
		}
		text += selection + " "
	}
	return text
}

// expectedFields appends to want the aliases of the fields that should run for a user. b is the
// value of the variable $b. The result reports whether the object becomes null.
func expectedFields(want *[]string, object string, set ast.SelectionSet, b bool,
	user *identity.User) (isNull bool) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.InlineFragment:
			if skip := selection.Directives.ForName("skip"); skip != nil && b ||
				selection.Directives.ForName("include") != nil && !b {
				continue
			}
			applies := map[string]bool{"": true, object: true,
				"Node":         object == "Document" || object == "Secret",
				"Internal":     object == "Report",
				"SearchResult": true}
			if applies[selection.TypeCondition] {
				isNull = expectedFields(want, object, selection.SelectionSet, b, user) || isNull
			}
		case *ast.Field:
			if selection.Name == "__typename" {
				continue
			}
			nonNull := slices.Contains([]string{"id", "price", "required"}, selection.Name)
			rule := apiRules[object+"."+selection.Name]
			if rule != nil && (user == nil || !rule(user)) {
				isNull = isNull || nonNull
				continue
			}
			*want = append(*want, selection.Alias)
			for _, inner := range apiObjects[selection.Name] {
				// A null doesn't propagate further, because the fields in apiObjects are nullable.
				expectedFields(want, inner, selection.SelectionSet, b, user)
			}
		}
	}
	return isNull
}

// TestRandomOperations sends random operations to a server with gqlgen's generated code. Several
// callers send each operation at once, and share the parsed document. For each caller, exactly the
// allowed fields run.
func TestRandomOperations(t *testing.T) {
	schema := testapi.New()
	server := handler.New(schema)
	server.AddTransport(transport.POST{})
	server.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	type recorderKey struct{}
	type recorder struct {
		mu        sync.Mutex
		ran       []string
		operation *ast.OperationDefinition
	}
	server.AroundFields(func(ctx context.Context, next graphql.Resolver) (any, error) {
		r := ctx.Value(recorderKey{}).(*recorder)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ran = append(r.ran, graphql.GetFieldContext(ctx).Field.Alias)
		return next(ctx)
	})
	server.AroundOperations(func(ctx context.Context,
		next graphql.OperationHandler) graphql.ResponseHandler {
		ctx.Value(recorderKey{}).(*recorder).operation = graphql.GetOperationContext(ctx).Operation
		return next(ctx)
	})

	if err := authz.Install(server, schema, authz.Config{}); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 17))
		document := "query($b: Boolean!) { ... @skip(if: $b) { k: open } " +
			randomSelections(r, "Query", 0, new(int)) + "}"
		var group sync.WaitGroup
		for range 4 {
			b := r.IntN(2) == 0
			var user *identity.User
			if r.IntN(5) > 0 {
				user = &identity.User{ID: "alice", Token: &identity.TokenInfo{}}
				for _, role := range []string{"admin", "support", "editor"} {
					if r.IntN(2) == 0 {
						user.RealmRoles = append(user.RealmRoles, role)
					}
				}
				if r.IntN(2) == 0 {
					user.Token.Scope = []string{"notes:read"}
				}
			}
			group.Go(func() {
				recorded := &recorder{}
				ctx := context.WithValue(t.Context(), recorderKey{}, recorded)
				body, _ := json.Marshal(map[string]any{"query": document,
					"variables": map[string]any{"b": b}})
				request := httptest.NewRequestWithContext(identity.NewContext(ctx, user, nil),
					"POST", "/", strings.NewReader(string(body)))
				request.Header.Set("Content-Type", "application/json")
				response := httptest.NewRecorder()
				server.ServeHTTP(response, request)
				if recorded.operation == nil {
					t.Errorf("seed %d: %s\nresponse %s", seed, document, response.Body)
					return
				}
				var want []string
				if expectedFields(&want, "Query", recorded.operation.SelectionSet, b, user) {
					want = nil // the response is null because Query.required is denied
				}
				slices.Sort(want)
				slices.Sort(recorded.ran)
				if !slices.Equal(recorded.ran, want) {
					t.Errorf("seed %d: %s\nb %t, user %+v\n%v ran, want %v\nresponse %s", seed,
						document, b, user, recorded.ran, want, response.Body)
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
	}
}
