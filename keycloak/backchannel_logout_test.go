package keycloak

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const (
	aliceSession = "q1c9HhvZ3rXxkUe7a0uWZJ2b" // the sid of testdata/alice.json
	formType     = "application/x-www-form-urlencoded"
)

// logoutClaimsJSON returns the payload of a logout token as Keycloak 26.7.4 writes it.
func logoutClaimsJSON(changes object) string {
	claims := object{
		"exp": noonPlus(time.Minute), "iat": noonPlus(-time.Minute),
		"jti": "0b1c7f0e-98f7-4f1d-8d1b-0d9ad4f7a0c1", "iss": localIssuer, "aud": "local-api",
		"sub": aliceID, "typ": "Logout", "sid": aliceSession,
		"events": object{logoutEvent: object{}},
	}
	for name, value := range changes {
		if claims[name] = value; value == absent {
			delete(claims, name)
		}
	}
	return toJSON(claims)
}

// logoutTokenOf signs a logout token, with a header as Keycloak 26.7.4 writes it.
func logoutTokenOf(k signingKey, claims string) string {
	return k.sign(`{"alg":"`+k.alg+`","typ" : "logout+jwt","kid" : "`+k.kid+`"}`, claims)
}

// A logoutTest is a BackchannelLogout handler of the client local-api, and the ends that it
// reported.
type logoutTest struct {
	http.Handler
	log *logBuffer

	mu   sync.Mutex // guards ends
	ends []SessionEnd
}

// newLogoutTest returns a handler whose keys are those of the local realm. Its clock shows noon
// unless config says otherwise.
func newLogoutTest(t testing.TB, config VerifierConfig) *logoutTest {
	t.Helper()
	l := &logoutTest{log: &logBuffer{}}
	if config.Issuers == nil {
		config.Issuers = []Issuer{{Keys: newKeys(t, jwksOf(rs256(), edDSA()))}}
	}
	if config.Now == nil {
		config.Now = func() time.Time { return noon }
	}
	handler, err := BackchannelLogout(BackchannelLogoutConfig{Tokens: config,
		ClientIDs: []string{"local-api", "web"}, Log: l.log.logger(),
		End: func(end SessionEnd) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ends = append(l.ends, end)
		}})
	if err != nil {
		t.Fatal(err)
	}
	l.Handler = handler
	return l
}

// takeEnds returns the ends that were reported since the last call.
func (l *logoutTest) takeEnds() []SessionEnd {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := l.ends
	l.ends = nil
	return ends
}

// send posts a logout token, and returns the status and the error_description.
func (l *logoutTest) send(t testing.TB, token string) (status int, description string) {
	t.Helper()
	return l.sendRequest(t, http.MethodPost, formType, url.Values{"logout_token": {token}}.Encode())
}

// sendRequest sends any request, and checks the headers and the body of the response.
func (l *logoutTest) sendRequest(t testing.TB, method, contentType, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, "/backchannel-logout", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}
	if w.Code == http.StatusOK {
		if w.Body.Len() > 0 {
			t.Errorf("the body of a 200 is %q, want none", w.Body)
		}
		return w.Code, ""
	}
	var response struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	err := json.Unmarshal(w.Body.Bytes(), &response)
	if err != nil || response.Description == "" ||
		w.Header().Get("Content-Type") != "application/json" ||
		!slices.Contains([]string{"invalid_request", "temporarily_unavailable"}, response.Error) {
		t.Errorf("got %d %v %q, want an error as in RFC 6749", w.Code, w.Header(), w.Body)
	}
	if (w.Code == http.StatusMethodNotAllowed) != (w.Header().Get("Allow") == "POST") {
		t.Errorf("got %d with Allow: %q, want it only with 405", w.Code, w.Header().Get("Allow"))
	}
	return w.Code, response.Description
}

