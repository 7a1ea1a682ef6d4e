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

// golang-jwt accepts every token that our parser accepts, and reads the same content. If two
// parsers read a token differently, an attacker can exploit the difference.
func FuzzParseToken(f *testing.F) {
	key := edDSA()
	for _, payload := range []string{
		`{"sub":"a","exp":1767269040}`, `{}`,
		`{"a":[1,{"b":null}],"c":1.5e3,"\u0064":"\ud83d\ude00\ud800"}`, `{"a":1,"a":2}`, `[]`,
		`null`, nestedArrays(40), ` {"n":12345678901234567890} `, "{\"a\":\"\xff\"}", `{} {}`,
		`{"exp":1e999}`, `{"organization":["a"],"act":null}`,
		`{"act":{"sub":"b"},"organization":{"a":{"id":"c","groups":["/d"]}}}`,
	} {
		f.Add(key.header(), payload, "")
		f.Add(`{"alg":"none","kid":"x"}`, payload, "=")
		f.Add(`{"alg":"RS256","kid":"x","typ":"at+jwt","x":1e999}`, payload, ".")
	}
	f.Fuzz(func(t *testing.T, header, payload, signature string) {
		text := base64url([]byte(header)) + "." + base64url([]byte(payload)) + "." + signature
		token, err := parseToken(text, Algorithms())
		if err != nil {
			checkIdentityError(t, text, err)
			return
		}
		claims := jwt.MapClaims{}
		jwtToken, _, err := jwt.NewParser(jwt.WithStrictDecoding(),
			jwt.WithJSONNumber()).ParseUnverified(text, claims)
		if err != nil {
			t.Fatalf("golang-jwt rejects %q, which we accept: %v", text, err)
		}
		if jwtToken.Header["alg"] != token.Algorithm || jwtToken.Header["kid"] != token.KeyID ||
			!bytes.Equal(jwtToken.Signature, token.Signature) || string(token.Payload) != payload {
			t.Errorf("golang-jwt reads %v, we read %+v", jwtToken.Header, token)
		}
		c := token.claims
		for name, value := range map[string][]byte{
			"iss": c.iss, "typ": c.typ, "cnf": c.cnf, "aud": c.aud, "azp": c.azp, "sub": c.sub,
			"nbf": c.nbf, "iat": c.iat, "exp": c.exp, "realm_access": c.realmAccess,
			"organization": c.organization, "act": c.act,
		} {
			if value == nil {
				if _, ok := claims[name]; ok {
					t.Errorf("golang-jwt reads %s as %v, we read no such claim", name, claims[name])
				}
			} else if got := decodeJSON(t, value); !reflect.DeepEqual(got, claims[name]) {
				t.Errorf("golang-jwt reads %s as %v, we read it as %v", name, claims[name], got)
			}
		}
	})
}

// checkIdentityError checks that err is an identity.Error with a reason and a detail.
func checkIdentityError(t *testing.T, token string, err error) {
	t.Helper()
	if identityErr, ok := errors.AsType[*identity.Error](err); !ok || identityErr.Reason == nil ||
		identityErr.Detail == "" {
		t.Errorf("%q: got %#v, want an *identity.Error with a reason and a detail", token, err)
	}
}

// golang-jwt, with its strictest options, accepts every token that a Verifier accepts. The fuzzer
// changes fields of a good header and payload, or replaces both. The token is then signed
// correctly, but the fuzzer may flip a bit of it.
func FuzzVerifyLikeGolangJWT(f *testing.F) {
	for _, text := range []string{`{}`, `{"exp":1767269040.9}`, `{"exp":"1767269040"}`,
		`{"nbf":1767268830,"iat":0}`, `{"nbf":1e300}`, `{"aud":["a","local-api"]}`,
		`{"aud":"local-api"}`, `{"aud":null}`, `{"iss":"x"}`, `{"sub":5}`, `{"typ":"bearer"}`,
		`{"alg":"none"}`, `{"typ":"at+jwt"}`, `{"kid":"rsa-1","alg":"RS256"}`, `{"crit":["x"]}`,
		`{"iat":-1}`,
		`{"exp":1767268770}`, `not JSON`, `{"exp":17672690400000000000e-10}`} {
		for keyIndex := range uint8(3) {
			f.Add(`{}`, text, keyIndex, uint16(0), true)
			f.Add(text, `{}`, keyIndex, uint16(0), true)
			f.Add(text, aliceClaims(f), keyIndex, uint16(9), false)
		}
	}
	signingKeys := []signingKey{edDSA(), es256(), rs256()}
	keys := newKeys(f, jwksOf(signingKeys...))
	verifier := newVerifier(f, keys, VerifierConfig{})
	strictParser := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
		jwt.WithValidMethods(Algorithms()), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithIssuer(localIssuer), jwt.WithAudience(localAudience),
		jwt.WithLeeway(30*time.Second), jwt.WithTimeFunc(func() time.Time { return noon }))
	f.Fuzz(func(t *testing.T, header, payload string, keyIndex uint8, bitToFlip uint16,
		mergeFields bool) {
		k := signingKeys[int(keyIndex)%len(signingKeys)]
		if mergeFields { // without merging, the fuzzer rarely makes a valid token
			header, payload = mergeJSON(k.header(), header), mergeJSON(aliceClaims(t), payload)
		}
		token := k.sign(header, payload)
		if i := int(bitToFlip) / 8; bitToFlip > 0 && i < len(token) {
			token = token[:i] + string(rune(token[i]^1<<(bitToFlip%8))) + token[i+1:]
		}
		user, err := verifier.Verify(t.Context(), token)
		if err != nil {
			checkIdentityError(t, token, err)
			return
		}
		claims := jwt.MapClaims{}
		keyfunc := func(jwtToken *jwt.Token) (any, error) {
			i := slices.IndexFunc(signingKeys, func(k signingKey) bool {
				return k.kid == jwtToken.Header["kid"] && k.alg == jwtToken.Header["alg"]
			})
			if i < 0 {
				return nil, errors.New("no such key")
			}
			return signingKeys[i].key.Public(), nil
		}
		if _, err := strictParser.ParseWithClaims(token, claims, keyfunc); err != nil {
			t.Fatalf("golang-jwt rejects a token that we accept: %v\n%s\n%s", err, header, payload)
		}
		if claims["sub"] != user.ID || user.ID == "" || claims["typ"] == nil {
			t.Errorf("golang-jwt reads %v, we read %+v", claims, user)
		}
	})
}

// mergeJSON adds the fields of the JSON object changes to the JSON object text, or replaces them
// there, and returns the result. If either isn't a JSON object, it returns changes.
func mergeJSON(text, changes string) string {
	var fields, changedFields map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &fields) != nil ||
		json.Unmarshal([]byte(changes), &changedFields) != nil {
		return changes
	}
	maps.Copy(fields, changedFields)
	return toJSON(fields)
}
