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

// The tests in package keycloaktest_test use the server as other programs would: over HTTP, and
// with golang-jwt and jwkset to verify tokens.

// startShop starts a server with the realm shop and closes it when the test ends.
func startShop(t testing.TB) (*keycloaktest.Server, *keycloaktest.Realm) {
	t.Helper()
	kc := keycloaktest.New(t, shop.File())
	return kc, kc.Realm("shop")
}

// A reply is a response with its body.
type reply struct {
	status int
	header http.Header
	text   string         // the body as text
	body   map[string]any // the body as a JSON object, or nil if it is something else
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, r.text) }

// field returns a string field of the body, or "".
func (r reply) field(name string) string { s, _ := r.body[name].(string); return s }

// wantOK fails the test unless the status is 200, and returns r.
func (r reply) wantOK(t testing.TB) reply {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("response is %v, want 200", r)
	}
	return r
}

// wantOAuthError checks the status and error_description of an error response.
func (r reply) wantOAuthError(t testing.TB, status int, description string) {
	t.Helper()
	if r.status != status || r.field("error_description") != description {
		t.Errorf("response is %v, want %d %q", r, status, description)
	}
}

// do sends a request. It returns an error if it can't read the whole response.
func do(request *http.Request) (reply, error) {
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if json.Unmarshal(text, &r.body) != nil {
		r.body = nil
	}
	return r, nil
}

// send is like do, but fails the test on an error.
func send(t testing.TB, request *http.Request) reply {
	t.Helper()
	r, err := do(request.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get sends a GET request.
func get(t testing.TB, address string) reply {
	t.Helper()
	return send(t, newRequest(t, http.MethodGet, address, ""))
}

// newRequest returns a request. body may be empty.
func newRequest(t testing.TB, method, address, body string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// oidcURL returns the URL of an OpenID Connect endpoint such as "/token".
func oidcURL(realm *keycloaktest.Realm, endpoint string) string {
	return realm.URL() + "/protocol/openid-connect" + endpoint
}

// post posts a form. form has names and values, alternating.
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

// postToken posts a form to the token endpoint as the client shop-api.
func postToken(t testing.TB, realm *keycloaktest.Realm, form ...string) reply {
	t.Helper()
	return post(t, oidcURL(realm, "/token"),
		append([]string{"client_id", "shop-api", "client_secret", "shop-api-secret"}, form...)...)
}

// passwordGrant sends a password grant. extraForm has alternating names and values of further
// parameters.
func passwordGrant(t testing.TB, realm *keycloaktest.Realm, name, password string,
	extraForm ...string) reply {
	t.Helper()
	return postToken(t, realm,
		append([]string{"grant_type", "password", "scope", "openid", "username", name, "password",
			password}, extraForm...)...)
}

// refresh exchanges a refresh token for new tokens.
func refresh(t testing.TB, realm *keycloaktest.Realm, refreshToken string) reply {
	t.Helper()
	return postToken(t, realm, "grant_type", "refresh_token", "refresh_token", refreshToken)
}

// getUserinfo sends an access token to the userinfo endpoint.
func getUserinfo(t testing.TB, realm *keycloaktest.Realm, accessToken string) reply {
	t.Helper()
	request := newRequest(t, http.MethodGet, oidcURL(realm, "/userinfo"), "")
	request.Header.Set("Authorization", "Bearer "+accessToken)
	return send(t, request)
}

// wantUserinfoOK checks that the userinfo endpoint accepts a token.
func wantUserinfoOK(t testing.TB, realm *keycloaktest.Realm, accessToken string) {
	t.Helper()
	getUserinfo(t, realm, accessToken).wantOK(t)
}

// wantUserinfoError checks that the userinfo endpoint rejects a token with reason.
func wantUserinfoError(t testing.TB, realm *keycloaktest.Realm, accessToken, reason string) {
	t.Helper()
	r := getUserinfo(t, realm, accessToken)
	if challenge := r.header.Get("WWW-Authenticate"); r.status != http.StatusUnauthorized ||
		!strings.Contains(challenge, `"`+reason+`"`) {
		t.Errorf("userinfo returns %v, %s, want 401 and %q", r, challenge, reason)
	}
}

// signIn signs in alice with Realm.SignIn.
func signIn(t testing.TB, realm *keycloaktest.Realm, scopes ...string) keycloaktest.Tokens {
	t.Helper()
	tokens, err := realm.SignIn("shop-api", "alice", scopes...)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// mustFindUser returns the user with this name, and fails the test if there is none.
func mustFindUser(t testing.TB, realm *keycloaktest.Realm, name string) *keycloaktest.User {
	t.Helper()
	u := realm.User(name)
	if u == nil {
		t.Fatalf("User(%q) = nil, want the user", name)
	}
	return u
}

// must fails the test if err isn't nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that err isn't nil and that its message contains want.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want an error with %q", err, want)
	}
}

// parseClaims returns the claims of a token without verifying it.
func parseClaims(t testing.TB, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatalf("token %q: %v", token, err)
	}
	return claims
}

// errAlgorithm means that the alg in a token's header isn't the algorithm of the token's key.
var errAlgorithm = errors.New("the token's algorithm isn't the algorithm of the key")

// verify verifies an access token for shop-api with the realm's published keys. It returns the
// token's claims, and errAlgorithm or an error of golang-jwt or jwkset.
func verify(t testing.TB, kc *keycloaktest.Server, realm *keycloaktest.Realm,
	token string) (jwt.MapClaims, error) {
	t.Helper()
	keys, err := jwkset.NewDefaultHTTPClientCtx(t.Context(), []string{oidcURL(realm, "/certs")})
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(token, claims, func(parsed *jwt.Token) (any, error) {
		kid, _ := parsed.Header["kid"].(string)
		key, err := keys.KeyRead(t.Context(), kid)
		if err != nil {
			return nil, err
		}
		if key.Marshal().ALG.String() != parsed.Method.Alg() {
			return nil, errAlgorithm
		}
		return key.Key(), nil
	}, jwt.WithIssuer(realm.Issuer()), jwt.WithAudience("shop-api"), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(kc.Now))
	return claims, err
}

// waitTimeout is long enough for slow or busy machines.
const waitTimeout = 4 * time.Minute

// waitFor waits until cond returns true. desc describes the condition in the failure.
func waitFor(t testing.TB, desc string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out after %v waiting until %s", waitTimeout, desc)
		}
	}
}

