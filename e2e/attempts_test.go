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

// Five sign-ins of one user at one moment, the password right: the realm has brute-force protection
// on, and a real Keycloak that gets them at once refuses four, with the words for a wrong password.
// They come from three networks, since one has two places in a name's queue.
func TestSignInsOfOneUserAtOnce(t *testing.T) {
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

// A tally is how many calls there were, by the code of their answer, "" for a success.
type tally struct {
	mu    sync.Mutex // guards codes
	codes map[string]int
}

func (c *tally) add(got result, err error) {
	code := got.code()
	if err != nil {
		code = err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.codes == nil {
		c.codes = map[string]int{}
	}
	c.codes[code]++
}

// wantThrough wants 95 of 100 calls to have succeeded.
func (c *tally) wantThrough(t *testing.T, who string) {
	t.Helper()
	all := 0
	for _, n := range c.codes {
		all += n
	}
	t.Logf("%s: %v", who, c.codes)
	if all != 100 || c.codes[""] < 95 {
		t.Errorf("%s: of %d calls %d succeeded, want 95 of 100: %v", who, all, c.codes[""], c.codes)
	}
}

// besiege runs attack on 100 connections from one address while owners make their calls, and stops
// it then. Numbers of attack count up from 0 on each connection.
func besiege(t *testing.T, attack func(ctx context.Context, connection, n int) (result, error),
	owners func()) *tally {
	t.Helper()
	var attacked tally
	ctx, stop := context.WithCancel(t.Context())
	var connections sync.WaitGroup
	started := make(chan bool, 100)
	for i := range 100 {
		connections.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				got, err := attack(ctx, i, n)
				if ctx.Err() == nil {
					attacked.add(got, err)
				}
				if n == 0 {
					started <- true
				}
				// a client of an attacker that doesn't spin: the test shares its cores with the
				// server
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
	owners()
	stop()
	connections.Wait()
	t.Logf("the attack: %v", attacked.codes)
	return &attacked
}

const (
	attacker, owner = "192.0.2.7", "198.51.100.7"
	// What counts are answers, not how long they took on this machine.
	patient = "KEYCLOAK_TIMEOUT=55s"
)

// siege is a server that tells addresses apart, beside a realm with Keycloak's own numbers for
// brute force.
func siege(t *testing.T) (realm, *server) {
	t.Helper()
	r := newRealm(t, shared, object{"bruteForceProtected": true, "clients": []object{
		apiClient(object{"serviceAccountsEnabled": true,
			"attributes": object{"client_credentials.use_refresh_token": "true"}}),
	}})
	return r, r.serve(t, "TRUSTED_PROXIES=127.0.0.1", patient, "REQUEST_TIMEOUT=2m")
}

// ofEach calls f for 0 to 99, four at a time.
func ofEach(f func(i int)) {
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

// One address with 100 connections signs in, with made-up names and with accounts of its own;
// another gets in.
func TestSignInsBesideASiege(t *testing.T) {
	r, s := siege(t)
	var own, owners []string
	for range 4 {
		name, _ := r.newUser(t, nil)
		own = append(own, name)
		name, _ = r.newUser(t, nil)
		owners = append(owners, name)
	}
	var got tally
	besiege(t, func(ctx context.Context, connection, n int) (result, error) {
		name, password := fmt.Sprintf("nobody-%d-%d", connection, n), "guess"
		if connection%2 == 0 {
			name, password = own[connection/2%len(own)], "secret"
		}
		return s.tryFrom(ctx, attacker, "", loginQuery, object{"u": name, "p": password})
	}, func() {
		ofEach(func(i int) {
			got.add(s.tryFrom(t.Context(), owner, "", loginQuery,
				object{"u": owners[i%4], "p": "secret"}))
		})
	})
	got.wantThrough(t, "sign-ins from elsewhere")
}

// sessions are refresh tokens of n sessions, made at Keycloak itself. They are the client's own,
// which cost no password hash.
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
			t.Fatalf("Keycloak answers %d %s, want a refresh token", status, body)
		}
		list = append(list, token.RefreshToken)
	}
	return list
}

// forged is a refresh token that the realm never gave, in the form of one.
func forged(n int) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"HS512","typ":"JWT","kid":"none"}`) + "." +
		part(fmt.Sprintf(`{"sid":"session-%d"}`, n)) + "." + part("no signature")
}

// One address with 100 connections refreshes, sessions of its own and tokens that it made up;
// another goes on refreshing.
func TestRefreshesBesideASiege(t *testing.T) {
	r, s := siege(t)
	own, chains := r.sessions(t, 20), r.sessions(t, 4)
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
	besiege(t, func(ctx context.Context, connection, n int) (result, error) {
		if connection < len(own) {
			return refresh(ctx, attacker, &own[connection])
		}
		token := forged(100*n + connection)
		return refresh(ctx, attacker, &token)
	}, func() {
		var workers sync.WaitGroup
		for chain := range chains {
			workers.Go(func() {
				for range 25 {
					got.add(refresh(t.Context(), owner, &chains[chain]))
				}
			})
		}
		workers.Wait()
	})
	got.wantThrough(t, "refreshes from elsewhere")
}

// One address with 100 connections signs out with tokens that are dead or made up; another signs
// out.
func TestSignOutsBesideASiege(t *testing.T) {
	r, s := siege(t)
	dead, sessions := r.sessions(t, 4), r.sessions(t, 100)
	var got tally
	besiege(t, func(ctx context.Context, connection, n int) (result, error) {
		token := forged(100*n + connection)
		if connection%2 == 0 {
			token = dead[connection/2%len(dead)]
		}
		return s.tryFrom(ctx, attacker, "", logoutQuery, object{"r": token})
	}, func() {
		ofEach(func(i int) {
			got.add(s.tryFrom(t.Context(), owner, "", logoutQuery, object{"r": sessions[i]}))
		})
	})
	got.wantThrough(t, "sign-outs from elsewhere")
}

// Somebody guesses at a name as fast as the budgets allow, and at its neighbours: the owner gets
// in. The realm has Keycloak's own numbers, by which two failures within a second lock the account
// for a minute.
func TestSignInsBesideGuesses(t *testing.T) {
	r, s := siege(t)
	user, _ := r.newUser(t, nil)
	email := user + "@example.com"
	guessed := []string{email, strings.ToUpper(email), email + "\u00a0", " " + email}
	var got tally
	attack := besiege(t, func(ctx context.Context, connection, n int) (result, error) {
		return s.tryFrom(ctx, attacker, "", loginQuery,
			object{"u": guessed[connection%len(guessed)], "p": fmt.Sprint("guess ", connection, n)})
	}, func() {
		for range 100 {
			got.add(s.tryFrom(t.Context(), owner, "", loginQuery,
				object{"u": email, "p": "secret"}))
		}
	})
	got.wantThrough(t, "the owner")
	if guesses := attack.codes["INVALID_CREDENTIALS"]; guesses == 0 || guesses > 40 {
		t.Errorf("Keycloak judged %d guesses, want some, and no more than the name's budget",
			guesses)
	}
}

// Which spellings Keycloak takes for one name: those that Java lowers to the same, and no
// neighbour. identity's table of Java's lower case, by which sign-ins queue, stands on this.
func TestSpellingsOfAName(t *testing.T) {
	t.Parallel()
	r, s := siege(t)
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
		{byName(replace("user", "u\u017fer")), false}, // the long s, which is upper case's S
		{byName(replace("\u00e9", "e\u0301")), false},
		{byEmail(replace("e", "\uff45")), false}, // full width
	} {
		// An account of its own for each: Keycloak finishes a sign-in on another thread, and
		// refuses the account's next one until then.
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
			t.Errorf("%+q signs in as %+q: %t, want %t: %s", spelling, user, signedIn, tt.same,
				got.body)
		}
	}
}

// Refusals of an account without a password, which Keycloak refuses sooner, of one with a password,
// and of no account are the same. Each account is tried once, so that no pause is in it.
//
// TEST_FIGURES=1 tries twenty of each, and prints how long the refusals take.
func TestRefusals_ofAnyAccount(t *testing.T) {
	rounds := 1
	if os.Getenv("TEST_FIGURES") != "" {
		rounds = 20
	}
	bodies := map[string]string{} // by the answer, an account that got it
	r, s := siege(t)
	user, _ := r.newUser(t, nil)
	times := map[string][]time.Duration{}
	for i := range rounds {
		if got, err := s.tryFrom(t.Context(), owner, "", loginQuery,
			object{"u": user, "p": "secret"}); err != nil || got.code() != "" {
			t.Fatal(got.body, err)
		}
		with, _ := r.newUser(t, nil)
		without, _ := r.newUser(t, object{"credentials": []object{}})
		for kind, name := range map[string]string{"with a password": with, "without one": without,
			"nobody": fmt.Sprint("nobody-", i)} {
			begin := time.Now()
			got, err := s.tryFrom(t.Context(), attacker, "", loginQuery,
				object{"u": name, "p": "wrong"})
			if err != nil || got.code() != "INVALID_CREDENTIALS" {
				t.Fatal(got.body, err)
			}
			times[kind] = append(times[kind], time.Since(begin))
			bodies[got.body] = kind
			begin = time.Now()
			r.k.token(t, r.name, "grant_type", "password", "client_id", "local-api",
				"client_secret", "local-api-secret", "username", name, "password", "wrong")
			times[kind+", at Keycloak"] = append(times[kind+", at Keycloak"], time.Since(begin))
		}
	}
	if len(bodies) != 1 {
		t.Errorf("refusals differ: %q", bodies)
	}
	for kind, list := range times {
		slices.Sort(list)
		t.Logf("%s: least %v, median %v, most %v", kind, list[0].Round(time.Millisecond),
			list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond))
	}
}
