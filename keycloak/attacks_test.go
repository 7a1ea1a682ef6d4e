package keycloak

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// TestAttacks runs a table of attacks. Each row is a token, or a way to send a token, that has
// fooled some verifier or that a specification forbids. The test sends the token over a real
// connection through Middleware. The token must be rejected for exactly the expected reason,
// because a rejection for another reason could hide a hole.
//
// To print the table: go test -run TestAttacks -v ./keycloak

// minAttacks is the least number of rows. It detects groups of rows that are no longer run.
const minAttacks = 500

// An attack is a row of the table.
type attack struct {
	name, source string
	token        string
	want         error  // nil in control rows, whose token must be accepted
	detail       string // a part of the error's detail
	site         string // name in forge.sites; defaultSite if empty

	// attach adds the token to the request; nil means a single Authorization: Bearer header.
	attach func(r *http.Request, token string)
	// rawHeaders, if set, replaces the Authorization header with these lines. A net/http client
	// wouldn't send such lines.
	rawHeaders string
}

// row returns an attack. It joins the details with spaces.
func row(name, source, token string, want error, detail ...string) attack {
	return attack{name: name, source: source, token: token, want: want,
		detail: strings.Join(detail, " ")}
}

// onSite returns the attack, sent to another site.
func (a attack) onSite(site string) attack { a.site = site; return a }

// attachedBy returns the attack with another way to add the token to the request.
func (a attack) attachedBy(attach func(*http.Request, string)) attack {
	a.attach = attach
	return a
}

// withHeaders returns the attack with these Authorization headers instead of the usual one.
func (a attack) withHeaders(values ...string) attack {
	return a.attachedBy(func(r *http.Request, _ string) { r.Header["Authorization"] = values })
}

// withRawHeaders returns the attack with these header lines instead of the usual header.
func (a attack) withRawHeaders(lines string) attack { a.rawHeaders = lines; return a }

// mayFetch reports whether the row may cause a fetch of keys.
func (a attack) mayFetch() bool {
	return errors.Is(a.want, identity.ErrKeyUnknown) ||
		errors.Is(a.want, identity.ErrKeysUnavailable)
}

// errNotHTTP is the reason of requests that net/http rejects with 400 before Middleware runs.
var errNotHTTP = errors.New("not HTTP")

// attackReasons holds the names of the reasons in the table.
var attackReasons = []struct {
	name string
	err  error
}{
	{"accepted", nil},
	{"NOT_HTTP", errNotHTTP},
	{"TOKEN_MISSING", identity.ErrTokenMissing},
	{"TOKEN_MALFORMED", identity.ErrTokenMalformed},
	{"TOKEN_TOO_LARGE", identity.ErrTokenTooLarge},
	{"TOKEN_NOT_ACCEPTED", identity.ErrTokenNotAccepted},
	{"TOKEN_NOT_YET_VALID", identity.ErrTokenNotYetValid},
	{"TOKEN_EXPIRED", identity.ErrTokenExpired},
	{"KEY_UNKNOWN", identity.ErrKeyUnknown},
	{"TOKEN_SIGNATURE", identity.ErrTokenSignature},
	{"KEYS_UNAVAILABLE", identity.ErrKeysUnavailable},
}

// reasonName returns the names of all reasons that err matches, joined with plus signs.
func reasonName(err error) string {
	var names []string
	for _, reason := range attackReasons {
		if errors.Is(err, reason.err) {
			names = append(names, reason.name)
		}
	}
	return strings.Join(names, "+")
}

// A site is an API server behind Middleware, and a server for the key sets of the realms that the
// API trusts.
type site struct {
	api     *httptest.Server
	log     *logBuffer
	fetches *atomic.Int32 // counts fetches of key sets
}

// A siteConfig configures a site. A realm without a key set isn't trusted.
type siteConfig struct {
	localKeys, otherKeys string           // the key sets of the realms local and other
	serveLocal           http.HandlerFunc // serves the local realm's keys instead of localKeys
	config               VerifierConfig
}

const otherIssuer = "http://localhost:8080/realms/other"

// A verdict is the response of a site's handler: the caller's user ID, or the reason why the caller
// has no user.
type verdict struct{ Reason, Detail, User string }

