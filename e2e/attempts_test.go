package e2e

import (
	"strings"
	"sync"
	"testing"
)

// Five sign-ins of one user at one moment, the password right: the realm has brute-force protection on, and a real
// Keycloak that gets them at once refuses four, with the words for a wrong password.
func TestSignInsOfOneUserAtOnce(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared)
	var callers sync.WaitGroup
	for _, name := range []string{user, strings.ToUpper(user), user, user, user} {
		callers.Go(func() {
			got, err := s.try(t.Context(), "", loginQuery, map[string]any{"u": name, "p": "secret"})
			if err != nil || !strings.Contains(string(got.body), `"accessToken"`) {
				t.Errorf("%s: %v, want tokens: %s", name, err, got.body)
			}
		})
	}
	callers.Wait()
}
