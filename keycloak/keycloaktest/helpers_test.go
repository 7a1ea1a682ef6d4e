package keycloaktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// What follows asks a stand-in as other people's programs do: over HTTP, with golang-jwt and jwkset
// for the tokens.

// start is a stand-in with the realm shop, for one test.
func start(t testing.TB) (*keycloaktest.Server, *keycloaktest.Realm) {
	t.Helper()
	kc := keycloaktest.New(t, shop.File())
	return kc, kc.Realm("shop")
}

// A reply is what an endpoint answered.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any // where it is a JSON object
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, r.text) }

// member is a member of the body; a missing one is empty.
func (r reply) field(name string) string { s, _ := r.body[name].(string); return s }

// wantOK holds a reply to success.
func (r reply) wantOK(t testing.TB) reply {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("the answer is %v, want 200", r)
	}
	return r
}

// wantRefused holds a reply to a refusal in Keycloak's words.
func (r reply) wantRefused(t testing.TB, status int, description string) {
	t.Helper()
	if r.status != status || r.field("error_description") != description {
		t.Errorf("the answer is %v, want %d %q", r, status, description)
	}
}

// do sends a request. It fails as the client does: a broken answer is an error.
func do(request *http.Request) (reply, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: response.StatusCode, header: response.Header, text: string(text)}
	if json.Unmarshal(text, &r.body) != nil {
		r.body = nil
	}
	return r, nil
}

// ask sends a request and reads the answer.
func send(t testing.TB, request *http.Request) reply {
	t.Helper()
	r, err := do(request.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get sends a GET.
func get(t testing.TB, address string) reply {
	t.Helper()
	return send(t, newRequest(t, http.MethodGet, address, ""))
}

// newRequest returns a request with body, which may be empty.
func newRequest(t testing.TB, method, address, body string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// at is an endpoint of OpenID Connect: "/token".
func oidcURL(realm *keycloaktest.Realm, endpoint string) string {
	return realm.URL() + "/protocol/openid-connect" + endpoint
}

// post sends a form of names and values.
func post(t testing.TB, address string, form ...string) reply {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	request := newRequest(t, http.MethodPost, address, values.Encode())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(t, request)
}

// token asks the token endpoint as the client shop-api.
func token(t testing.TB, realm *keycloaktest.Realm, form ...string) reply {
	t.Helper()
	return post(t, oidcURL(realm, "/token"),
		append([]string{"client_id", "shop-api", "client_secret", "shop-api-secret"}, form...)...)
}

// login signs a user in by password; more are further parameters.
func login(t testing.TB, realm *keycloaktest.Realm, name, password string, more ...string) reply {
	t.Helper()
	return token(t, realm,
		append([]string{"grant_type", "password", "scope", "openid", "username", name, "password",
			password}, more...)...)
}

// refresh exchanges a refresh token.
func refresh(t testing.TB, realm *keycloaktest.Realm, refreshToken string) reply {
	t.Helper()
	return token(t, realm, "grant_type", "refresh_token", "refresh_token", refreshToken)
}

// userinfo asks the realm who the bearer is.
func userinfo(t testing.TB, realm *keycloaktest.Realm, accessToken string) reply {
	t.Helper()
	request := newRequest(t, http.MethodGet, oidcURL(realm, "/userinfo"), "")
	request.Header.Set("Authorization", "Bearer "+accessToken)
	return send(t, request)
}

// wantUserinfo holds what userinfo says of a token to success, or to a reason why not.
func wantUserinfo(t testing.TB, realm *keycloaktest.Realm, accessToken, reason string) {
	t.Helper()
	r := userinfo(t, realm, accessToken)
	if reason == "" {
		r.wantOK(t)
	} else if challenge := r.header.Get("WWW-Authenticate"); r.status != http.StatusUnauthorized ||
		!strings.Contains(challenge, `"`+reason+`"`) {
		t.Errorf("userinfo answers %v, %s, want 401 because %q", r, challenge, reason)
	}
}

// signIn begins a session of alice's.
func signIn(t testing.TB, realm *keycloaktest.Realm, scopes ...string) keycloaktest.Tokens {
	t.Helper()
	tokens, err := realm.SignIn("shop-api", "alice", scopes...)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// user returns a user that must exist.
func user(t testing.TB, realm *keycloaktest.Realm, name string) *keycloaktest.User {
	t.Helper()
	u := realm.User(name)
	if u == nil {
		t.Fatalf("the realm has no user %s", name)
	}
	return u
}

// succeed is for what a test needs before it begins.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantFailure holds an error to what it must say.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want one that says %q", err, want)
	}
}

// unverified is the payload of a token that the test got from the stand-in itself.
func parseClaims(t testing.TB, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatalf("%v, in %q", err, token)
	}
	return claims
}

var errAlgorithm = errors.New("the algorithm isn't the key's")

// verify verifies an access token for shop-api, with the keys that the realm publishes now, and
// fails as golang-jwt and jwkset fail.
func verify(t testing.TB, kc *keycloaktest.Server, realm *keycloaktest.Realm,
	token string) (jwt.MapClaims, error) {
	t.Helper()
	keys, err := jwkset.NewDefaultHTTPClientCtx(t.Context(), []string{oidcURL(realm, "/certs")})
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(token, claims, func(unverified *jwt.Token) (any, error) {
		kid, _ := unverified.Header["kid"].(string)
		key, err := keys.KeyRead(t.Context(), kid)
		if err != nil {
			return nil, err
		}
		if key.Marshal().ALG.String() != unverified.Method.Alg() {
			return nil, errAlgorithm
		}
		return key.Key(), nil
	}, jwt.WithIssuer(realm.Issuer()), jwt.WithAudience("shop-api"), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(kc.Now))
	return claims, err
}

// patience is for what must happen, on a machine that is slow or busy too.
const waitTimeout = 4 * time.Minute

// eventually waits for what another goroutine brings about and can't say.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(waitTimeout); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after %v: %s", waitTimeout, what)
		}
	}
}