// Valid logout tokens end the session that sid names, or else all sessions of sub.
func TestBackchannelLogout_valid(t *testing.T) {
	at := noon.Add(-time.Minute)
	session := SessionEnd{SessionID: aliceSession, Subject: aliceID, At: at}
	for name, tt := range map[string]struct {
		changes object
		want    SessionEnd
	}{
		"as Keycloak writes it": {nil, session},
		"revoke_offline_access": {object{"events": object{logoutEvent: object{},
			"revoke_offline_access": true}}, session},
		"no sid": {object{"sid": absent},
			SessionEnd{Subject: aliceID, At: at}},
		"no sub": {object{"sub": absent},
			SessionEnd{SessionID: aliceSession, At: at}},
		"aud is list":                       {object{"aud": []string{"local-api"}}, session},
		"aud is another client of this API": {object{"aud": "web"}, session},
		"iat in the future, within the leeway": {object{"iat": noonPlus(30 * time.Second)},
			SessionEnd{SessionID: aliceSession, Subject: aliceID, At: noon.Add(30 * time.Second)}},
		"exp has just passed": {object{"exp": noonPlus(-29 * time.Second)}, session},
		"the oldest iat": {object{"iat": noonPlus(-5*time.Minute - 29*time.Second)},
			SessionEnd{SessionID: aliceSession, Subject: aliceID,
				At: noon.Add(-5*time.Minute - 29*time.Second)}},
		"the longest sid": {object{"sid": strings.Repeat("s", 255)},
			SessionEnd{SessionID: strings.Repeat("s", 255), Subject: aliceID, At: at}},
	} {
		l := newLogoutTest(t, VerifierConfig{})
		status, description := l.send(t, logoutTokenOf(rs256(), logoutClaimsJSON(tt.changes)))
		ends := l.takeEnds()
		if status != http.StatusOK || len(ends) != 1 || !ends[0].At.Equal(tt.want.At) ||
			ends[0].SessionID != tt.want.SessionID || ends[0].Subject != tt.want.Subject {
			t.Errorf("%s: got %d %q, ended %+v; want 200 and %+v", name, status, description, ends,
				tt.want)
		}
	}
}

// Invalid claims are refused with the error that says why.
func TestBackchannelLogout_claims(t *testing.T) {
	errNotAccepted, errMalformed := identity.ErrTokenNotAccepted, identity.ErrTokenMalformed
	errNotYetValid, errExpired := identity.ErrTokenNotYetValid, identity.ErrTokenExpired
	events := func(value any) object { return object{"events": value} }
	for name, tt := range map[string]struct {
		changes object
		want    error
	}{
		"iss missing":            {object{"iss": absent}, errNotAccepted},
		"iss of another realm":   {object{"iss": otherIssuer}, errNotAccepted},
		"typ missing":            {object{"typ": absent}, errNotAccepted},
		"typ of an access token": {object{"typ": "Bearer"}, errNotAccepted},
		"typ of an ID token":     {object{"typ": "ID"}, errNotAccepted},
		"aud missing":            {object{"aud": absent}, errNotAccepted},
		"aud of another client":  {object{"aud": "other"}, errNotAccepted},
		"aud is account":         {object{"aud": "account"}, errNotAccepted},
		"aud is empty":           {object{"aud": []string{}}, errNotAccepted},
		"aud has another client": {object{"aud": []string{"local-api", "x"}}, errNotAccepted},
		"aud has two of ours":    {object{"aud": []string{"local-api", "web"}}, errNotAccepted},
		"aud is a number":        {object{"aud": 1}, errNotAccepted},
		"events missing":         {events(absent), errNotAccepted},
		"events null":            {events(nil), errNotAccepted},
		"events empty":           {events(object{}), errNotAccepted},
		"events is a list":       {events([]string{logoutEvent}), errNotAccepted},
		"events is a string":     {events(logoutEvent), errNotAccepted},
		"another event":          {events(object{logoutEvent + "s": object{}}), errNotAccepted},
		"the event is true":      {events(object{logoutEvent: true}), errNotAccepted},
		"the event is null":      {events(object{logoutEvent: nil}), errNotAccepted},
		"nonce":                  {object{"nonce": "n"}, errNotAccepted},
		"nonce null":             {object{"nonce": nil}, errNotAccepted},
		"neither sid nor sub":    {object{"sid": absent, "sub": absent}, errNotAccepted},
		"sid empty":              {object{"sid": ""}, errNotAccepted},
		"sid null":               {object{"sid": nil}, errNotAccepted},
		"sid is a number":        {object{"sid": 1}, errNotAccepted},
		"sid is a list":          {object{"sid": []string{"a", "b"}}, errNotAccepted},
		"sid too long":           {object{"sid": strings.Repeat("s", 256)}, errNotAccepted},
		"sub empty":              {object{"sub": ""}, errNotAccepted},
		"sub is an object":       {object{"sub": object{}}, errNotAccepted},
		"jti missing":            {object{"jti": absent}, errNotAccepted},
		"jti empty":              {object{"jti": ""}, errNotAccepted},
		"jti is a number":        {object{"jti": 1}, errNotAccepted},
		"iat missing":            {object{"iat": absent}, errMalformed},
		"iat is a string":        {object{"iat": "now"}, errMalformed},
		"iat in the future":      {object{"iat": noonPlus(31 * time.Second)}, errNotYetValid},
		"nbf in the future":      {object{"nbf": noonPlus(31 * time.Second)}, errNotYetValid},
		"iat too old": {object{"iat": noonPlus(-5*time.Minute - 30*time.Second)},
			errExpired},
		"iat of last year": {object{"iat": noonPlus(-9000 * time.Hour)}, errExpired},
		"exp missing":      {object{"exp": absent}, errMalformed},
		"exp in the past":  {object{"exp": noonPlus(-30 * time.Second)}, errExpired},
		"exp is null":      {object{"exp": nil}, errMalformed},
	} {
		l := newLogoutTest(t, VerifierConfig{})
		status, description := l.send(t, logoutTokenOf(rs256(), logoutClaimsJSON(tt.changes)))
		if status != http.StatusBadRequest || description != tt.want.Error() {
			t.Errorf("%s: got %d %q, want 400 %q", name, status, description, tt.want)
		}
		if ends := l.takeEnds(); len(ends) > 0 {
			t.Errorf("%s: ended %+v, want nothing", name, ends)
		}
		if log := l.log.String(); !strings.Contains(log, "logout token refused") {
			t.Errorf("%s: the log is %q, want the refusal", name, log)
		}
	}
}

