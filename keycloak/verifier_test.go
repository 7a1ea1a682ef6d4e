package keycloak

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Verify checks each claim, and the error's detail says which claim is wrong.
func TestVerify_claims(t *testing.T) {
	key := edDSA()
	keys := newKeys(t, jwksOf(key))
	defaults := VerifierConfig{}
	withParty := VerifierConfig{AuthorizedParty: "local-api"}
	withParties := VerifierConfig{AuthorizedParties: []string{"local-api", "web"}}
	withBoth := VerifierConfig{AuthorizedParty: "local-api",
		AuthorizedParties: []string{"local-api", "web"}}
	for _, tt := range []struct {
		name    string
		config  VerifierConfig
		change  object
		want    error
		details []string
	}{
		{"a good token", defaults, object{}, nil, nil},
		{"unknown claims", defaults, object{"x": object{"y": []int{1}}, "CNF": 1, "Aud": 5, "EXP": "x"}, nil, nil},

		{"ISS instead of iss", defaults, object{"iss": absent, "ISS": localIssuer}, identity.ErrTokenNotAccepted, []string{"iss is missing"}},
		{"iss is another, Iss is ours", defaults, object{"iss": "https://evil.example", "Iss": localIssuer}, identity.ErrTokenNotAccepted, []string{"evil.example"}},

		{"typ is a number", defaults, object{"typ": 1}, identity.ErrTokenNotAccepted, []string{"typ is 1"}},
		{"typ in capitals", defaults, object{"typ": "BEARER"}, nil, nil},
		{"an ID token", defaults, object{"typ": "ID"}, identity.ErrTokenNotAccepted, []string{`typ is "ID"`, `"Bearer"`}},
		{"a refresh token", defaults, object{"typ": "Refresh"}, identity.ErrTokenNotAccepted, []string{"Refresh"}},
		{"an offline token", defaults, object{"typ": "Offline"}, identity.ErrTokenNotAccepted, nil},
		{"a logout token", defaults, object{"typ": "Logout"}, identity.ErrTokenNotAccepted, nil},
		{"a token bound to a key", defaults, object{"typ": "DPoP", "cnf": object{"jkt": "x"}}, identity.ErrTokenNotAccepted, []string{"DPoP"}},
		{"a token bound to a certificate", defaults, object{"cnf": object{"x5t#S256": "x"}}, identity.ErrTokenNotAccepted, []string{`cnf is {"x5t#S256":"x"}`}},
		{"a token bound to a certificate, with AllowBound", VerifierConfig{AllowBound: true}, object{"cnf": object{"x5t#S256": "x"}}, nil, nil},
		{"a token bound to a DPoP key, with AllowBound", VerifierConfig{AllowBound: true}, object{"typ": "DPoP", "cnf": object{"jkt": "x"}}, identity.ErrTokenNotAccepted, []string{"DPoP"}},

		{"aud is a string", defaults, object{"aud": localAudience}, nil, nil},
		{"aud is a list, ours second", defaults, object{"aud": []string{"account", localAudience}}, nil, nil},
		{"aud in another case", defaults, object{"aud": "Local-API"}, identity.ErrTokenNotAccepted, nil},
		{"aud starts with ours", defaults, object{"aud": "local-api2"}, identity.ErrTokenNotAccepted, nil},
		{"aud is one string that lists two APIs", defaults, object{"aud": "account local-api"}, identity.ErrTokenNotAccepted, nil},
		{"aud is a number", defaults, object{"aud": 7}, identity.ErrTokenNotAccepted, nil},
		{"aud is an object", defaults, object{"aud": object{localAudience: true}}, identity.ErrTokenNotAccepted, nil},
		{"aud is the second accepted audience", VerifierConfig{Audience: []string{"a", "b"}}, object{"aud": "b"}, nil, nil},
		{"azp is ours, aud is missing", VerifierConfig{Audience: []string{"web"}}, object{"aud": absent, "azp": "web"}, identity.ErrTokenNotAccepted, nil},
		{"azp is ours, aud is another API", VerifierConfig{Audience: []string{"web"}}, object{"aud": []string{"x"}, "azp": "web"}, identity.ErrTokenNotAccepted, nil},

		{"AuthorizedParty: aud missing", withParty, object{"aud": absent}, nil, nil},
		{"AuthorizedParty: aud only account", withParty, object{"aud": "account"}, nil, nil},
		{"AuthorizedParty: aud a list of account", withParty, object{"aud": []string{"account"}}, nil, nil},
		{"AuthorizedParty: aud ours", withParty, object{"aud": localAudience, "azp": "web"}, nil, nil},
		{"AuthorizedParty: aud an empty list", withParty, object{"aud": []string{}}, identity.ErrTokenNotAccepted, nil},
		{"AuthorizedParty: aud another API", withParty, object{"aud": "billing"}, nil, nil},
		{"AuthorizedParty: aud account and another API", withParty, object{"aud": []string{"account", "billing"}}, nil, nil},
		{"AuthorizedParty: aud another API, azp another client", withParty, object{"aud": "billing", "azp": "web"}, identity.ErrTokenNotAccepted, []string{"billing", `azp is "web"`}},
		{"AuthorizedParty: aud another API and an empty string", withParty, object{"aud": []string{"billing", ""}}, identity.ErrTokenNotAccepted, nil},

		{"AuthorizedParties: azp is one of them", withParties, object{"azp": "web"}, nil, nil},
		{"AuthorizedParties: azp another client", withParties, object{"azp": "other"}, identity.ErrTokenNotAccepted, []string{`azp is "other"; accepted: ["local-api", "web"] (VerifierConfig.AuthorizedParties)`}},
		{"AuthorizedParties: azp missing", withParties, object{"azp": absent}, identity.ErrTokenNotAccepted, []string{"azp is missing"}},
		{"AuthorizedParties: aud another API", withParties, object{"azp": "web", "aud": "billing"}, identity.ErrTokenNotAccepted, []string{"VerifierConfig.Audience"}},
		{"both settings: aud another API", withBoth, object{"aud": "billing"}, nil, nil},
		{"both settings: azp is another of the parties, aud another API", withBoth, object{"azp": "web", "aud": "billing"}, identity.ErrTokenNotAccepted, nil},
		{"both settings: azp another client, aud ours", withBoth, object{"azp": "other"}, identity.ErrTokenNotAccepted, nil},
		{"AuthorizedParty: aud a number", withParty, object{"aud": 7}, identity.ErrTokenNotAccepted, nil},
		{"AuthorizedParty: azp another client", withParty, object{"aud": absent, "azp": "web"}, identity.ErrTokenNotAccepted, []string{`azp is "web"`}},
		{"AuthorizedParty: azp missing", withParty, object{"aud": "account", "azp": absent}, identity.ErrTokenNotAccepted, []string{"azp is missing"}},
		{"AuthorizedParty: azp a list", withParty, object{"aud": absent, "azp": []string{"local-api"}}, identity.ErrTokenNotAccepted, nil},
		{"aud missing, azp empty", defaults, object{"aud": absent, "azp": ""}, identity.ErrTokenNotAccepted, nil},

		{"sub is a number", defaults, object{"sub": 5}, identity.ErrTokenNotAccepted, []string{"sub is 5"}},

		{"nbf 0, from old Keycloak releases", defaults, object{"nbf": 0}, nil, nil},
		{"nbf is a string", defaults, object{"nbf": "1767268740"}, identity.ErrTokenMalformed, []string{"nbf"}},
		{"iat missing", defaults, object{"iat": absent}, nil, nil},
		{"iat is null", defaults, object{"iat": nil}, identity.ErrTokenMalformed, []string{"iat"}},

		{"exp with a fraction, within the leeway", defaults, object{"exp": json.Number(fmt.Sprintf("%d.5", noonPlus(-29*time.Second)))}, nil, nil},
		{"exp with an exponent", defaults, object{"exp": json.Number("1.76726904e9")}, nil, nil},
		{"exp is the last second of the year 9999", defaults, object{"exp": json.Number("253402300799")}, nil, nil},
		{"a number too large for a float in another claim", defaults, object{"x": []any{json.Number("-1e400")}}, identity.ErrTokenMalformed, []string{"too large"}},
		{"a number too small for a float in another claim", defaults, object{"x": json.Number("1e-400")}, nil, nil},
		{"a number of 64 characters", defaults, object{"x": json.Number(strings.Repeat("9", 64))}, nil, nil},
		{"a number of 65 characters", defaults, object{"x": json.Number("0." + strings.Repeat("9", 63))}, identity.ErrTokenMalformed, []string{"a number of 65 characters; accepted: 64"}},
		{"exp with too many digits", defaults, object{"exp": json.Number("1767269040.1234567890")}, identity.ErrTokenMalformed, []string{"exp"}},
		{"exp larger than int64", defaults, object{"exp": json.Number("9223372036854775808")}, identity.ErrTokenMalformed, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user, err := newVerifier(t, keys, tt.config).Verify(t.Context(),
				key.token(patch(t, alice(t), tt.change)))
			checkRefusal(t, err, tt.want, tt.details...)
			if (user == nil) != (tt.want != nil) {
				t.Errorf("Verify() = %+v, %v; want either a user or an error", user, err)
			}
		})
	}
}

