package keycloak

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

// What our strict reader accepts, encoding/json accepts too and sees the same in it. What it refuses, and
// encoding/json doesn't, is refused for one of the reasons that the reader names.
func FuzzEachMember(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { "a" : [ 1 , {"b":null} ] , "c" : -1.5e3 } `, `{"\u0064":"\ud83d\ude00"}`, `{"a":"\ud800"}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`,
		`[]`, `null`, ``, `{`, `{"a"`, `{"a":`, `{"a":1,}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":1e}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\u12G4"}`,
		`{"a":1e400}`, `{"a":1e-400}`, `{"a":` + strings.Repeat("9", 65) + `}`, `{"x":` + nested(31) + `}`, `{"x":` + nested(40) + `}`, "{\"a\":\"\xff\"}", `{} {}`, "\ufeff{}",
		`{"a":"\u0000\b\f\n\r\t\/\\\""}`, "{\"a\":\"\x00\"}", `{1:2}`, `{"a" 1}`, `{"a":1 "b":2}`, manyMembers(40), manyMembers(33) + "x",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		kept := bytes.Clone(text)
		ours := map[string]any{}
		err := eachMember(text, func(name []byte, value raw) {
			if _, twice := ours[string(name)]; twice {
				t.Errorf("%q is visited twice", name)
			}
			ours[string(name)] = decodeJSON(t, value)
			checkRaw(t, value, ours[string(name)])
		})
		if !bytes.Equal(kept, text) {
			t.Error("the text was changed")
		}
		var theirs map[string]any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		theirErr := decoder.Decode(&theirs)
		if _, end := decoder.Token(); theirErr == nil && end != io.EOF {
			theirErr = errors.New("more follows")
		}
		switch {
		case err == nil && (theirErr != nil || !reflect.DeepEqual(ours, theirs)):
			t.Errorf("%q: we read %v, encoding/json %v and %v", text, ours, theirs, theirErr)
		case err != nil && theirErr == nil && theirs != nil && !slices.ContainsFunc([]string{"twice", "UTF-8", "deeper than", "no character", "too large", "characters"},
			func(word string) bool { return strings.Contains(err.Error(), word) }):
			t.Errorf("%q: encoding/json reads %v, we fail with %v", text, theirs, err)
		}
		if lax := eachMemberLax(text, func([]byte, raw) {}); err == nil && lax != nil {
			t.Errorf("%q: the lax reader fails with %v", text, lax)
		}
	})
}

func decodeJSON(t *testing.T, text []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return value
}

// checkRaw compares what a raw value says of itself with what encoding/json made of it.
func checkRaw(t *testing.T, v raw, value any) {
	t.Helper()
	text, isText := v.text()
	if want, ok := value.(string); ok != isText || text != want {
		t.Errorf("%q is the text %q, %v; want %q", v, text, isText, want)
	}
	number, isNumber := v.number()
	if want, ok := value.(json.Number); ok && len(v) <= maxDateBytes != isNumber || isNumber && number != must(want.Float64()) {
		t.Errorf("%q is the number %v, %v; want %v", v, number, isNumber, want)
	}
	list, isList := v.texts()
	items, ok := value.([]any)
	ok = ok && !slices.ContainsFunc(items, func(item any) bool { _, text := item.(string); return !text })
	if ok != isList || ok && fmt.Sprint(items) != fmt.Sprint(list) {
		t.Errorf("%q is the list %q, %v; want %q", v, list, isList, items)
	}
	if shown := v.quote(); len(shown) > 2300 || strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q is shown as %q", v, shown)
	}
}

func manyMembers(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// What our parser accepts, golang-jwt's accepts as well, and sees the same in it: where two readers of one
// token differ, one of them can be fooled.
func FuzzParse(f *testing.F) {
	key := edDSA()
	for _, payload := range []string{
		`{"sub":"a","exp":1767269040}`, `{}`, `{"a":[1,{"b":null}],"c":1.5e3,"\u0064":"\ud83d\ude00\ud800"}`, `{"a":1,"a":2}`, `[]`, `null`,
		nested(40), ` {"n":12345678901234567890} `, "{\"a\":\"\xff\"}", `{} {}`, `{"exp":1e999}`,
	} {
		f.Add(key.header(), payload, "")
		f.Add(`{"alg":"none","kid":"x"}`, payload, "=")
		f.Add(`{"alg":"RS256","kid":"x","typ":"at+jwt","x":1e999}`, payload, ".")
	}
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		raw := base64url([]byte(header)) + "." + base64url([]byte(payload)) + "." + tail
		token, err := parse(raw, algorithms)
		if err != nil {
			checkIsError(t, raw, err)
			return
		}
		claims := jwt.MapClaims{}
		theirs, _, err := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber()).ParseUnverified(raw, claims)
		if err != nil {
			t.Fatalf("golang-jwt refuses %q: %v", raw, err)
		}
		if theirs.Header["alg"] != token.alg || theirs.Header["kid"] != token.kid || !bytes.Equal(theirs.Signature, token.signature) || string(token.payload) != payload {
			t.Errorf("golang-jwt reads %v, we read %+v", theirs.Header, token)
		}
		c := token.claims
		for name, value := range map[string][]byte{
			"iss": c.iss, "typ": c.typ, "cnf": c.cnf, "aud": c.aud, "azp": c.azp, "sub": c.sub, "nbf": c.nbf, "iat": c.iat, "exp": c.exp, "realm_access": c.realmAccess,
		} {
			if value == nil {
				if _, there := claims[name]; there {
					t.Errorf("golang-jwt sees %s, and we don't", name)
				}
			} else if got := decodeJSON(t, value); !reflect.DeepEqual(got, claims[name]) {
				t.Errorf("golang-jwt reads %s as %v, we as %v", name, claims[name], got)
			}
		}
	})
}

func checkIsError(t *testing.T, raw string, err error) {
	t.Helper()
	if refused, ok := errors.AsType[*identity.Error](err); !ok || refused.Reason == nil || refused.Detail == "" {
		t.Errorf("%q fails with %#v", raw, err)
	}
}

// Whatever we accept, golang-jwt accepts with everything strict that it has. Header and payload are the
// fuzzer's, changed members of good ones or texts of its own; the signature is right, but for a bit at times.
func FuzzVerifyLikeGolangJWT(f *testing.F) {
	for _, text := range []string{`{}`, `{"exp":1767269040.9}`, `{"exp":"1767269040"}`, `{"nbf":1767268830,"iat":0}`, `{"nbf":1e300}`, `{"aud":["a","local-api"]}`, `{"aud":"local-api"}`,
		`{"aud":null}`, `{"iss":"x"}`, `{"sub":5}`, `{"typ":"bearer"}`, `{"alg":"none"}`, `{"typ":"at+jwt"}`, `{"kid":"rsa-1","alg":"RS256"}`, `{"crit":["x"]}`, `{"iat":-1}`, `{"exp":1767268770}`, `not JSON`, `{"exp":17672690400000000000e-10}`} {
		for which := range uint8(3) {
			f.Add(`{}`, text, which, uint16(0), true)
			f.Add(text, `{}`, which, uint16(0), true)
			f.Add(text, alice(f), which, uint16(9), false)
		}
	}
	signers := []signer{edDSA(), es256(), rs256()}
	keys := newKeys(f, certsOf(signers...))
	verifier := newVerifier(f, keys, VerifierConfig{})
	strict := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithValidMethods(algorithms), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithIssuer(localIssuer), jwt.WithAudience(localAudience), jwt.WithLeeway(30*time.Second), jwt.WithTimeFunc(func() time.Time { return noon }))
	f.Fuzz(func(t *testing.T, header, payload string, which uint8, flip uint16, change bool) {
		s := signers[int(which)%len(signers)]
		if change { // a text of the fuzzer's alone is seldom a token
			header, payload = changed(s.header(), header), changed(alice(t), payload)
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
		if _, err := strict.ParseWithClaims(token, claims, func(theirs *jwt.Token) (any, error) {
			i := slices.IndexFunc(signers, func(s signer) bool { return s.kid == theirs.Header["kid"] && s.alg == theirs.Header["alg"] })
			if i < 0 {
				return nil, errors.New("no such key")
			}
			return signers[i].key.Public(), nil
		}); err != nil {
			t.Fatalf("golang-jwt refuses what we accept: %v\n%s\n%s", err, header, payload)
		}
		if claims["sub"] != user.ID || user.ID == "" || claims["typ"] == nil {
			t.Errorf("golang-jwt reads %v, we %+v", claims, user)
		}
	})
}

// changed lays the members of one JSON object over those of another, where both are that.
func changed(text, changes string) string {
	var members, more map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil || json.Unmarshal([]byte(changes), &more) != nil {
		return changes
	}
	maps.Copy(members, more)
	return toJSON(members)
}

// Whatever a key set says, no key of ours is a private, a secret or a weak one, and none makes us panic.
func FuzzReadKeys(f *testing.F) {
	for _, s := range []signer{rs256(), es256(), edDSA(), {"p", "ES384", p384Key()}, {"q", "ES512", p521Key()}} {
		f.Add([]byte(certsOf(s)))
		f.Add([]byte(certsOf(s, edDSA(), s)))
	}
	private := edDSA().jwk()
	private["d"], private["key_ops"], private["x5c"] = base64url(make([]byte, 32)), []string{"verify"}, []string{"x"}
	nameless := edDSA().jwk()
	delete(nameless, "kid")
	for _, body := range []string{
		certs(private), certs(nameless), certs(x25519()), `{"keys":[{"kid":"o","kty":"oct","use":"sig","alg":"HS256","k":"c2VjcmV0"}]}`, `{"keys":[null,5,{}]}`, `{"keys":{}}`, `[]`,
		`{"keys":[{"kid":"r","kty":"RSA","use":"sig","n":"AA","e":"AQAB"}]}`, `{"keys":[],"keys":[]}`, `{"Keys":[]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := readKeys(body)
		if err != nil {
			return
		}
		if len(keys.keys) == 0 {
			t.Error("the set is good, and not one key in it")
		}
		for kid, key := range keys.keys {
			switch key.Public.(type) {
			case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			default:
				t.Errorf("key %q is a %T", kid, key.Public)
			}
			if kid == "" || key.ID != kid || key.check() != nil {
				t.Errorf("key %q has the id %q, and %v", kid, key.ID, key.check())
			}
			if verifySignature(key.Algorithm, key.Public, "x", make([]byte, 64)) {
				t.Errorf("key %q verifies zeros", kid)
			}
			if slices.ContainsFunc(keys.rejected, func(odd rejectedKey) bool { return odd.kid == kid }) {
				t.Errorf("key %q is kept and passed over", kid)
			}
		}
	})
}