// A request that isn't a form with one logout token is refused.
func TestBackchannelLogout_request(t *testing.T) {
	token := logoutTokenOf(rs256(), logoutClaimsJSON(nil))
	field := "logout_token=" + token
	l := newLogoutTest(t, VerifierConfig{})
	for name, tt := range map[string]struct {
		method, contentType, body string
		want                      int
	}{
		"GET":             {"GET", "", "", 405},
		"PUT":             {"PUT", formType, field, 405},
		"OPTIONS":         {"OPTIONS", "", "", 405},
		"no content type": {"POST", "", field, 400},
		"JSON": {"POST", "application/json", toJSON(object{"logout_token": token}),
			400},
		"multipart":            {"POST", "multipart/form-data; boundary=b", field, 400},
		"bad content type":     {"POST", formType + ";;", field, 400},
		"the token as a JWT":   {"POST", "application/jwt", token, 400},
		"no body":              {"POST", formType, "", 400},
		"no token":             {"POST", formType, "logout_token=", 400},
		"another field":        {"POST", formType, "token=" + token, 400},
		"two tokens":           {"POST", formType, field + "&" + field, 400},
		"a token and an empty": {"POST", formType, field + "&logout_token=", 400},
		"bad escape":           {"POST", formType, field + "&a=%zz", 400},
		"semicolon":            {"POST", formType, field + ";a=b", 400},
		"a space":              {"POST", formType, field + "+", 400},
		"too large a body": {"POST", formType, field + "&a=" + strings.Repeat("a", 20<<10),
			400},
		"too large a token": {"POST", formType, field + strings.Repeat("A", 16<<10), 400},
		"many fields": {"POST", formType,
			strings.Repeat("&", 15<<10) + field + "&" + field, 400},
	} {
		status, description := l.sendRequest(t, tt.method, tt.contentType, tt.body)
		if status != tt.want {
			t.Errorf("%s: got %d %q, want %d", name, status, description, tt.want)
		}
	}
	// The token in the URL isn't used.
	r := httptest.NewRequest("POST", "/backchannel-logout?"+field, nil)
	r.Header.Set("Content-Type", formType)
	w := httptest.NewRecorder()
	if l.ServeHTTP(w, r); w.Code != http.StatusBadRequest {
		t.Errorf("a token in the URL: got %d, want 400", w.Code)
	}
	if ends := l.takeEnds(); len(ends) > 0 {
		t.Errorf("ended %+v, want nothing", ends)
	}
	for _, body := range []string{"state=a&" + field, field + "&logout%5Ftoken2=x"} {
		l := newLogoutTest(t, VerifierConfig{})
		status, description := l.sendRequest(t, "POST", formType+"; charset=UTF-8", body)
		if status != http.StatusOK {
			t.Errorf("other fields: got %d %q, want 200", status, description)
		}
	}
}

