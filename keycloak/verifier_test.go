package keycloak

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

func TestVerifyClaims(t *testing.T) {
	key := edDSA()
	keys := newKeys(t, certsOf(key))
	strict := VerifierConfig{}
	byParty := VerifierConfig{AuthorizedParty: "local-api"}
	parties := VerifierConfig{AuthorizedParties: []string{"local-api", "web"}}
	both := VerifierConfig{AuthorizedParty: "local-api",
		AuthorizedParties: []string{"local-api", "web"}}
	for _, tt := range []struct {
		name   string
		config VerifierConfig
		change object
		want   error
		says   []string
	}{
		{"alice", strict, object{}, nil, nil},
		{"claims that nobody knows", strict, object{"x": object{"y": []int{1}}, "CNF": 1, "Aud": 5, "EXP": "x"}, nil, nil},

		{"ISS is not iss", strict, object{"iss": absent, "ISS": localIssuer}, identity.ErrTokenNotAccepted, []string{"iss is missing"}},
		{"ISS beside a foreign iss", strict, object{"iss": "https://evil.example", "Iss": localIssuer}, identity.ErrTokenNotAccepted, []string{"evil.example"}},

		{"typ a number", strict, object{"typ": 1}, identity.ErrTokenNotAccepted, []string{"typ is 1"}},
		{"typ in upper case", strict, object{"typ": "BEARER"}, nil, nil},
		{"an ID token", strict, object{"typ": "ID"}, identity.ErrTokenNotAccepted, []string{`typ is "ID"`, `"Bearer"`}},
		{"a refresh token", strict, object{"typ": "Refresh"}, identity.ErrTokenNotAccepted, []string{"Refresh"}},
		{"an offline token", strict, object{"typ": "Offline"}, identity.ErrTokenNotAccepted, nil},
		{"a logout token", strict, object{"typ": "Logout"}, identity.ErrTokenNotAccepted, nil},
		{"a token bound to a key", strict, object{"typ": "DPoP", "cnf": object{"jkt": "x"}}, identity.ErrTokenNotAccepted, []string{"DPoP"}},
		{"a token bound to a certificate", strict, object{"cnf": object{"x5t#S256": "x"}}, identity.ErrTokenNotAccepted, []string{`cnf is {"x5t#S256":"x"}`}},
		{"bound, and another checks the proof", VerifierConfig{AllowBound: true}, object{"cnf": object{"x5t#S256": "x"}}, nil, nil},
		{"bound by DPoP, which isn't a bearer's", VerifierConfig{AllowBound: true}, object{"typ": "DPoP", "cnf": object{"jkt": "x"}}, identity.ErrTokenNotAccepted, []string{"DPoP"}},

		{"aud a string", strict, object{"aud": localAudience}, nil, nil},
		{"aud second of a list", strict, object{"aud": []string{"account", localAudience}}, nil, nil},
		{"aud in another case", strict, object{"aud": "Local-API"}, identity.ErrTokenNotAccepted, nil},
		{"aud that begins like ours", strict, object{"aud": "local-api2"}, identity.ErrTokenNotAccepted, nil},
		{"aud holds our name as text", strict, object{"aud": "account local-api"}, identity.ErrTokenNotAccepted, nil},
		{"aud a number", strict, object{"aud": 7}, identity.ErrTokenNotAccepted, nil},
		{"aud an object", strict, object{"aud": object{localAudience: true}}, identity.ErrTokenNotAccepted, nil},
		{"second accepted audience", VerifierConfig{Audience: []string{"a", "b"}}, object{"aud": "b"}, nil, nil},
		{"azp is never the audience", VerifierConfig{Audience: []string{"web"}}, object{"aud": absent, "azp": "web"}, identity.ErrTokenNotAccepted, nil},
		{"azp is never the audience beside a list", VerifierConfig{Audience: []string{"web"}}, object{"aud": []string{"x"}, "azp": "web"}, identity.ErrTokenNotAccepted, nil},

		{"party: aud missing", byParty, object{"aud": absent}, nil, nil},
		{"party: aud account alone", byParty, object{"aud": "account"}, nil, nil},
		{"party: aud a list of account", byParty, object{"aud": []string{"account"}}, nil, nil},
		{"party: aud ours", byParty, object{"aud": localAudience, "azp": "web"}, nil, nil},
		{"party: aud an empty list", byParty, object{"aud": []string{}}, identity.ErrTokenNotAccepted, nil},
		{"party: aud of another API", byParty, object{"aud": "billing"}, nil, nil},
		{"party: aud account and another", byParty, object{"aud": []string{"account", "billing"}}, nil, nil},
		{"party: aud of another API, azp of another client", byParty, object{"aud": "billing", "azp": "web"}, identity.ErrTokenNotAccepted, []string{"billing", `azp is "web"`}},
		{"party: aud another API and an empty one", byParty, object{"aud": []string{"billing", ""}}, identity.ErrTokenNotAccepted, nil},

		{"parties: azp among them", parties, object{"azp": "web"}, nil, nil},
		{"parties: azp of another client", parties, object{"azp": "other"}, identity.ErrTokenNotAccepted, []string{`azp is "other"; accepted: ["local-api", "web"] (VerifierConfig.AuthorizedParties)`}},
		{"parties: azp missing", parties, object{"azp": absent}, identity.ErrTokenNotAccepted, []string{"azp is missing"}},
		{"parties: aud of another API", parties, object{"azp": "web", "aud": "billing"}, identity.ErrTokenNotAccepted, []string{"VerifierConfig.Audience"}},
		{"parties and party: aud of another API", both, object{"aud": "billing"}, nil, nil},
		{"parties and party: another of them, aud of another API", both, object{"azp": "web", "aud": "billing"}, identity.ErrTokenNotAccepted, nil},
		{"parties and party: another client, aud ours", both, object{"azp": "other"}, identity.ErrTokenNotAccepted, nil},
		{"party: aud a number", byParty, object{"aud": 7}, identity.ErrTokenNotAccepted, nil},
		{"party: azp of another client", byParty, object{"aud": absent, "azp": "web"}, identity.ErrTokenNotAccepted, []string{`azp is "web"`}},
		{"party: azp missing", byParty, object{"aud": "account", "azp": absent}, identity.ErrTokenNotAccepted, []string{"azp is missing"}},
		{"party: azp a list", byParty, object{"aud": absent, "azp": []string{"local-api"}}, identity.ErrTokenNotAccepted, nil},
		{"no party: azp empty", strict, object{"aud": absent, "azp": ""}, identity.ErrTokenNotAccepted, nil},

		{"sub a number", strict, object{"sub": 5}, identity.ErrTokenNotAccepted, []string{"sub is 5"}},

		{"nbf 0, as old releases wrote it", strict, object{"nbf": 0}, nil, nil},
		{"nbf text", strict, object{"nbf": "1767268740"}, identity.ErrTokenMalformed, []string{"nbf"}},
		{"iat missing", strict, object{"iat": absent}, nil, nil},
		{"iat null", strict, object{"iat": nil}, identity.ErrTokenMalformed, []string{"iat"}},

		{"exp with a fraction, within", strict, object{"exp": json.Number(fmt.Sprintf("%d.5", noonPlus(-29*time.Second)))}, nil, nil},
		{"exp with an exponent", strict, object{"exp": json.Number("1.76726904e9")}, nil, nil},
		{"exp the last second of RFC 3339", strict, object{"exp": json.Number("253402300799")}, nil, nil},
		{"another number larger than any float", strict, object{"x": []any{json.Number("-1e400")}}, identity.ErrTokenMalformed, []string{"too large"}},
		{"a number smaller than any float", strict, object{"x": json.Number("1e-400")}, nil, nil},
		{"a number of 64 characters", strict, object{"x": json.Number(strings.Repeat("9", 64))}, nil, nil},
		{"a number of 65 characters", strict, object{"x": json.Number("0." + strings.Repeat("9", 63))}, identity.ErrTokenMalformed, []string{"a number of 65 characters; accepted: 64"}},
		{"exp of more digits than a date has", strict, object{"exp": json.Number("1767269040.1234567890")}, identity.ErrTokenMalformed, []string{"exp"}},
		{"exp larger than int64", strict, object{"exp": json.Number("9223372036854775808")}, identity.ErrTokenMalformed, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user, err := newVerifier(t, keys, tt.config).Verify(t.Context(),
				key.token(with(t, alice(t), tt.change)))
			checkRefusal(t, err, tt.want, tt.says...)
			if (user == nil) != (tt.want != nil) {
				t.Errorf("Verify() gave the user %+v with the error %v", user, err)
			}
		})
	}
}