// newSite starts a site, which runs until the test ends.
func newSite(t *testing.T, name string, c siteConfig) *site {
	s := &site{log: &logBuffer{}, fetches: &atomic.Int32{}}
	realms := http.NewServeMux()
	keycloak := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fetches.Add(1)
		realms.ServeHTTP(w, r)
	}))
	t.Cleanup(keycloak.Close)
	c.config.Audience, c.config.Now = []string{localAudience}, func() time.Time { return noon }
	for i, body := range []string{c.localKeys, c.otherKeys} {
		realmName, handler := []string{"local", "other"}[i],
			func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
		switch {
		case i == 0 && c.serveLocal != nil:
			handler = c.serveLocal
		case body == "":
			continue
		}
		realm := must(NewRealm(keycloak.URL, realmName))
		realms.HandleFunc(strings.TrimPrefix(realm.certsURL(), keycloak.URL), handler)
		keys := NewKeySet(realm, KeySetConfig{Log: s.log.logger()})
		c.config.Issuers = append(c.config.Issuers,
			Issuer{Names: []string{"http://localhost:8080/realms/" + realmName}, Keys: keys})
	}
	verifier, err := NewVerifier(c.config)
	if err != nil {
		t.Fatalf("NewVerifier() for the site %s = %v, want nil", name, err)
	}
	s.api = httptest.NewServer(Middleware(verifier,
		s.log.logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // trailers arrive with the end of the body
		user, err := identity.Require(r.Context())
		got := verdict{Reason: reasonName(err)}
		if user != nil {
			got.User = user.ID
		}
		if identityErr, ok := errors.AsType[*identity.Error](err); ok {
			got.Detail = identityErr.Detail
		}
		io.WriteString(w, toJSON(got))
	})))
	t.Cleanup(s.api.Close)
	// A token with an unknown key makes the site fetch the key set of the token's issuer.
	for _, issuer := range c.config.Issuers {
		token := signingKey{"warm-up", "ES256",
			p256Key()}.token(patch(t, aliceClaims(t), object{"iss": issuer.Names[0]}))
		s.send(t, attack{token: token})
	}
	if got := int(s.fetches.Load()); got != len(c.config.Issuers) {
		t.Fatalf("site %s fetched keys %d times, want once for each of its %d realms", name, got,
			len(c.config.Issuers))
	}
	return s
}

// send sends an attack and returns the handler's verdict.
func (s *site) send(t *testing.T, a attack) verdict {
	t.Helper()
	response, err := s.sendRequest(t, a)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusBadRequest {
		return verdict{Reason: reasonName(errNotHTTP)}
	}
	var got verdict
	if err := json.Unmarshal(body, &got); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("got %d %q (%v), want 200 and a verdict", response.StatusCode, body, err)
	}
	return got
}

// sendRequest sends the request of an attack.
func (s *site) sendRequest(t *testing.T, a attack) (*http.Response, error) {
	if a.rawHeaders != "" {
		return s.sendRawHeaders(t, a.rawHeaders)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.api.URL+"/graphql",
		strings.NewReader("{}"))
	if err != nil {
		return nil, err
	}
	if a.attach == nil {
		r.Header.Set("Authorization", "Bearer "+a.token)
	} else {
		a.attach(r, a.token)
	}
	return s.api.Client().Do(r)
}

// sendRawHeaders sends a request with these header lines, exactly as they are.
func (s *site) sendRawHeaders(t *testing.T, lines string) (*http.Response, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.api.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(4 * time.Minute)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn,
		"GET /graphql HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n%s\r\n\r\n",
		lines); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

// Each attack is rejected for the expected reason. It causes a fetch of keys only if it is rejected
// because its key is unknown or the keys are unavailable.
func TestAttacks(t *testing.T) {
	t.Run("with cache", func(t *testing.T) { testAttacks(t, 0) })
	t.Run("without cache", func(t *testing.T) { testAttacks(t, -1) })
}

// testAttacks sends every attack to sites whose verifiers have this VerifierConfig.CacheBytes.
func testAttacks(t *testing.T, cacheBytes int) {
	f := newForge(t)
	sites := map[string]*site{}
	for name, config := range f.sites() {
		config.config.CacheBytes = cacheBytes
		sites[name] = newSite(t, name, config)
	}
	var rows []attack
	for _, group := range []func(*forge) []attack{
		requestAttacks, formAttacks, jsonAttacks, algorithmAttacks, headerAttacks, kidAttacks,
		issuerAttacks, typeAttacks, audienceAttacks, timeAttacks, keyAttacks, realmAttacks,
		swapAttacks, rsaAttacks, pssAttacks, ecdsaAttacks, edAttacks,
	} {
		rows = append(rows, group(f)...)
	}
	checkAttackTable(t, rows, sites)

	// For a second after a fetch, no token causes another fetch. Wait until a fetch is possible
	// before testing the rows that must not cause one.
	time.Sleep(time.Second + 100*time.Millisecond)
	for _, row := range rows {
		if !row.mayFetch() {
			t.Run(row.name, func(t *testing.T) { runAttack(t, row, sites[row.site], 0) })
		}
	}
	fetchesBefore := sites[defaultSite].fetches.Load()
	for _, row := range rows {
		if row.mayFetch() {
			t.Run(row.name, func(t *testing.T) { runAttack(t, row, sites[row.site], 1) })
		}
	}
	if sites[defaultSite].fetches.Load() == fetchesBefore {
		t.Error("no unknown key caused a fetch, want at least one fetch: are they counted?")
	}
	f.checkCanary(t)
	for name, s := range sites {
		checkAttackLog(t, name, s.log.String(), append(f.secrets, tokenFragments(t, rows)...))
	}
	if testing.Verbose() {
		table := tabwriter.NewWriter(t.Output(), 0, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintf(table, "%s\t%s\t%s\n", row.name, row.source, reasonName(row.want))
		}
		table.Flush()
	}
}