// A logout token is accepted once. A stranger can't use up its jti.
func TestBackchannelLogout_replay(t *testing.T) {
	now := noon
	l := newLogoutTest(t, VerifierConfig{Now: func() time.Time { return now }})
	tokenAt := func(jti string) string {
		return logoutTokenOf(rs256(), logoutClaimsJSON(object{"jti": jti, "iat": now.Unix(),
			"exp": now.Add(time.Hour).Unix()}))
	}
	token := tokenAt("first")
	if status, _ := l.send(t, corruptSignature(token)); status != http.StatusBadRequest {
		t.Errorf("a forged token: got %d, want 400", status)
	}
	if status, description := l.send(t, token); status != http.StatusOK {
		t.Errorf("the first use: got %d %q, want 200", status, description)
	}
	l.takeEnds()
	// The last of these is still within the age of the token, with leeway.
	for _, age := range []time.Duration{0, 3 * time.Minute, 5*time.Minute + 29*time.Second} {
		now = noon.Add(age)
		l.send(t, tokenAt("another "+age.String())) // other tokens don't make it forget
		l.takeEnds()
		status, description := l.send(t, token)
		ends := l.takeEnds()
		if status != 400 || description != identity.ErrTokenNotAccepted.Error() || len(ends) > 0 {
			t.Errorf("a replay after %v: got %d %q and ended %+v, want 400 %q", age, status,
				description, ends, identity.ErrTokenNotAccepted)
		}
	}
	now = noon.Add(5*time.Minute + 30*time.Second)
	if _, description := l.send(t, token); description != identity.ErrTokenExpired.Error() {
		t.Errorf("a replay after more than five minutes: got %q, want %q", description,
			identity.ErrTokenExpired)
	}
	// Of simultaneous uses, one is accepted.
	token = tokenAt("simultaneous")
	var accepted atomic.Int32
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if status, _ := l.send(t, token); status == http.StatusOK {
				accepted.Add(1)
			}
		})
	}
	group.Wait()
	if accepted.Load() != 1 {
		t.Errorf("%d of 20 simultaneous uses were accepted, want 1", accepted.Load())
	}
}

// The memory of used tokens is bounded, and holds each token for at least the period.
func TestUsedTokens(t *testing.T) {
	const period = time.Minute
	u := newUsedTokens(period)
	for i := range 3 * maxUsedTokens {
		if !u.add(fmt.Sprint(i), noon) {
			t.Fatalf("token %d counts as used, want new", i)
		}
	}
	if got := len(u.current) + len(u.previous); got > 2*maxUsedTokens {
		t.Errorf("%d tokens are remembered, want at most %d", got, 2*maxUsedTokens)
	}
	u = newUsedTokens(period)
	for i := range 600 {
		now := noon.Add(time.Duration(i) * time.Second)
		u.add(fmt.Sprint(i), now)
		if i >= 60 && u.add(fmt.Sprint(i-59), now) {
			t.Errorf("after 59 s, token %d counts as new, want used", i-59)
		}
	}
	if got := len(u.current) + len(u.previous); got > 120 {
		t.Errorf("%d tokens are remembered, want at most 120", got)
	}
}

// Without keys, no token is accepted, and Keycloak hears that it may try again.
func TestBackchannelLogout_noKeys(t *testing.T) {
	keys := NewKeySet(localRealm(t), KeySetConfig{Transport: roundTripFunc(refuseConnection),
		Log: (&logBuffer{}).logger()})
	l := newLogoutTest(t, VerifierConfig{Issuers: []Issuer{{Keys: keys}}})
	status, description := l.send(t, logoutTokenOf(rs256(), logoutClaimsJSON(nil)))
	if status != 400 || description != identity.ErrKeysUnavailable.Error() || len(l.ends) > 0 {
		t.Errorf("got %d %q and %+v, want 400 %q", status, description, l.ends,
			identity.ErrKeysUnavailable)
	}
}

// Logout tokens with made-up keys don't cause more fetches than access tokens do: they share the
// one fetch a second.
func TestBackchannelLogout_flood(t *testing.T) {
	var fetches atomic.Int32
	body := jwksOf(rs256())
	keys := NewKeySet(localRealm(t), KeySetConfig{Log: (&logBuffer{}).logger(),
		Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
			fetches.Add(1)
			return newResponse(200, body)
		})})
	l := newLogoutTest(t, VerifierConfig{Issuers: []Issuer{{Keys: keys}}})
	verifier := newVerifier(t, keys, VerifierConfig{})
	start := time.Now()
	for i := range 300 {
		k := unknownSigningKey(i)
		if status, _ := l.send(t, logoutTokenOf(k, logoutClaimsJSON(nil))); status != 400 {
			t.Fatalf("a token with an unknown key: got %d, want 400", status)
		}
		verifier.Verify(t.Context(), k.token(aliceClaims(t)))
	}
	max := int32(time.Since(start)/time.Second) + 2
	if fetches.Load() > max {
		t.Errorf("keys were fetched %d times, want at most %d", fetches.Load(), max)
	}
	if got := strings.Count(l.log.String(), "logout token refused"); got > int(max) {
		t.Errorf("300 refused tokens made %d log lines, want one a second", got)
	}
	if len(l.ends) > 0 {
		t.Errorf("ended %+v, want nothing", l.ends)
	}
}

