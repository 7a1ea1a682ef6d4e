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
// brute-force protection on: a real Keycloak that received them at once would refuse four of them
// as if the password were wrong. They come from three networks, since at most two sign-ins of a
// network may wait in a username's queue.
func TestLogin_concurrent(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared, "TRUSTED_PROXIES=127.0.0.1")
	var callers sync.WaitGroup
	for i, name := range []string{user, strings.ToUpper(user), user, user, user} {
		callers.Go(func() {
			got, err := s.tryFrom(t.Context(), fmt.Sprintf("192.0.%d.7", i/2), "", loginQuery,
				map[string]any{"u": name, "p": "secret"})
			if err != nil || !strings.Contains(string(got.body), `"accessToken"`) {
				t.Errorf("%s: %v, want tokens: %s", name, err, got.body)
			}
		})
	}
	callers.Wait()
}

// A tally counts responses by error code; the empty code is success.
type tally struct {
	mu    sync.Mutex // guards codes
	codes map[string]int
}

// add counts a response, or an error by its text.
func (y *tally) add(got result, err error) {
	code := got.code()
	if err != nil {
		code = err.Error()
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.codes == nil {
		y.codes = map[string]int{}
	}
	y.codes[code]++
}

// wantSuccess checks that at least 95 of 100 calls succeeded.
func (y *tally) wantSuccess(t *testing.T, who string) {
	t.Helper()
	total := 0
	for _, n := range y.codes {
		total += n
	}
	t.Logf("%s: %v", who, y.codes)
	if total != 100 || y.codes[""] < 95 {
		t.Errorf("%s: %d of %d calls succeeded, want at least 95 of 100: %v", who, y.codes[""],
			total, y.codes)
	}
}

// runDuringAttack calls f while 100 goroutines call attack repeatedly, and counts the responses to
// attack. The goroutines have the numbers 0 to 99, and n counts the calls of each from 0.
func runDuringAttack(t *testing.T,
	attack func(ctx context.Context, connection, n int) (result, error), f func()) *tally {
	t.Helper()
	var responses tally
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
				// Not a busy loop, since the test shares its cores with the server.
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
	t.Logf("responses to the attack: %v", responses.codes)
	return &responses
}

const (
	attacker, owner = "192.0.2.7", "198.51.100.7"
	// Slow responses on this machine must not fail the tests.
	longTimeout = "KEYCLOAK_TIMEOUT=55s"
)

// newAttackedServer returns a server that distinguishes clients by address, and its realm, which
// has Keycloak's default limits for brute-force protection.
func newAttackedServer(t *testing.T) (realm, *server) {
	t.Helper()
	r := newRealm(t, shared, object{"bruteForceProtected": true, "clients": []object{
		apiClient(object{"serviceAccountsEnabled": true,
			"attributes": object{"client_credentials.use_refresh_token": "true"}}),
	}})
	return r, r.serve(t, "TRUSTED_PROXIES=127.0.0.1", longTimeout, "REQUEST_TIMEOUT=2m")
}

// hundredTimes calls f with 0 to 99, four at a time.
func hundredTimes(f func(i int)) {
	var workers sync.WaitGroup
	next := make(chan int)
	for range 4 {
		workers.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range 100 {
		next <- i
	}
	close(next)
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
	var got tally
	runDuringAttack(t, func(ctx context.Context, connection, n int) (result, error) {
		name, password := fmt.Sprintf("nobody-%d-%d", connection, n), "guess"
		if connection%2 == 0 {
			name, password = attackerNames[connection/2%len(attackerNames)], "secret"
		}
		return s.tryFrom(ctx, attacker, "", loginQuery, object{"u": name, "p": password})
	}, func() {
		hundredTimes(func(i int) {
			got.add(s.tryFrom(t.Context(), owner, "", loginQuery,
				object{"u": ownerNames[i%4], "p": "secret"}))
		})
	})
	got.wantSuccess(t, "sign-ins from another address")
}

// sessions starts n sessions at Keycloak itself, and returns their refresh tokens. They are
// sessions of the client's service account, which Keycloak starts without hashing a password.
func (r realm) sessions(t *testing.T, n int) []string {
	t.Helper()
	var list []string
	for range n {
		status, body := r.k.token(t, r.name, "grant_type", "client_credentials", "client_id",
			"local-api", "client_secret", "local-api-secret")
		var token struct {
			RefreshToken string `json:"refresh_token"`
		}
		if json.Unmarshal([]byte(body), &token); token.RefreshToken == "" {
			t.Fatalf("Keycloak responds %d %s, want a refresh token", status, body)
		}
		list = append(list, token.RefreshToken)
	}
	return list
}

// forgedToken returns a well-formed refresh token that the realm never issued.
func forgedToken(n int) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"HS512","typ":"JWT","kid":"none"}`) + "." +
		part(fmt.Sprintf(`{"sid":"session-%d"}`, n)) + "." + part("no signature")
}

// While an attacker refreshes over 100 connections, with sessions of their own and with forged
// tokens, users at another address can refresh.
func TestRefresh_underAttack(t *testing.T) {
	r, s := newAttackedServer(t)
	attackerTokens, ownerTokens := r.sessions(t, 20), r.sessions(t, 4)
	refresh := func(ctx context.Context, address string, token *string) (result, error) {
		got, err := s.tryFrom(ctx, address, "", refreshQuery, object{"r": *token})
		if raw := got.Data["refresh"]; err == nil && raw != nil {
			var next tokens
			if err := json.Unmarshal(raw, &next); err == nil && next.RefreshToken != "" {
				*token = next.RefreshToken
			}
		}
		return got, err
	}
	var got tally
	runDuringAttack(t, func(ctx context.Context, connection, n int) (result, error) {
		if connection < len(attackerTokens) {
			return refresh(ctx, attacker, &attackerTokens[connection])
		}
		token := forgedToken(100*n + connection)
		return refresh(ctx, attacker, &token)
	}, func() {
		var workers sync.WaitGroup
		for i := range ownerTokens {
			workers.Go(func() {
				for range 25 {
					got.add(refresh(t.Context(), owner, &ownerTokens[i]))
				}
			})
		}
		workers.Wait()
	})
	got.wantSuccess(t, "refreshes from another address")
}

// While an attacker signs out over 100 connections, with tokens of ended sessions and with forged
// ones, users at another address can sign out.
func TestLogout_underAttack(t *testing.T) {
	r, s := newAttackedServer(t)
	endedTokens, ownerTokens := r.sessions(t, 4), r.sessions(t, 100)
	var got tally
	runDuringAttack(t, func(ctx context.Context, connection, n int) (result, error) {
		token := forgedToken(100*n + connection)
		if connection%2 == 0 {
			token = endedTokens[connection/2%len(endedTokens)]
		}
		return s.tryFrom(ctx, attacker, "", logoutQuery, object{"r": token})
	}, func() {
		hundredTimes(func(i int) {
			got.add(s.tryFrom(t.Context(), owner, "", logoutQuery, object{"r": ownerTokens[i]}))
		})
	})
	got.wantSuccess(t, "sign-outs from another address")
}

// While an attacker guesses the password of an account, in several spellings of its name and as
// fast as the limits allow, the owner can sign in. The realm has Keycloak's default limits, with
// which two failures within a second lock the account for a minute.
func TestLogin_duringGuesses(t *testing.T) {
	r, s := newAttackedServer(t)
	user, _ := r.newUser(t, nil)
	email := user + "@example.com"
	spellings := []string{email, strings.ToUpper(email), email + "\u00a0", " " + email}
	var got tally
	attacks := runDuringAttack(t, func(ctx context.Context, connection, n int) (result, error) {
		return s.tryFrom(ctx, attacker, "", loginQuery,
			object{"u": spellings[connection%len(spellings)],
				"p": fmt.Sprint("guess ", connection, n)})
	}, func() {
		for range 100 {
			got.add(s.tryFrom(t.Context(), owner, "", loginQuery,
				object{"u": email, "p": "secret"}))
		}
	})
	got.wantSuccess(t, "the owner")
	if guesses := attacks.codes["INVALID_CREDENTIALS"]; guesses == 0 || guesses > 40 {
		t.Errorf("Keycloak checked %d guesses, want at least 1, and at most the name's limit",
			guesses)
	}
}

// Keycloak considers two usernames equal if Java's lower case of both is the same, and only then.
// Sign-ins queue by identity's table of Java's lower case, which relies on this.
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
	add := func(before, after string) func(string) string {
		return func(s string) string { return before + s + after }
	}
	for _, tt := range []struct {
		spell func(name, email string) string
		same  bool
	}{
		{byName(add("", "")), true},
		{byName(strings.ToUpper), true},
		{byName(replace("-k-", "-\u212a-")), true}, // the Kelvin sign
		{byEmail(add("", "")), true},
		{byEmail(strings.ToUpper), true},
		{byEmail(replace("example", "EXAMPLE")), true},
		{byEmail(replace("-k-", "-\u212a-")), true},
		{byName(add("", " ")), false},
		{byName(add(" ", "")), false},
		{byName(add("", "\u00a0")), false},
		{byEmail(add("", "\u00a0")), false},
		{byEmail(add("", "\u2003")), false},
		{byName(add("", "\u00ad")), false},
		{byName(add("", "\u200d")), false},
		{byName(replace("user", "u\u017fer")), false}, // the long s, whose upper case is S
		{byName(replace("\u00e9", "e\u0301")), false},
		{byEmail(replace("e", "\uff45")), false}, // full width
	} {
		// Each row has its own account: Keycloak finishes a sign-in on another thread, and refuses
		// the account's next sign-in until then.
		stem := "user-" + strings.ToLower(rand.Text()[:10]) + "-k-"
		email := stem + "mail@example.com"
		user, _ := r.newUser(t, object{"username": stem + "\u00e9", "email": email})
		spelling := tt.spell(user, email)
		got, err := s.tryFrom(t.Context(), owner, "", loginQuery,
			object{"u": spelling, "p": "secret"})
		if err != nil {
			t.Fatal(err)
		}
		if signedIn := got.code() == ""; signedIn != tt.same {
			t.Errorf("%+q signed in as %+q: %t, want %t: %s", spelling, user, signedIn, tt.same,
				got.body)
		}
	}
}

// A wrong password gets the same response for an account with a password, for an account without
// one, which Keycloak refuses sooner, and for an unknown user. Each account is tried once, so that
// no response is delayed.
//
// TEST_FIGURES=1 tries twenty accounts of each kind, and logs how long the responses take.
func TestLogin_sameResponse(t *testing.T) {
	rounds := 1
	if os.Getenv("TEST_FIGURES") != "" {
		rounds = 20
	}
	bodies := map[string]string{} // kind of account by response body
	r, s := newAttackedServer(t)
	user, _ := r.newUser(t, nil)
	durations := map[string][]time.Duration{}
	for i := range rounds {
		if got, err := s.tryFrom(t.Context(), owner, "", loginQuery,
			object{"u": user, "p": "secret"}); err != nil || got.code() != "" {
			t.Fatal(got.body, err)
		}
		withPassword, _ := r.newUser(t, nil)
		withoutPassword, _ := r.newUser(t, object{"credentials": []object{}})
		for kind, name := range map[string]string{
			"with a password": withPassword, "without a password": withoutPassword,
			"unknown user": fmt.Sprint("nobody-", i),
		} {
			start := time.Now()
			got, err := s.tryFrom(t.Context(), attacker, "", loginQuery,
				object{"u": name, "p": "wrong"})
			if err != nil || got.code() != "INVALID_CREDENTIALS" {
				t.Fatal(got.body, err)
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
		t.Errorf("%d different responses, want one: %q", len(bodies), bodies)
	}
	for kind, list := range durations {
		slices.Sort(list)
		t.Logf("%s: minimum %v, median %v, maximum %v", kind, list[0].Round(time.Millisecond),
			list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond))
	}
}