// runAttack sends an attack twice, because the second verdict may come from the cache. It checks
// both verdicts and the number of fetches.
func runAttack(t *testing.T, a attack, s *site, maxFetches int32) {
	fetchesBefore := s.fetches.Load()
	got := s.send(t, a)
	if secondVerdict := s.send(t, a); secondVerdict.Reason != got.Reason ||
		secondVerdict.User != got.User {
		t.Errorf("%s: the second verdict is %+v, want %+v", a.source, secondVerdict, got)
	}
	if want := reasonName(a.want); got.Reason != want {
		t.Errorf("%s: got %+v, want %s", a.source, got, want)
	}
	if !strings.Contains(got.Detail, a.detail) {
		t.Errorf("%s: the detail %q doesn't contain %q", a.source, got.Detail, a.detail)
	}
	if want := map[bool]string{true: aliceID}[a.want == nil]; got.User != want {
		t.Errorf("%s: the caller is %q, want %q", a.source, got.User, want)
	}
	if fetches := s.fetches.Load() - fetchesBefore; fetches > maxFetches {
		t.Errorf("%s: %d fetches of keys, want at most %d", a.source, fetches, maxFetches)
	}
}

// aliceID is the sub of testdata/alice.json.
const aliceID = "0b2a8b0f-6a0f-4f7b-9a53-2d4d5f1f5c11"

// attackSourcePattern matches one source of a row. Semicolons separate a row's sources.
var attackSourcePattern = regexp.MustCompile(
	`^(RFC \d{4}, (section|appendix) [\dA-Z.]+\d?|CVE-\d{4}-\d{4,6}|Keycloak 26\.7\.4: ` +
		`.{10,}|OpenID Connect [A-Z][\w. -]+, section [\d.]*\d)$`)

// checkAttackTable checks that each row has a unique name, well-formed sources, a known site and a
// known reason.
func checkAttackTable(t *testing.T, rows []attack, sites map[string]*site) {
	t.Helper()
	if len(rows) < minAttacks {
		t.Errorf("the table has %d rows, want at least %d", len(rows), minAttacks)
	}
	names := map[string]bool{}
	acceptedRows := 0
	for i := range rows {
		row := &rows[i]
		if row.site == "" {
			row.site = defaultSite
		}
		if names[row.name] || row.name == "" {
			t.Errorf("the name %q is empty or a duplicate, want a unique name", row.name)
		}
		names[row.name] = true
		for _, source := range strings.Split(row.source, "; ") {
			if !attackSourcePattern.MatchString(source) {
				t.Errorf("%s: the source %q doesn't match attackSourcePattern", row.name, source)
			}
		}
		if sites[row.site] == nil {
			t.Fatalf("%s: unknown site %q", row.name, row.site)
		}
		if name := reasonName(row.want); name == "" || strings.Contains(name, "+") {
			t.Errorf("%s: %v is not in attackReasons", row.name, row.want)
		}
		if row.want == nil {
			acceptedRows++
		}
	}
	if acceptedRows == 0 || acceptedRows > len(rows)/6 {
		t.Errorf("%d of %d rows expect acceptance, want 1 to %d", acceptedRows, len(rows),
			len(rows)/6)
	}
}

// tokenFragments returns fragments of the rows' tokens. Each fragment is too long to occur in a log
// by chance. Claims in clear text are left out, because the detail of an error may quote them.
func tokenFragments(t *testing.T, rows []attack) (pieces []string) {
	for _, row := range rows {
		for _, piece := range strings.FieldsFunc(row.token, func(r rune) bool {
			return !strings.ContainsRune(base64Alphabet, r)
		}) {
			if len(piece) >= 32 && !strings.Contains(aliceClaims(t), piece[:32]) {
				pieces = append(pieces, piece[:32])
			}
		}
	}
	slices.Sort(pieces)
	return slices.Compact(pieces)
}

// checkAttackLog checks that a log contains none of these secrets, and that no token has forged a
// line in it.
func checkAttackLog(t *testing.T, site, log string, secrets []string) {
	t.Helper()
	if log == "" {
		t.Errorf("the log of %s is empty, want some lines", site)
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the log of %s contains the secret %q, want no secret", site, secret)
		}
	}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("the log of %s has the forged line %q, want none", site, line)
		}
	}
}
