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

// The table of attacks. Each row is a token, or a way to bring one, that has fooled a verifier
// somewhere or that a specification forbids. It goes over a real connection through Middleware, and
// the reason that a handler learns must be exactly the wanted one: a refusal for another reason
// would hide the next hole. To read the table: go test -run TestAttacks -v ./keycloak

// leastAttacks keeps rows from getting lost.
const leastAttacks = 500

// An attack is a row of the table.
type attack struct {
	name, source string
	token        string
	want         error  // nil for the rows which show that good tokens pass here
	says         string // a word that the detail must have
	at           string // the site that it goes to; home if empty

	// via brings the token; nil is the one Authorization header of the scheme Bearer.
	via func(r *http.Request, token string)
	// wire are the header lines as they stand, for what no client of net/http would send.
	wire string
}

func row(name, source, token string, want error, says ...string) attack {
	return attack{name: name, source: source, token: token, want: want,
		says: strings.Join(says, " ")}
}

func (a attack) on(site string) attack { a.at = site; return a }

func (a attack) by(via func(*http.Request, string)) attack { a.via = via; return a }

// headers brings Authorization headers as they stand.
func (a attack) headers(values ...string) attack {
	return a.by(func(r *http.Request, _ string) { r.Header["Authorization"] = values })
}

func (a attack) raw(lines string) attack { a.wire = lines; return a }

// mayFetch reports whether a row is about keys that aren't known.
func (a attack) mayFetch() bool {
	return errors.Is(a.want, identity.ErrKeyUnknown) ||
		errors.Is(a.want, identity.ErrKeysUnavailable)
}

// errNotHTTP is the reason of requests that net/http answers by itself, with 400.
var errNotHTTP = errors.New("not HTTP")

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

// reasonName finds the one reason that an error is, if it is exactly one.
func reasonName(err error) string {
	var names []string
	for _, reason := range attackReasons {
		if errors.Is(err, reason.err) {
			names = append(names, reason.name)
		}
	}
	return strings.Join(names, "+")
}

// A site is a server whose requests go through Middleware, and the realms whose keys it trusts.
type site struct {
	api     *httptest.Server
	log     *logBook
	fetches *atomic.Int32 // of keys
}

// A siteConfig says what a site trusts. Both realms are there where both have keys.
type siteConfig struct {
	local, other string           // the key sets
	answer       http.HandlerFunc // in place of the local realm's key set
	config       VerifierConfig
}

const otherIssuer = "http://localhost:8080/realms/other"

// A learned is what a site's handler learned of the caller.
type learned struct{ Reason, Detail, User string }

func newSite(t *testing.T, name string, c siteConfig) *site {
	s := &site{log: &logBook{}, fetches: &atomic.Int32{}}
	realms := http.NewServeMux()
	keycloak := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fetches.Add(1)
		realms.ServeHTTP(w, r)
	}))
	t.Cleanup(keycloak.Close)
	c.config.Audience, c.config.Now = []string{localAudience}, func() time.Time { return noon }
	for i, body := range []string{c.local, c.other} {
		realmName, answer := []string{"local", "other"}[i],
			func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
		switch {
		case i == 0 && c.answer != nil:
			answer = c.answer
		case body == "":
			continue
		}
		realm := must(NewRealm(keycloak.URL, realmName))
		realms.HandleFunc(strings.TrimPrefix(realm.certsURL(), keycloak.URL), answer)
		keys := NewKeySet(realm, KeySetConfig{Log: s.log.logger()})
		c.config.Issuers = append(c.config.Issuers,
			Issuer{Names: []string{"http://localhost:8080/realms/" + realmName}, Keys: keys})
	}
	verifier, err := NewVerifier(c.config)
	if err != nil {
		t.Fatalf("site %s: %v", name, err)
	}
	s.api = httptest.NewServer(Middleware(verifier,
		s.log.logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // what comes in a trailer comes now
		user, err := identity.Require(r.Context())
		answer := learned{Reason: reasonName(err)}
		if user != nil {
			answer.User = user.ID
		}
		if refused, ok := errors.AsType[*identity.Error](err); ok {
			answer.Detail = refused.Detail
		}
		io.WriteString(w, toJSON(answer))
	})))
	t.Cleanup(s.api.Close)
	// Every key set is fetched once, for a key that nobody has.
	for _, issuer := range c.config.Issuers {
		token := signer{"warm-up", "ES256",
			p256Key()}.token(with(t, alice(t), object{"iss": issuer.Names[0]}))
		s.ask(t, attack{token: token})
	}
	if got := int(s.fetches.Load()); got != len(c.config.Issuers) {
		t.Fatalf("site %s fetched keys %d times, want one for each of its %d realms", name, got,
			len(c.config.Issuers))
	}
	return s
}

// ask sends an attack and says what the handler learned.
func (s *site) ask(t *testing.T, a attack) learned {
	t.Helper()
	response, err := s.send(t, a)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusBadRequest {
		return learned{Reason: reasonName(errNotHTTP)}
	}
	var got learned
	if err := json.Unmarshal(body, &got); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the answer is %d %q: %v", response.StatusCode, body, err)
	}
	return got
}

func (s *site) send(t *testing.T, a attack) (*http.Response, error) {
	if a.wire != "" {
		return s.sendLines(t, a.wire)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.api.URL+"/graphql",
		strings.NewReader("{}"))
	if err != nil {
		return nil, err
	}
	if a.via == nil {
		r.Header.Set("Authorization", "Bearer "+a.token)
	} else {
		a.via(r, a.token)
	}
	return s.api.Client().Do(r)
}

