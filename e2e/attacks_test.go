package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Five concurrent sign-ins of one user, with the right password, all succeed. The realm has
// brute-force protection on: a real Keycloak that received them at once would reject four of them
// as if the password were wrong. The sign-ins come from three networks, since at most two from the
// same network may wait in a username's queue.
func TestLogin_concurrent(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak, "TRUSTED_PROXIES=127.0.0.1")
	var callers sync.WaitGroup
	for i, name := range []string{user, strings.ToUpper(user), user, user, user} {
		callers.Go(func() {
			got, err := s.sendQueryFrom(t.Context(), fmt.Sprintf("192.0.%d.7", i/2), "", loginQuery,
				map[string]any{"u": name, "p": "secret"})
			if err != nil || !strings.Contains(string(got.body), `"accessToken"`) {
				t.Errorf("login as %s: got %s, error %v; want tokens", name, got.body, err)
			}
		})
	}
	callers.Wait()
}

// A codeCounter counts responses by error code; the empty code is success.
type codeCounter struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

// add counts a response by its code or, if there is none, an error by its text.
func (c *codeCounter) add(got result, err error) {
	code := got.code()
	if err != nil {
		code = err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[code]++
}

// wantSuccess checks that at least 95 of 100 calls succeeded.
func (c *codeCounter) wantSuccess(t *testing.T, name string) {
	t.Helper()
	total := 0
	for _, n := range c.counts {
		total += n
	}
	t.Logf("%s: %v", name, c.counts)
	if total != 100 || c.counts[""] < 95 {
		t.Errorf("%s: %d of %d calls succeeded, want at least 95 of 100: %v", name, c.counts[""],
			total, c.counts)
	}
}

// runDuringAttack calls f while 100 goroutines call attack repeatedly, and returns the counts of
// attack's responses. attack gets the number of its goroutine, from 0 to 99, and how many calls
// this goroutine has made before.
func runDuringAttack(t *testing.T,
	attack func(ctx context.Context, connection, n int) (result, error), f func()) *codeCounter {
	t.Helper()
	var responses codeCounter
	ctx, stop := context.WithCancel(t.Context())
	var connections sync.WaitGroup
	started := make(chan bool, 100)
	for i := range 100 {
		connections.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				got, err := attack(ctx, i, n)
				if ctx.Err() == nil {
					responses.add(got, err)
				}
				if n == 0 {
					started <- true
				}
				// Pause, since the test shares its cores with the server.
				select {
				case <-time.After(200 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	for range 10 {
		<-started
	}
	f()
	stop()
	connections.Wait()
	t.Logf("responses to the attack: %v", responses.counts)
	return &responses
}

const (
	attackerIP, ownerIP = "192.0.2.7", "198.51.100.7"
	// longTimeout keeps a slow test machine from failing the tests.
	longTimeout = "KEYCLOAK_TIMEOUT=55s"
)

// newAttackedServer creates a realm with Keycloak's default limits for brute-force protection, and
// starts a server for it that distinguishes clients by address.
func newAttackedServer(t *testing.T) (realm, *server) {
	t.Helper()
	r := newRealm(t, sharedKeycloak, object{"bruteForceProtected": true, "clients": []object{
		apiClient(object{"serviceAccountsEnabled": true,
			"attributes": object{"client_credentials.use_refresh_token": "true"}}),
	}})
	return r, r.serve(t, "TRUSTED_PROXIES=127.0.0.1", longTimeout, "REQUEST_TIMEOUT=2m")
}

// callHundredTimes calls f with each number from 0 to 99, four calls at a time.
func callHundredTimes(f func(i int)) {
	var workers sync.WaitGroup
	numbers := make(chan int)
	for range 4 {
		workers.Go(func() {
			for i := range numbers {
				f(i)
			}
		})
	}
	for i := range 100 {
		numbers <- i
	}
	close(numbers)
	workers.Wait()
}

// While an attacker signs in over 100 connections, with made-up names and with accounts of their
// own, users at another address can sign in.
func TestLogin_underAttack(t *testing.T) {
	r, s := newAttackedServer(t)
	var attackerNames, ownerNames []string
	for range 4 {
		name, _ := r.newUser(t, nil)
		attackerNames = append(attackerNames, name)
		name, _ = r.newUser(t, nil)
		ownerNames = append(ownerNames, name)
	}
	var ownerResponses codeCounter
	runDuringAttack(t, func(ctx context.Context, connection, n int) (result, error) {
		name, password := fmt.Sprintf("nobody-%d-%d", connection, n), "guess"
		if connection%2 == 0 {
			name, password = attackerNames[connection/2%len(attackerNames)], "secret"
		}
		return s.sendQueryFrom(ctx, attackerIP, "", loginQuery, object{"u": name, "p": password})
	}, func() {
		callHundredTimes(func(i int) {
			ownerResponses.add(s.sendQueryFrom(t.Context(), ownerIP, "", loginQuery,
				object{"u": ownerNames[i%4], "p": "secret"}))
		})
	})
	ownerResponses.wantSuccess(t, "sign-ins from another address")
}

// startSessions starts n sessions directly at Keycloak, and returns their refresh tokens. They are
// sessions of the client's service account, which Keycloak starts without hashing a password.
func (r realm) startSessions(t *testing.T, n int) []string {
	t.Helper()
	var refreshTokens []string
	for range n {
		status, body := r.k.token(t, r.name, "grant_type", "client_credentials", "client_id",
			"local-api", "client_secret", "local-api-secret")
		var token struct {
			RefreshToken string `json:"refresh_token"`
		}
		if json.Unmarshal([]byte(body), &token); token.RefreshToken == "" {
			t.Fatalf("token request at Keycloak: got %d %s, want a refresh token", status, body)
		}
		refreshTokens = append(refreshTokens, token.RefreshToken)
	}
	return refreshTokens
}

// forgedToken returns a well-formed refresh token that the realm never issued.
func forgedToken(n int) string {
	segment := func(text string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	return segment(`{"alg":"HS512","typ":"JWT","kid":"none"}`) + "." +
		segment(fmt.Sprintf(`{"sid":"session-%d"}`, n)) + "." + segment("no signature")
}

// While an attacker refreshes over 100 connections, with sessions of their own and with forged
// tokens, users at another address can refresh.
func TestRefresh_underAttack(t *testing.T) {
	r, s := newAttackedServer(t)
	attackerTokens, ownerTokens := r.startSessions(t, 20), r.startSessions(t, 4)
	refresh := func(ctx context.Context, address string, token *string) (result, error) {
		got, err := s.sendQueryFrom(ctx, address, "", refreshQuery, object{"r": *token})
		if raw := got.Data["refresh"]; err == nil && raw != nil {
			var refreshed tokens
			err := json.Unmarshal(raw, &refreshed)
			if err == nil && refreshed.RefreshToken != "" {
				*token = refreshed.RefreshToken
			}
		}
		return got, err
	}
	var ownerResponses codeCounter
	runDuringAttack(t, func(ctx context.Context, connection, n int) (result, error) {
		if connection < len(attackerTokens) {
			return refresh(ctx, attackerIP, &attackerTokens[connection])
		}
		token := forgedToken(100*n + connection)
		return refresh(ctx, attackerIP, &token)
	}, func() {
		var workers sync.WaitGroup
		for i := range ownerTokens {
			workers.Go(func() {
				for range 25 {
					ownerResponses.add(refresh(t.Context(), ownerIP, &ownerTokens[i]))
				}
			})
		}
		workers.Wait()
	})
	ownerResponses.wantSuccess(t, "refreshes from another address")
}

// While an attacker signs out over 100 connections, with tokens of ended sessions and with forged
// tokens, users at another address can sign out.
func TestLogout_underAttack(t *testing.T) {
	r, s := newAttackedServer(t)
	endedTokens, ownerTokens := r.startSessions(t, 4), r.startSessions(t, 100)
	var ownerResponses codeCounter
	runDuringAttack(t, func(ctx context.Context, connection, n int) (result, error) {
		token := forgedToken(100*n + connection)
		if connection%2 == 0 {
			token = endedTokens[connection/2%len(endedTokens)]
		}
		return s.sendQueryFrom(ctx, attackerIP, "", logoutQuery, object{"r": token})
	}, func() {
		callHundredTimes(func(i int) {
			ownerResponses.add(s.sendQueryFrom(t.Context(), ownerIP, "", logoutQuery,
				object{"r": ownerTokens[i]}))
		})
	})
	ownerResponses.wantSuccess(t, "sign-outs from another address")
}

// While an attacker guesses the password of an account, in several spellings of its name and as
// fast as the limits allow, the owner can sign in. The realm has Keycloak's default limits, with
// which two failures within a second lock the account for a minute.
func TestLogin_duringGuesses(t *testing.T) {
	r, s := newAttackedServer(t)
	user, _ := r.newUser(t, nil)
	email := user + "@example.com"
	spellings := []string{email, strings.ToUpper(email), email + "\u00a0", " " + email}
	var ownerResponses codeCounter
	attack := func(ctx context.Context, connection, n int) (result, error) {
		return s.sendQueryFrom(ctx, attackerIP, "", loginQuery,
			object{"u": spellings[connection%len(spellings)],
				"p": fmt.Sprint("guess ", connection, n)})
	}
	attackResponses := runDuringAttack(t, attack, func() {
		for range 100 {
			ownerResponses.add(s.sendQueryFrom(t.Context(), ownerIP, "", loginQuery,
				object{"u": email, "p": "secret"}))
		}
	})
	ownerResponses.wantSuccess(t, "sign-ins of the owner")
	if guesses := attackResponses.counts["INVALID_CREDENTIALS"]; guesses == 0 || guesses > 40 {
		t.Errorf("Keycloak checked %d guesses, want 1 to 40, the limit of the name", guesses)
	}
}

// Keycloak considers two usernames equal if and only if Java converts both to the same lower case.
// CloakQL relies on this: it queues sign-ins by the lower case of the username, according to a
// table of Java's lower case in package identity.
func TestLogin_spellings(t *testing.T) {
	t.Parallel()
	r, s := newAttackedServer(t)
	byName := func(spell func(string) string) func(string, string) string {
		return func(name, _ string) string { return spell(name) }
	}
	byEmail := func(spell func(string) string) func(string, string) string {
		return func(_, email string) string { return spell(email) }
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	surround := func(prefix, suffix string) func(string) string {
		return func(s string) string { return prefix + s + suffix }
	}
	for _, tt := range []struct {
		spell   func(name, email string) string
		signsIn bool // whether the spelling signs in
	}{
		{byName(surround("", "")), true},
		{byName(strings.ToUpper), true},
		{byName(replace("-k-", "-\u212a-")), true}, // the Kelvin sign
		{byEmail(surround("", "")), true},
		{byEmail(strings.ToUpper), true},
		{byEmail(replace("example", "EXAMPLE")), true},
		{byEmail(replace("-k-", "-\u212a-")), true},
		{byName(surround("", " ")), false},
		{byName(surround(" ", "")), false},
		{byName(surround("", "\u00a0")), false},
		{byEmail(surround("", "\u00a0")), false},
		{byEmail(surround("", "\u2003")), false},
		{byName(surround("", "\u00ad")), false},
		{byName(surround("", "\u200d")), false},
		{byName(replace("user", "u\u017fer")), false}, // the long s, whose upper case is S
		{byName(replace("\u00e9", "e\u0301")), false},
		{byEmail(replace("e", "\uff45")), false}, // full width
	} {
		// Each row has its own account: Keycloak finishes a sign-in on another thread, and rejects
		// the account's next sign-in until then.
		stem := "user-" + strings.ToLower(rand.Text()[:10]) + "-k-"
		email := stem + "mail@example.com"
		user, _ := r.newUser(t, object{"username": stem + "\u00e9", "email": email})
		spelling := tt.spell(user, email)
		got, err := s.sendQueryFrom(t.Context(), ownerIP, "", loginQuery,
			object{"u": spelling, "p": "secret"})
		if err != nil {
			t.Fatal(err)
		}
		if signedIn := got.code() == ""; signedIn != tt.signsIn {
			t.Errorf("%+q signed in as %+q: %t, want %t: %s", spelling, user, signedIn, tt.signsIn,
				got.body)
		}
	}
}

// A sign-in with a wrong password gets the same response if the account has a password, if it has
// none, and if it doesn't exist. Keycloak itself rejects an account without a password sooner. Each
// account gets one attempt, so that no response is delayed.
//
// TEST_FIGURES=1 tries twenty accounts of each kind, and logs how long the responses take.
func TestLogin_sameResponse(t *testing.T) {
	rounds := 1
	if os.Getenv("TEST_FIGURES") != "" {
		rounds = 20
	}
	bodies := map[string]string{} // the kind of account, by response body
	r, s := newAttackedServer(t)
	user, _ := r.newUser(t, nil)
	durations := map[string][]time.Duration{}
	for i := range rounds {
		if got, err := s.sendQueryFrom(t.Context(), ownerIP, "", loginQuery,
			object{"u": user, "p": "secret"}); err != nil || got.code() != "" {
			t.Fatalf("login: got %s, error %v; want tokens", got.body, err)
		}
		userWithPassword, _ := r.newUser(t, nil)
		userWithoutPassword, _ := r.newUser(t, object{"credentials": []object{}})
		for kind, name := range map[string]string{
			"with a password": userWithPassword, "without a password": userWithoutPassword,
			"unknown user": fmt.Sprint("nobody-", i),
		} {
			start := time.Now()
			got, err := s.sendQueryFrom(t.Context(), attackerIP, "", loginQuery,
				object{"u": name, "p": "wrong"})
			if err != nil || got.code() != "INVALID_CREDENTIALS" {
				t.Fatalf("login, %s: got %s, error %v; want INVALID_CREDENTIALS", kind, got.body,
					err)
			}
			durations[kind] = append(durations[kind], time.Since(start))
			bodies[got.body] = kind
			start = time.Now()
			r.k.token(t, r.name, "grant_type", "password", "client_id", "local-api",
				"client_secret", "local-api-secret", "username", name, "password", "wrong")
			kind += ", at Keycloak"
			durations[kind] = append(durations[kind], time.Since(start))
		}
	}
	if len(bodies) != 1 {
		t.Errorf("got %d different responses, want one: %q", len(bodies), bodies)
	}
	for kind, times := range durations {
		slices.Sort(times)
		t.Logf("%s: minimum %v, median %v, maximum %v", kind, times[0].Round(time.Millisecond),
			times[len(times)/2].Round(time.Millisecond),
			times[len(times)-1].Round(time.Millisecond))
	}
}