// If a token fails two checks, Verify returns the error of the check that comes first in the list.
// For example, if Verify reported an expired ID token as expired, a client would refresh it again
// and again.
func TestVerify_order(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	checks := []struct {
		name           string
		header, claims object
		corrupt        func(string) string
		want           error
	}{
		{"size", nil, object{"big": strings.Repeat("x", 16<<10)}, nil, identity.ErrTokenTooLarge},
		{"form", nil, nil, func(token string) string { return token + "." }, identity.ErrTokenMalformed},
		{"header", object{"crit": []string{"b64"}}, nil, nil, identity.ErrTokenMalformed},
		{"algorithm", object{"alg": "HS256"}, nil, nil, identity.ErrTokenSignature},
		{"typ in the header", object{"typ": "logout+jwt"}, nil, nil, identity.ErrTokenNotAccepted},
		{"iss", nil, object{"iss": "https://evil.example"}, nil, identity.ErrTokenNotAccepted},
		{"typ", nil, object{"typ": "ID"}, nil, identity.ErrTokenNotAccepted},
		{"aud", nil, object{"aud": "billing"}, nil, identity.ErrTokenNotAccepted},
		{"sub", nil, object{"sub": absent}, nil, identity.ErrTokenNotAccepted},
		{"nbf", nil, object{"nbf": noonPlus(time.Hour)}, nil, identity.ErrTokenNotYetValid},
		{"iat", nil, object{"iat": noonPlus(time.Hour)}, nil, identity.ErrTokenNotYetValid},
		{"exp", nil, object{"exp": noonPlus(-time.Hour)}, nil, identity.ErrTokenExpired},
		{"key", object{"kid": "unknown"}, nil, nil, identity.ErrKeyUnknown},
		{"signature", nil, nil, func(token string) string { return corruptSignature(token) }, identity.ErrTokenSignature},
	}
	// The details distinguish checks that share a reason.
	details := map[string]string{"typ in the header": "typ in the header", "iss": "iss is",
		"typ": "typ is", "aud": "aud is", "sub": "sub is", "nbf": "nbf is", "iat": "iat is"}
	for i, first := range checks {
		for _, second := range checks[i+1:] {
			t.Run(first.name+" and "+second.name, func(t *testing.T) {
				header := patch(t, patch(t, key.header(), second.header), first.header)
				token := key.sign(header, patch(t, patch(t, alice(t), second.claims), first.claims))
				for _, corrupt := range []func(string) string{second.corrupt, first.corrupt} {
					if corrupt != nil {
						token = corrupt(token)
					}
				}
				_, err := verifier.Verify(t.Context(), token)
				checkRefusal(t, err, first.want, details[first.name])
			})
		}
	}
}