// No attack of the table ends a session: neither an access token or another kind of token, good or
// bad, nor the same attacks on logout tokens.
func TestBackchannelLogout_attacks(t *testing.T) {
	f := newForge(t)
	tokenGroups := []func(*forge) []attack{
		formAttacks, jsonAttacks, algorithmAttacks, headerAttacks, kidAttacks, issuerAttacks,
		keyAttacks, realmAttacks, swapAttacks, rsaAttacks, pssAttacks, ecdsaAttacks, edAttacks,
	}
	var rows []attack
	for _, group := range append(tokenGroups, requestAttacks, typeAttacks, audienceAttacks,
		timeAttacks) {
		rows = append(rows, group(f)...)
	}
	sites := f.logoutSites(t)
	for _, row := range rows {
		if row.name == "a logout token" {
			continue // the realm's own
		}
		l := newLogoutTest(t, sites[rowSite(row)])
		if status, _ := l.send(t, row.token); status != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 400", row.name, status)
		}
		if len(l.ends) > 0 {
			t.Errorf("%s: ended %+v, want nothing", row.name, l.ends)
		}
	}
	if len(rows) < 450 {
		t.Errorf("there are %d tokens, want at least 450", len(rows))
	}

	// The same attacks on logout tokens.
	f.headerType, f.payload = "logout+jwt", logoutClaimsJSON(nil)
	logoutRows := []attack{}
	for _, group := range tokenGroups {
		logoutRows = append(logoutRows, group(f)...)
	}
	// These rows have other errors: the body is limited, or the row sets the whole header.
	descriptions := map[string]string{
		"a good token above the size limit":  "the body is too large or incomplete",
		"a token of half a megabyte":         "the body is too large or incomplete",
		"an unencoded payload, without crit": identity.ErrTokenNotAccepted.Error(),
		"a header that wasn't signed":        identity.ErrTokenNotAccepted.Error(),
	}
	accepted := 0
	for _, row := range logoutRows {
		l := newLogoutTest(t, sites[rowSite(row)]) // a new one, which has seen no jti
		status, description := l.send(t, row.token)
		isAccepted := status == http.StatusOK
		if isAccepted {
			accepted++
		}
		if ends := l.takeEnds(); (len(ends) > 0) != isAccepted {
			t.Errorf("%s: got %d and ended %+v", row.name, status, ends)
		}
		switch {
		case row.want == nil, row.name == "typ of a logout token":
		case isAccepted,
			description != row.want.Error() && description != descriptions[row.name]:
			t.Errorf("%s: got %d %q, want 400 %q", row.name, status, description, row.want)
		}
	}
	if len(logoutRows) < 300 || accepted < 10 {
		t.Errorf("%d of %d logout tokens were accepted, want at least 10 of 300", accepted,
			len(logoutRows))
	}
	f.checkCanary(t)
}

// logoutSites returns the sites of the attacks as configurations of a logoutTest.
func (f *forge) logoutSites(t *testing.T) map[string]VerifierConfig {
	configs := map[string]VerifierConfig{}
	for name, site := range f.sites() {
		config := site.config
		for i, body := range []string{site.localKeys, site.otherKeys} {
			serve := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
			switch {
			case i == 0 && site.serveLocal != nil:
				serve = site.serveLocal
			case body == "":
				continue
			}
			realm := must(NewRealm("http://localhost:8080", []string{"local", "other"}[i]))
			config.Issuers = append(config.Issuers, Issuer{Keys: NewKeySet(realm, KeySetConfig{
				Log: (&logBuffer{}).logger(),
				Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					w := httptest.NewRecorder()
					serve(w, r)
					return w.Result(), nil
				}),
			})})
		}
		configs[name] = config
	}
	return configs
}

// rowSite returns the name of an attack's site.
func rowSite(row attack) string {
	if row.site == "" {
		return defaultSite
	}
	return row.site
}