// An expired ID token that is called expired would make a client refresh for ever. So every pair of
// faults is tried, and the one that DESIGN names first must win.
func TestVerifyNamesTheFirstFault(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
	faults := []struct {
		name           string
		header, claims object
		spoil          func(string) string
		want           error
	}{
		{"size", nil, object{"big": strings.Repeat("x", 16<<10)}, nil, identity.ErrTokenTooLarge},
		{"form", nil, nil, func(token string) string { return token + "." }, identity.ErrTokenMalformed},
		{"header", object{"crit": []string{"b64"}}, nil, nil, identity.ErrTokenMalformed},
		{"algorithm", object{"alg": "HS256"}, nil, nil, identity.ErrTokenSignature},
		{"typ of the header", object{"typ": "logout+jwt"}, nil, nil, identity.ErrTokenNotAccepted},
		{"iss", nil, object{"iss": "https://evil.example"}, nil, identity.ErrTokenNotAccepted},
		{"typ", nil, object{"typ": "ID"}, nil, identity.ErrTokenNotAccepted},
		{"aud", nil, object{"aud": "billing"}, nil, identity.ErrTokenNotAccepted},
		{"sub", nil, object{"sub": absent}, nil, identity.ErrTokenNotAccepted},
		{"nbf", nil, object{"nbf": noonPlus(time.Hour)}, nil, identity.ErrTokenNotYetValid},
		{"iat", nil, object{"iat": noonPlus(time.Hour)}, nil, identity.ErrTokenNotYetValid},
		{"exp", nil, object{"exp": noonPlus(-time.Hour)}, nil, identity.ErrTokenExpired},
		{"key", object{"kid": "nobody's"}, nil, nil, identity.ErrKeyUnknown},
		{"signature", nil, nil, func(token string) string { return spoilSignature(token) }, identity.ErrTokenSignature},
	}
	// The four claims share a reason; the detail tells them apart.
	words := map[string]string{"typ of the header": "typ in the header", "iss": "iss is",
		"typ": "typ is", "aud": "aud is", "sub": "sub is", "nbf": "nbf is", "iat": "iat is"}
	for i, first := range faults {
		for _, second := range faults[i+1:] {
			t.Run(first.name+" and "+second.name, func(t *testing.T) {
				header := with(t, with(t, key.header(), second.header), first.header)
				token := key.sign(header, with(t, with(t, alice(t), second.claims), first.claims))
				for _, fault := range []func(string) string{second.spoil, first.spoil} {
					if fault != nil {
						token = fault(token)
					}
				}
				_, err := verifier.Verify(t.Context(), token)
				checkRefusal(t, err, first.want, words[first.name])
			})
		}
	}
}