// A realm's keys verify only tokens with that realm's issuer.
func TestVerify_issuers(t *testing.T) {
	// Both keys have the same kid, as happens when a realm is copied.
	ourSigner, theirSigner := signer{"k", "EdDSA", edKey()}, signer{"k", "EdDSA", otherEdKey()}
	const otherIssuer = "https://sso.example.com/realms/other"
	verifier := newVerifier(t, nil, VerifierConfig{Issuers: []Issuer{
		{Names: []string{localIssuer, "https://public.example.com/realms/local"}, Keys: newKeys(t, jwksOf(ourSigner))},
		{Names: []string{otherIssuer}, Keys: newKeys(t, jwksOf(theirSigner, signer{"only-theirs", "ES256", p256Key()}))},
	}})
	for _, tt := range []struct {
		name   string
		signer signer
		issuer string
		want   error
	}{
		{"our issuer, our key", ourSigner, localIssuer, nil},
		{"our public issuer, our key", ourSigner, "https://public.example.com/realms/local", nil},
		{"their issuer, their key", theirSigner, otherIssuer, nil},
		{"our issuer, their key", theirSigner, localIssuer, identity.ErrTokenSignature},
		{"their issuer, our key", ourSigner, otherIssuer, identity.ErrTokenSignature},
		{"our issuer, a key that only they have", signer{"only-theirs", "ES256", p256Key()}, localIssuer, identity.ErrKeyUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier.Verify(t.Context(),
				tt.signer.token(patch(t, alice(t), object{"iss": tt.issuer})))
			checkRefusal(t, err, tt.want)
		})
	}
}

