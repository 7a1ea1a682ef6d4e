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

// limits.Install and graphqlhttp.Install may be called in either order. In both orders, the limits
// count the document as the client sent it, validation rules and suggestions are the same, and
// string values are decoded correctly.
func TestInstall_eitherOrder(t *testing.T) {
	// the escape of a surrogate pair, which gqlparser would misread
	const surrogates = `\uD83D\uDD11`
	longestString := strings.Repeat("x", limits.DefaultStringBytes)
	queries := map[string]string{
		"{ me { id } }":    "UNAUTHENTICATED/TOKEN_MISSING",
		"{ __typename ":    "GRAPHQL_PARSE_FAILED",
		"{ unknownField }": "GRAPHQL_VALIDATION_FAILED",
		"{ me }":           "GRAPHQL_VALIDATION_FAILED",
		"{ ...F } fragment F on Quer { me { id } }": "GRAPHQL_VALIDATION_FAILED",
		`"described" query Me { me { id } }`:        "UNAUTHENTICATED/TOKEN_MISSING",

		`mutation { login(username: "", password: "` + surrogates +
			`") { scope } }`: "BAD_USER_INPUT",
		`mutation { logout(refreshToken: "` + surrogates +
			`", unknownField: 1) }`: "GRAPHQL_VALIDATION_FAILED",
		`mutation { logout(refreshToken: {a: "` + surrogates +
			`"}) }`: "GRAPHQL_VALIDATION_FAILED",
		`mutation { logout(refreshToken: "` + surrogates +
			`") ! }`: "GRAPHQL_PARSE_FAILED",
		`mutation { logout(refreshToken: "\uD83D") }`: "GRAPHQL_PARSE_FAILED",
		// As the client wrote it, this string is one byte too long. After graphqlhttp has rewritten
		// the escape, it no longer is.
		`mutation { logout(refreshToken: "` + surrogates + longestString[11:] +
			`") }`: "OPERATION_TOO_LARGE/STRINGS",

		"{" + strings.Repeat(" a: me { id }", limits.DefaultRootFields+1) +
			"}": "OPERATION_TOO_LARGE/ROOT_FIELDS",
		strings.Repeat("{", 5000): "GRAPHQL_PARSE_FAILED",
		"{ me" + strings.Repeat("\n#", limits.DefaultTokens) +
			"\n{ id } }": "OPERATION_TOO_LARGE/TOKENS",
		"{" + strings.Repeat(" me { unknownField }", limits.DefaultRootFields) +
			"}": "GRAPHQL_VALIDATION_FAILED",
		"{" + strings.Repeat(" me { unknownField }", limits.DefaultRootFields) +
			`} "\uD83D"`: "GRAPHQL_PARSE_FAILED",
	}
	for _, introspection := range []bool{false, true} {
		servers := installInBothOrders(t, introspection,
			generated.NewExecutableSchema(generated.Config{
				Resolvers:  directResolvers{},
				Directives: generated.DirectiveRoot{Public: authz.Public, Auth: authz.Auth},
			}))
		for query, want := range queries {
			bodies := [2]string{postTo(servers[0], query), postTo(servers[1], query)}
			code, reason, _ := strings.Cut(want, "/")
			if bodies[0] != bodies[1] || !strings.Contains(bodies[0], `"code":"`+code+`"`) ||
				reason != "" && !strings.Contains(bodies[0], `"reason":"`+reason+`"`) {
				t.Errorf(
					"introspection %t, %.80s:\nlimits installed first: %.300s\nlimits installed "+
						"last:  %.300s\nwant %s from both",
					introspection, query, bodies[0], bodies[1], want)
			}
		}
		// gqlparser's own rules treat the two lists in the query below as equal, so only the rules
		// of package limits report the conflict.
		schema := gqlparser.MustLoadSchema(&gqlast.Source{Input: "type Query { f(l: [Int]): Int }"})
		servers = installInBothOrders(t, introspection,
			&graphql.ExecutableSchemaMock{SchemaFunc: func() *gqlast.Schema { return schema }})
		for _, server := range servers {
			if got := postTo(server, "{ f(l: [1]) f(l: [2]) }"); !strings.Contains(got,
				"GRAPHQL_VALIDATION_FAILED") {
				t.Errorf("conflicting lists: got %s, want GRAPHQL_VALIDATION_FAILED", got)
			}
		}
	}
}

// installInBothOrders returns two servers with package limits and graphqlhttp: one on which limits
// was installed first, and one on which it was installed last.
func installInBothOrders(t *testing.T, introspection bool,
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
	limitsFirst, limitsLast := handler.New(schema), handler.New(schema)
	err := errors.Join(installLimits(limitsFirst), installHTTP(limitsFirst),
		installHTTP(limitsLast), installLimits(limitsLast))
	if err != nil {
		t.Fatal(err)
	}
	return [2]*handler.Server{limitsFirst, limitsLast}
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
