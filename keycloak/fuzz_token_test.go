package keycloak

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

// Every token that our parser accepts is also accepted by golang-jwt, with the same content. If two
// parsers read a token differently, an attacker can fool one of them.
func FuzzParse(f *testing.F) {
	key := edDSA()
	for _, payload := range []string{
		`{"sub":"a","exp":1767269040}`, `{}`,
		`{"a":[1,{"b":null}],"c":1.5e3,"\u0064":"\ud83d\ude00\ud800"}`, `{"a":1,"a":2}`, `[]`,
		`null`, nested(40), ` {"n":12345678901234567890} `, "{\"a\":\"\xff\"}", `{} {}`,
		`{"exp":1e999}`,
	} {
		f.Add(key.header(), payload, "")
		f.Add(`{"alg":"none","kid":"x"}`, payload, "=")
		f.Add(`{"alg":"RS256","kid":"x","typ":"at+jwt","x":1e999}`, payload, ".")
	}
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		raw := base64url([]byte(header)) + "." + base64url([]byte(payload)) + "." + tail
		token, err := parse(raw, Algorithms())
		if err != nil {
			checkIsError(t, raw, err)
			return
		}
		claims := jwt.MapClaims{}
		parsed, _, err := jwt.NewParser(jwt.WithStrictDecoding(),
			jwt.WithJSONNumber()).ParseUnverified(raw, claims)
		if err != nil {
			t.Fatalf("golang-jwt rejects %q: %v", raw, err)
		}
		if parsed.Header["alg"] != token.Algorithm || parsed.Header["kid"] != token.KeyID ||
			!bytes.Equal(parsed.Signature, token.Signature) || string(token.Payload) != payload {
			t.Errorf("golang-jwt reads %v, we read %+v", parsed.Header, token)
		}
		c := token.claims
		for name, value := range map[string][]byte{
			"iss": c.iss, "typ": c.typ, "cnf": c.cnf, "aud": c.aud, "azp": c.azp, "sub": c.sub,
			"nbf": c.nbf, "iat": c.iat, "exp": c.exp, "realm_access": c.realmAccess,
		} {
			if value == nil {
				if _, ok := claims[name]; ok {
					t.Errorf("only golang-jwt reads %s", name)
				}
			} else if got := decodeJSON(t, value); !reflect.DeepEqual(got, claims[name]) {
				t.Errorf("golang-jwt reads %s as %v, we read it as %v", name, claims[name], got)
			}
		}
	})
}

// checkIsError checks that err is an identity.Error with a reason and a detail.
func checkIsError(t *testing.T, raw string, err error) {
	t.Helper()
	if refused, ok := errors.AsType[*identity.Error](err); !ok || refused.Reason == nil ||
		refused.Detail == "" {
		t.Errorf("%q: got %#v, want an *identity.Error with a reason and a detail", raw, err)
	}
}

// Every token that we accept is also accepted by golang-jwt with its strictest options. The fuzzer
// changes members of a good header and payload, or replaces them. The signature is correct, except
// that the fuzzer may flip one bit of the token.
func FuzzVerifyLikeGolangJWT(f *testing.F) {
	for _, text := range []string{`{}`, `{"exp":1767269040.9}`, `{"exp":"1767269040"}`,
		`{"nbf":1767268830,"iat":0}`, `{"nbf":1e300}`, `{"aud":["a","local-api"]}`,
		`{"aud":"local-api"}`, `{"aud":null}`, `{"iss":"x"}`, `{"sub":5}`, `{"typ":"bearer"}`,
		`{"alg":"none"}`, `{"typ":"at+jwt"}`, `{"kid":"rsa-1","alg":"RS256"}`, `{"crit":["x"]}`,
		`{"iat":-1}`,
		`{"exp":1767268770}`, `not JSON`, `{"exp":17672690400000000000e-10}`} {
		for which := range uint8(3) {
			f.Add(`{}`, text, which, uint16(0), true)
			f.Add(text, `{}`, which, uint16(0), true)
			f.Add(text, alice(f), which, uint16(9), false)
		}
	}
	signers := []signer{edDSA(), es256(), rs256()}
	keys := newKeys(f, certsOf(signers...))
	verifier := newVerifier(f, keys, VerifierConfig{})
	strict := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
		jwt.WithValidMethods(Algorithms()), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithIssuer(localIssuer), jwt.WithAudience(localAudience),
		jwt.WithLeeway(30*time.Second), jwt.WithTimeFunc(func() time.Time { return noon }))
	f.Fuzz(func(t *testing.T, header, payload string, which uint8, flip uint16, change bool) {
		s := signers[int(which)%len(signers)]
		if change { // the fuzzer alone rarely makes a valid token
			header, payload = merged(s.header(), header), merged(alice(t), payload)
		}
		token := s.sign(header, payload)
		if i := int(flip) / 8; flip > 0 && i < len(token) {
			token = token[:i] + string(rune(token[i]^1<<(flip%8))) + token[i+1:]
		}
		user, err := verifier.Verify(t.Context(), token)
		if err != nil {
			checkIsError(t, token, err)
			return
		}
		claims := jwt.MapClaims{}
		if _, err := strict.ParseWithClaims(token, claims, func(parsed *jwt.Token) (any, error) {
			i := slices.IndexFunc(signers, func(s signer) bool {
				return s.kid == parsed.Header["kid"] && s.alg == parsed.Header["alg"]
			})
			if i < 0 {
				return nil, errors.New("no such key")
			}
			return signers[i].key.Public(), nil
		}); err != nil {
			t.Fatalf("golang-jwt rejects a token that we accept: %v\n%s\n%s", err, header, payload)
		}
		if claims["sub"] != user.ID || user.ID == "" || claims["typ"] == nil {
			t.Errorf("golang-jwt reads %v, we read %+v", claims, user)
		}
	})
}

// merged returns the JSON object text with the members of changes. If either isn't an object, it
// returns changes.
func merged(text, changes string) string {
	var members, more map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil ||
		json.Unmarshal([]byte(changes), &more) != nil {
		return changes
	}
	maps.Copy(members, more)
	return toJSON(members)
}