// NewVerifier returns an error that names the field that is wrong.
func TestNewVerifier_invalid(t *testing.T) {
	keys := newKeys(t, jwks())
	issuer := Issuer{Names: []string{localIssuer}, Keys: keys}
	for _, tt := range []struct {
		name    string
		config  VerifierConfig
		wantErr string
	}{
		{"no issuer", VerifierConfig{Audience: []string{"a"}}, "needs an issuer"},
		{"an issuer without keys", VerifierConfig{Issuers: []Issuer{{Names: []string{"x"}}}, Audience: []string{"a"}}, "needs keys"},
		{"an issuer with a zero KeySet", VerifierConfig{Issuers: []Issuer{{Names: []string{"x"}, Keys: &KeySet{}}}, Audience: []string{"a"}}, "NewKeySet"},
		{"a negative leeway", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Leeway: -1}, "leeway"},
		{"a leeway of an hour", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Leeway: time.Hour}, "at most 5m"},
		{"a negative MaxBytes", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, MaxBytes: -1}, "negative"},
		{"an issuer twice, once from the realm", VerifierConfig{Issuers: []Issuer{issuer, {Keys: keys}}, Audience: []string{"a"}}, "is empty or a duplicate"},
		{"the algorithm none", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Algorithms: []string{"ES256", "none"}}, `"none" can't be accepted`},
		{"an algorithm with a shared secret", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, Algorithms: []string{"HS256"}}, "HS256"},
		{"an empty issuer name", VerifierConfig{Issuers: []Issuer{{Names: []string{""}, Keys: keys}}, Audience: []string{"a"}}, "empty"},
		{"an issuer twice", VerifierConfig{Issuers: []Issuer{issuer, issuer}, Audience: []string{"a"}}, "is empty or a duplicate"},
		{"no audience", VerifierConfig{Issuers: []Issuer{issuer}}, "needs an audience"},
		{"an empty audience", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a", ""}}, "needs an audience"},
		{"an empty name in AuthorizedParties", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, AuthorizedParties: []string{"a", ""}}, "empty"},
		{"an AuthorizedParty that isn't one of AuthorizedParties", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, AuthorizedParty: "a", AuthorizedParties: []string{"b"}}, "isn't one of AuthorizedParties"},
		{"the audience account, which is in every user's tokens", VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a", "account"}}, `"account"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewVerifier(tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("NewVerifier() = %v, want an error with %q", err, tt.wantErr)
			}
		})
	}
}

// Verify rejects algorithms that aren't in VerifierConfig.Algorithms.
func TestVerify_restrictedAlgorithms(t *testing.T) {
	keys := newKeys(t, jwksOf(edDSA(), es256()))
	verifier := newVerifier(t, keys, VerifierConfig{Algorithms: []string{"ES256", "RS256"}})
	_, err := verifier.Verify(t.Context(), es256().token(alice(t)))
	checkRefusal(t, err, nil)
	_, err = verifier.Verify(t.Context(), edDSA().token(alice(t)))
	checkRefusal(t, err, identity.ErrTokenSignature, `alg is "EdDSA"; accepted: ES256, RS256`)
}

// If an Issuer has no Names, its name is the issuer of its KeySet's realm.
func TestVerify_issuerFromRealm(t *testing.T) {
	verifier := newVerifier(t, nil,
		VerifierConfig{Issuers: []Issuer{{Keys: newKeys(t, jwksOf(edDSA()))}}})
	_, err := verifier.Verify(t.Context(), edDSA().token(alice(t)))
	checkRefusal(t, err, nil)
	_, err = verifier.Verify(t.Context(),
		edDSA().token(patch(t, alice(t), object{"iss": localIssuer + "/"})))
	checkRefusal(t, err, identity.ErrTokenNotAccepted, `accepted: ["`+localIssuer+`"]`)
}

// NewVerifier copies the lists of its config, so later changes to them have no effect.
func TestNewVerifier_copiesLists(t *testing.T) {
	audience, algorithms := []string{localAudience}, []string{"EdDSA"}
	verifier := newVerifier(t, newKeys(t, jwksOf(edDSA())),
		VerifierConfig{Audience: audience, Algorithms: algorithms})
	audience[0], algorithms[0] = "other", "RS256"
	_, err := verifier.Verify(t.Context(), edDSA().token(alice(t)))
	checkRefusal(t, err, nil)
}
