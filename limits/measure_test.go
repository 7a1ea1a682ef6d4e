package limits_test

import (
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/limits"
)

// TestRootFieldMax_firstByName checks that if several root fields are selected too often, the error
// always names the one that comes first alphabetically.
func TestRootFieldMax_firstByName(t *testing.T) {
	l := limits.Limits{RootFieldMax: map[string]int{"logout": 0, "refresh": 0, "login": 0}}
	for range 100 {
		err := l.MutateOperationParameters(t.Context(), &graphql.RawParams{
			Query: `mutation { refresh(refreshToken: "a") { scope } login { scope } logout }`})
		if err == nil || !strings.Contains(err.Error(), `"login"`) {
			t.Fatalf("MutateOperationParameters() = %v, want an error that names login", err)
		}
	}
}