// startShopWith is like startShop, with additional settings for the realm, the client shop-api and
// the user alice.
func startShopWith(t *testing.T, realmSettings, clientSettings,
	aliceSettings map[string]any) (*keycloaktest.Server, *keycloaktest.Realm) {
	t.Helper()
	spec := shop
	spec.Settings = realmSettings
	spec.Clients = slices.Clone(spec.Clients)
	spec.Clients[0].Settings = clientSettings
	spec.Users = slices.Clone(spec.Users)
	spec.Users[0].Settings = aliceSettings
	kc := keycloaktest.New(t, spec.File())
	return kc, kc.Realm("shop")
}

// signInClaims signs in alice and returns the claims of her access token.
func signInClaims(t testing.TB, realm *keycloaktest.Realm) jwt.MapClaims {
	t.Helper()
	return parseClaims(t, signIn(t, realm).AccessToken)
}

// parseHeader returns the header of a token without verifying it.
func parseHeader(t testing.TB, token string) map[string]any {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	must(t, err)
	return parsed.Header
}

// audience returns the aud claim as a list.
func audience(claims jwt.MapClaims) []string {
	aud, _ := claims.GetAudience()
	return aud
}

// wantSessions checks the IDs of the realm's sessions.
func wantSessions(t *testing.T, realm *keycloaktest.Realm, want ...string) {
	t.Helper()
	var got []string
	for _, s := range realm.Sessions() {
		got = append(got, s.ID)
	}
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("sessions are %v, want %v", got, want)
	}
}

// tokenRoles returns a client's roles in a token's claims. If client is empty, it returns the realm
// roles.
func tokenRoles(claims jwt.MapClaims, client string) []string {
	access, _ := claims["realm_access"].(map[string]any)
	if client != "" {
		clients, _ := claims["resource_access"].(map[string]any)
		access, _ = clients[client].(map[string]any)
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

// mint calls Realm.Mint and fails the test on an error.
func mint(t testing.TB, realm *keycloaktest.Realm, spec keycloaktest.TokenSpec) string {
	t.Helper()
	token, err := realm.Mint(spec)
	must(t, err)
	return token
}

// timeClaim returns a claim that is a NumericDate.
func timeClaim(claims jwt.MapClaims, name string) time.Time {
	seconds, _ := claims[name].(float64)
	return time.Unix(int64(seconds), 0)
}

// shopFileNamed returns the realm file of shop with another realm name.
func shopFileNamed(name string) []byte {
	spec := shop
	spec.Name = name
	return spec.File()
}

// signInKID signs in alice and returns the kid in the header of her access token.
func signInKID(t *testing.T, realm *keycloaktest.Realm) any {
	t.Helper()
	return parseHeader(t, signIn(t, realm).AccessToken)["kid"]
}

// localRealmFile returns this repository's realm file for development.
func localRealmFile(t testing.TB) []byte {
	t.Helper()
	file, err := os.ReadFile("../../deploy/keycloak/local-realm.json")
	must(t, err)
	return file
}

// startServer starts a server with a realm file. The caller must close the server.
func startServer(t testing.TB, file []byte) *keycloaktest.Server {
	t.Helper()
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file}})
	must(t, err)
	return kc
}

// wantNotListening checks that nothing listens on the server's port.
func wantNotListening(t *testing.T, kc *keycloaktest.Server) {
	t.Helper()
	if conn, err := net.Dial("tcp", strings.TrimPrefix(kc.URL, "http://")); err == nil {
		conn.Close()
		t.Errorf("%s accepts a connection, want an error", kc.URL)
	}
}

// wantStatus checks the status of a GET request.
func wantStatus(t *testing.T, address string, status int) {
	t.Helper()
	if r := get(t, address); r.status != status {
		t.Errorf("GET %s returns %v, want %d", address, r, status)
	}
}

// wantDisconnect checks that the server closes the connection of a GET request without a response.
func wantDisconnect(t *testing.T, address string) {
	t.Helper()
	var opErr *net.OpError
	if r, err := do(newRequest(t, http.MethodGet, address, "")); !errors.Is(err, io.EOF) &&
		!errors.As(err, &opErr) {
		t.Errorf("GET %s returns %v, %v, want a closed connection", address, r, err)
	}
}

// sendAndCancel sends a request and cancels it as soon as the server has received it.
func sendAndCancel(t *testing.T, kc *keycloaktest.Server, request *http.Request) {
	t.Helper()
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	countBefore := kc.Count("")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		_, err := do(request.WithContext(ctx))
		done <- err
	}()
	waitFor(t, "the request arrives", func() bool { return kc.Count("") > countBefore })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("request returns %v, want %v", err, context.Canceled)
	}
}