// startWith is start with settings of the realm, of its client, or of alice.
func startWith(t *testing.T, realm, client,
	alice map[string]any) (*keycloaktest.Server, *keycloaktest.Realm) {
	t.Helper()
	spec := shop
	spec.Settings = realm
	spec.Clients = slices.Clone(spec.Clients)
	spec.Clients[0].Settings = client
	spec.Users = slices.Clone(spec.Users)
	spec.Users[0].Settings = alice
	kc := keycloaktest.New(t, spec.File())
	return kc, kc.Realm("shop")
}

// claimsOf are the claims of a new access token of alice's.
func claimsOf(t testing.TB, realm *keycloaktest.Realm) jwt.MapClaims {
	t.Helper()
	return parseClaims(t, signIn(t, realm).AccessToken)
}

func headerOf(t testing.TB, token string) map[string]any {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	must(t, err)
	return parsed.Header
}

func audience(claims jwt.MapClaims) []string {
	aud, _ := claims.GetAudience()
	return aud
}

func wantSessions(t *testing.T, realm *keycloaktest.Realm, want ...string) {
	t.Helper()
	var got []string
	for _, s := range realm.Sessions() {
		got = append(got, s.ID)
	}
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("the sessions are %v, want %v", got, want)
	}
}

// rolesIn are the roles in a token, of the realm where client is empty.
func rolesIn(claims jwt.MapClaims, client string) []string {
	access, _ := claims["realm_access"].(map[string]any)
	if client != "" {
		all, _ := claims["resource_access"].(map[string]any)
		access, _ = all[client].(map[string]any)
	}
	var names []string
	roles, _ := access["roles"].([]any)
	for _, name := range roles {
		names = append(names, fmt.Sprint(name))
	}
	return names
}

type (
	object    = map[string]any
	tokenSpec = keycloaktest.TokenSpec
)

func mint(t testing.TB, realm *keycloaktest.Realm, m keycloaktest.TokenSpec) string {
	t.Helper()
	token, err := realm.Mint(m)
	must(t, err)
	return token
}

func seconds(claims jwt.MapClaims, name string) time.Duration {
	n, _ := claims[name].(float64)
	return time.Duration(n) * time.Second
}

// named is the realm shop under another name.
func shopNamed(name string) []byte {
	spec := shop
	spec.Name = name
	return spec.File()
}

func kidOf(t *testing.T, realm *keycloaktest.Realm) any {
	t.Helper()
	return headerOf(t, signIn(t, realm).AccessToken)["kid"]
}

// localRealm is the realm file that this repository gives to a real Keycloak.
func localRealm(t testing.TB) []byte {
	t.Helper()
	file, err := os.ReadFile("../../deploy/keycloak/local-realm.json")
	must(t, err)
	return file
}

func startLocal(t testing.TB, file []byte) *keycloaktest.Server {
	t.Helper()
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file}})
	must(t, err)
	return kc
}

// wantGone wants nobody to listen where a server was.
func wantNotListening(t *testing.T, kc *keycloaktest.Server) {
	t.Helper()
	if conn, err := net.Dial("tcp", strings.TrimPrefix(kc.URL, "http://")); err == nil {
		conn.Close()
		t.Error("somebody listens at the port still")
	}
}

// wantStatus asks an address and wants an answer of this status.
func wantStatus(t *testing.T, address string, status int) {
	t.Helper()
	if r := get(t, address); r.status != status {
		t.Errorf("%s answers %v, want %d", address, r, status)
	}
}

// wantNoAnswer asks an address and wants the connection to end without a word.
func wantDisconnect(t *testing.T, address string) {
	t.Helper()
	var failed *net.OpError
	if r, err := do(newRequest(t, http.MethodGet, address, "")); !errors.Is(err, io.EOF) &&
		!errors.As(err, &failed) {
		t.Errorf("%s answers %v (%v), want the connection to end", address, r, err)
	}
}

// giveUp sends a request and gives up as soon as it has come.
func sendAndCancel(t *testing.T, kc *keycloaktest.Server, request *http.Request) {
	t.Helper()
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	before := kc.Count("")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan error)
	go func() {
		_, err := do(request.WithContext(ctx))
		answered <- err
	}()
	waitFor(t, "the request has come", func() bool { return kc.Count("") > before })
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended with %v, want that it was given up", err)
	}
}