// A realm that is trusted for its own tokens must not make those of its neighbour.
func TestVerifyKeepsIssuersApart(t *testing.T) {
	// The same key id in both, as happens when a realm is copied.
	ours, theirs := signer{"k", "EdDSA", edKey()}, signer{"k", "EdDSA", otherEdKey()}
	const otherIssuer = "https://sso.example.com/realms/other"
	verifier := newVerifier(t, nil, VerifierConfig{Issuers: []Issuer{
		{Names: []string{localIssuer, "https://public.example.com/realms/local"}, Keys: newKeys(t, certsOf(ours))},
		{Names: []string{otherIssuer}, Keys: newKeys(t, certsOf(theirs, signer{"only-theirs", "ES256", p256Key()}))},
	}})
	for _, tt := range []struct {
		name   string
		signer signer
		issuer string
		want   error
	}{
		{"ours by our key", ours, localIssuer, nil},
		{"our public name by our key", ours, "https://public.example.com/realms/local", nil},
		{"theirs by their key", theirs, otherIssuer, nil},
		{"ours by their key", theirs, localIssuer, identity.ErrTokenSignature},
		{"theirs by our key", ours, otherIssuer, identity.ErrTokenSignature},
		{"ours by a key that only they have", signer{"only-theirs", "ES256", p256Key()}, localIssuer, identity.ErrKeyUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier.Verify(t.Context(),
				tt.signer.token(with(t, alice(t), object{"iss": tt.issuer})))
			checkRefusal(t, err, tt.want)
		})
	}
}

