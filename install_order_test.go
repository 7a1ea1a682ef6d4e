package cloakql_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"
	gqlast "github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/limits"
)

// The order of limits.Install and graphqlhttp.Install doesn't matter: limits apply to the document
// that the client sent, validation rules and suggestions are the same, and values are read
// correctly.
func TestInstall_anyOrder(t *testing.T) {
	const key = `\uD83D\uDD11` // a surrogate pair, which gqlparser misreads
	longest := strings.Repeat("x", limits.DefaultStringBytes)
	queries := map[string]string{
		"{ me { id } }": "UNAUTHENTICATED/TOKEN_MISSING",
		"{ __typename ": "GRAPHQL_PARSE_FAILED",
		"{ nowhere }":   "GRAPHQL_VALIDATION_FAILED",
		"{ me }":        "GRAPHQL_VALIDATION_FAILED",
		"{ ...F } fragment F on Quer { me { id } }": "GRAPHQL_VALIDATION_FAILED",
		`"described" query Me { me { id } }`:        "UNAUTHENTICATED/TOKEN_MISSING",

		`mutation { login(username: "", password: "` + key + `") { scope } }`: "BAD_USER_INPUT",
		`mutation { logout(refreshToken: "` + key + `", nowhere: 1) }`:        "GRAPHQL_VALIDATION_FAILED",
		`mutation { logout(refreshToken: {a: "` + key + `"}) }`:               "GRAPHQL_VALIDATION_FAILED",
		`mutation { logout(refreshToken: "` + key + `") ! }`:                  "GRAPHQL_PARSE_FAILED",
		`mutation { logout(refreshToken: "\uD83D") }`:                         "GRAPHQL_PARSE_FAILED",
		// This string is one byte too long as the client wrote it, but not after graphqlhttp has
		// rewritten the escape.
		`mutation { logout(refreshToken: "` + key + longest[11:] + `") }`: "OPERATION_TOO_LARGE/STRINGS",

		"{" + strings.Repeat(" a: me { id }", limits.DefaultRootFields+1) + "}": "OPERATION_TOO_LARGE/ROOT_FIELDS",
		strings.Repeat("{", 5000): "GRAPHQL_PARSE_FAILED",
		"{ me" + strings.Repeat("\n#", limits.DefaultTokens) + "\n{ id } }":              "OPERATION_TOO_LARGE/TOKENS",
		"{" + strings.Repeat(" me { nowhere }", limits.DefaultRootFields) + "}":          "GRAPHQL_VALIDATION_FAILED",
		"{" + strings.Repeat(" me { nowhere }", limits.DefaultRootFields) + `} "\uD83D"`: "GRAPHQL_PARSE_FAILED",
	}
	for _, introspection := range []bool{false, true} {
		servers := installInAnyOrder(t, introspection,
			generated.NewExecutableSchema(generated.Config{
				Resolvers:  plainServer{},
				Directives: generated.DirectiveRoot{Public: authz.Public, Auth: authz.Auth},
			}))
		for query, want := range queries {
			bodies := [2]string{postTo(servers[0], query), postTo(servers[1], query)}
			code, reason, _ := strings.Cut(want, "/")
			if bodies[0] != bodies[1] || !strings.Contains(bodies[0], `"code":"`+code+`"`) ||
				reason != "" && !strings.Contains(bodies[0], `"reason":"`+reason+`"`) {
				t.Errorf(
					"introspection %t, %.80s:\nlimits first %.300s\nHTTP first   %.300s\nwant "+
						"%s from both",
					introspection, query, bodies[0], bodies[1], want)
			}
		}
		// gqlparser's own rules accept these two lists as equal.
		schema := gqlparser.MustLoadSchema(&gqlast.Source{Input: "type Query { f(l: [Int]): Int }"})
		servers = installInAnyOrder(t, introspection,
			&graphql.ExecutableSchemaMock{SchemaFunc: func() *gqlast.Schema { return schema }})
		for _, server := range servers {
			if got := postTo(server, "{ f(l: [1]) f(l: [2]) }"); !strings.Contains(got,
				"GRAPHQL_VALIDATION_FAILED") {
				t.Errorf("the server lacks the validation rules of limits: %s", got)
			}
		}
	}
}

// installInAnyOrder returns a server on which limits were installed first, and one on which they
// were installed last.
func installInAnyOrder(t *testing.T, introspection bool,
	schema graphql.ExecutableSchema) [2]*handler.Server {
	t.Helper()
	installLimits := func(server *handler.Server) error {
		return limits.Install(server, limits.Limits{})
	}
	installHTTP := func(server *handler.Server) error {
		return graphqlhttp.Install(server, graphqlhttp.Config{
			Errors: &apierror.Presenter{}, Introspection: introspection, MaxBodyBytes: 1 << 20,
		})
	}
	first, last := handler.New(schema), handler.New(schema)
	err := errors.Join(installLimits(first), installHTTP(first), installHTTP(last),
		installLimits(last))
	if err != nil {
		t.Fatal(err)
	}
	return [2]*handler.Server{first, last}
}

// postTo sends a query and returns the body of the response.
func postTo(server http.Handler, query string) string {
	request := httptest.NewRequest(http.MethodPost, "/",
		strings.NewReader(fmt.Sprintf(`{"query":%q}`, query)))
	request.Header.Set("Content-Type", "application/json")
	response := httptest.NewRecorder()
	server.ServeHTTP(response, request)
	return response.Body.String()
}