func (s *site) sendLines(t *testing.T, lines string) (*http.Response, error) {
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

func TestAttacks(t *testing.T) {
	f := newForge(t)
	sites := map[string]*site{}
	for name, config := range f.sites() {
		sites[name] = newSite(t, name, config)
	}
	var rows []attack
	for _, group := range []func(*forge) []attack{
		requestAttacks, formAttacks, jsonAttacks, algorithmAttacks, headerAttacks, kidAttacks,
		issuerAttacks, kindAttacks, audienceAttacks, timeAttacks, keyAttacks, realmAttacks,
		swapAttacks, rsaAttacks, pssAttacks, ecdsaAttacks, edAttacks,
	} {
		rows = append(rows, group(f)...)
	}
	checkAttackTable(t, rows, sites)

	// Within a second of a fetch nothing causes another one, so the rows that must not cause any
	// come after that second.
	time.Sleep(time.Second + 100*time.Millisecond)
	for _, row := range rows {
		if !row.mayFetch() {
			t.Run(row.name, func(t *testing.T) { runAttack(t, row, sites[row.at], 0) })
		}
	}
	calm := sites[home].fetches.Load()
	for _, row := range rows {
		if row.mayFetch() {
			t.Run(row.name, func(t *testing.T) { runAttack(t, row, sites[row.at], 1) })
		}
	}
	if sites[home].fetches.Load() == calm {
		t.Error("no unknown key caused a fetch of keys: fetches aren't counted")
	}
	f.checkCanary(t)
	for name, s := range sites {
		checkAttackLog(t, name, s.log.String(), append(f.secrets, tokenPieces(t, rows)...))
	}
	if testing.Verbose() {
		table := tabwriter.NewWriter(t.Output(), 0, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintf(table, "%s\t%s\t%s\n", row.name, row.source, reasonName(row.want))
		}
		table.Flush()
	}
}

func runAttack(t *testing.T, a attack, s *site, mostFetches int32) {
	before := s.fetches.Load()
	got := s.ask(t, a)
	if want := reasonName(a.want); got.Reason != want {
		t.Errorf("%s: the handler learned %+v, want %s", a.source, got, want)
	}
	if !strings.Contains(got.Detail, a.says) {
		t.Errorf("%s: the detail is %q; it doesn't name %q", a.source, got.Detail, a.says)
	}
	if want := map[bool]string{true: aliceID}[a.want == nil]; got.User != want {
		t.Errorf("%s: the caller is %q, want %q", a.source, got.User, want)
	}
	if fetches := s.fetches.Load() - before; fetches > mostFetches {
		t.Errorf("%s: it caused %d fetches of keys; at most %d may be", a.source, fetches,
			mostFetches)
	}
}

// aliceID is the sub of testdata/alice.json.
const aliceID = "0b2a8b0f-6a0f-4f7b-9a53-2d4d5f1f5c11"

// attackSource is what a row may name as its source, more than one with semicolons between them.
var attackSource = regexp.MustCompile(
	`^(RFC \d{4}, (section|appendix) [\dA-Z.]+\d?|CVE-\d{4}-\d{4,6}|Keycloak 26\.7\.4: .{10,}|OpenID Connect [A-Z][\w. -]+, section [\d.]*\d)$`)

func checkAttackTable(t *testing.T, rows []attack, sites map[string]*site) {
	t.Helper()
	if len(rows) < leastAttacks {
		t.Errorf("the table has %d rows, want %d or more", len(rows), leastAttacks)
	}
	names := map[string]bool{}
	accepted := 0
	for i := range rows {
		row := &rows[i]
		if row.at == "" {
			row.at = home
		}
		if names[row.name] || row.name == "" {
			t.Errorf("the name %q is there twice, or empty", row.name)
		}
		names[row.name] = true
		for _, source := range strings.Split(row.source, "; ") {
			if !attackSource.MatchString(source) {
				t.Errorf("%s: the source %q is none", row.name, source)
			}
		}
		if sites[row.at] == nil {
			t.Fatalf("%s: there is no site %q", row.name, row.at)
		}
		if name := reasonName(row.want); name == "" || strings.Contains(name, "+") {
			t.Errorf("%s: the wanted reason %v is none of the table", row.name, row.want)
		}
		if row.want == nil {
			accepted++
		}
	}
	if accepted == 0 || accepted > len(rows)/6 {
		t.Errorf("%d of %d rows are accepted: the table is one of attacks", accepted, len(rows))
	}
}

// tokenPieces are the parts of the rows' tokens, where they are long enough to be no coincidence.
// Claims in clear text are none: a detail may quote one.
func tokenPieces(t *testing.T, rows []attack) (pieces []string) {
	for _, row := range rows {
		for _, piece := range strings.FieldsFunc(row.token, func(r rune) bool {
			return !strings.ContainsRune(base64Alphabet, r)
		}) {
			if len(piece) >= 32 && !strings.Contains(alice(t), piece[:32]) {
				pieces = append(pieces, piece[:32])
			}
		}
	}
	slices.Sort(pieces)
	return slices.Compact(pieces)
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// checkAttackLog holds that a log has nothing of a token's parts or of a stranger's secrets, and
// that every line of it is ours.
func checkAttackLog(t *testing.T, site, log string, secrets []string) {
	t.Helper()
	if log == "" {
		t.Errorf("the log of %s is empty: nothing was checked", site)
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the log of %s holds %q", site, secret)
		}
	}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("the log of %s has a line of a stranger: %s", site, line)
		}
	}
}