func TestNewVerifierRefusesWhatCannotBeMeant(t *testing.T) {
	keys := newKeys(t, certs())
	issuer := Issuer{Names: []string{localIssuer}, Keys: keys}
	for _, tt := range []struct {
		name   string
		config VerifierConfig
		says   string
	}{
		{"no issuer", VerifierConfig{Audience: []string{"a"}}, "needs an issuer"},
		{"an issuer without keys", VerifierConfig{Issuers: []Issuer{{Names: []string{"x"}}}, Audience: []string{"a"}}, "needs keys"},
		{"an issuer with keys of no realm", VerifierConfig{Issuers: []Issuer{{Names: []string{"x"}, Keys: &KeySet{}}}, Audience: []string{"a"}}, "NewKeySet"},
		{"a negative leeway", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Leeway: -1}, "leeway"},
		{"a leeway of an hour", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Leeway: time.Hour}, "at most 5m"},
		{"a negative size", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, MaxBytes: -1}, "negative"},
		{"an issuer twice, once by the realm's name", VerifierConfig{Issuers: []Issuer{issuer, {Keys: keys}}, Audience: []string{"a"}}, "twice"},
		{"an algorithm that anyone can sign with", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Algorithms: []string{"ES256", "none"}}, `"none" can't be accepted`},
		{"an algorithm with a shared secret", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Algorithms: []string{"HS256"}}, "HS256"},
		{"an empty issuer", VerifierConfig{Issuers: []Issuer{{Names: []string{""}, Keys: keys}}, Audience: []string{"a"}}, "empty"},
		{"an issuer twice", VerifierConfig{Issuers: []Issuer{issuer, issuer}, Audience: []string{"a"}}, "twice"},
		{"no audience", VerifierConfig{Issuers: []Issuer{issuer}}, "needs an audience"},
		{"an empty audience", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a", ""}}, "needs an audience"},
		{"an empty party", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, AuthorizedParties: []string{"a", ""}}, "empty"},
		{"a party that is none of the parties", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, AuthorizedParty: "a", AuthorizedParties: []string{"b"}}, "none of AuthorizedParties"},
		{"account, which is in every user's tokens", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a", "account"}}, `"account"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewVerifier(tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("NewVerifier() = %v, want an error that says %q", err, tt.says)
			}
		})
	}
}

func TestVerifierWithFewerAlgorithms(t *testing.T) {
	keys := newKeys(t, certsOf(edDSA(), es256()))
	verifier := newVerifier(t, keys, VerifierConfig{Algorithms: []string{"ES256", "RS256"}})
	_, err := verifier.Verify(t.Context(), es256().token(alice(t)))
	checkRefusal(t, err, nil)
	_, err = verifier.Verify(t.Context(), edDSA().token(alice(t)))
	checkRefusal(t, err, identity.ErrTokenSignature, `alg is "EdDSA"; accepted: ES256, RS256`)
}

// An issuer without names is the realm that the keys are of.
func TestVerifierNamesTheRealmByItself(t *testing.T) {
	verifier := newVerifier(t, nil,
		VerifierConfig{Issuers: []Issuer{{Keys: newKeys(t, certsOf(edDSA()))}}})
	_, err := verifier.Verify(t.Context(), edDSA().token(alice(t)))
	checkRefusal(t, err, nil)
	_, err = verifier.Verify(t.Context(),
		edDSA().token(with(t, alice(t), object{"iss": localIssuer + "/"})))
	checkRefusal(t, err, identity.ErrTokenNotAccepted, `accepted: ["`+localIssuer+`"]`)
}

// A caller may go on using the lists that it gave.
func TestVerifierKeepsNoListOfItsCallers(t *testing.T) {
	audience, accepted := []string{localAudience}, []string{"EdDSA"}
	verifier := newVerifier(t, newKeys(t, certsOf(edDSA())),
		VerifierConfig{Audience: audience, Algorithms: accepted})
	audience[0], accepted[0] = "other", "RS256"
	_, err := verifier.Verify(t.Context(), edDSA().token(alice(t)))
	checkRefusal(t, err, nil)
}
