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
func TestVerify_claimChecks(t *testing.T) {
	key := edDSA()
	keys := newKeys(t, jwksOf(key))
	defaultConfig := VerifierConfig{}
	partyConfig := VerifierConfig{AnyAudienceFor: "local-api"}
	partiesConfig := VerifierConfig{AuthorizedParties: []string{"local-api", "web"}}
	partyAndPartiesConfig := VerifierConfig{AnyAudienceFor: "local-api",
		AuthorizedParties: []string{"local-api", "web"}}
	for _, tt := range []struct {
		name    string
		config  VerifierConfig
		change  object
		want    error
		details []string
	}{
		{"a good token", defaultConfig, object{}, nil, nil},
		{"unknown claims", defaultConfig,
			object{"x": object{"y": []int{1}}, "CNF": 1, "Aud": 5, "EXP": "x"}, nil, nil},

		{"ISS instead of iss", defaultConfig, object{"iss": absent, "ISS": localIssuer},
			identity.ErrTokenNotAccepted, []string{"iss is missing"}},
		{"iss is another, Iss is ours", defaultConfig,
			object{"iss": "https://evil.example",
				"Iss": localIssuer}, identity.ErrTokenNotAccepted, []string{"evil.example"}},

		{"typ is a number", defaultConfig, object{"typ": 1}, identity.ErrTokenNotAccepted,
			[]string{"typ is 1"}},
		{"typ in capitals", defaultConfig, object{"typ": "BEARER"}, nil, nil},
		{"an ID token", defaultConfig, object{"typ": "ID"}, identity.ErrTokenNotAccepted,
			[]string{`typ is "ID"`, `"Bearer"`}},
		{"a refresh token", defaultConfig, object{"typ": "Refresh"}, identity.ErrTokenNotAccepted,
			[]string{"Refresh"}},
		{"an offline token", defaultConfig, object{"typ": "Offline"}, identity.ErrTokenNotAccepted,
			nil},
		{"a logout token", defaultConfig, object{"typ": "Logout"}, identity.ErrTokenNotAccepted,
			nil},
		{"a token bound to a key", defaultConfig, object{"typ": "DPoP", "cnf": object{"jkt": "x"}},
			identity.ErrTokenNotAccepted, []string{"DPoP"}},
		{"a token bound to a certificate", defaultConfig, object{"cnf": object{"x5t#S256": "x"}},
			identity.ErrTokenNotAccepted, []string{`cnf is {"x5t#S256":"x"}`}},
		{"a token bound to a certificate, with AllowBound", VerifierConfig{AllowBound: true},
			object{"cnf": object{"x5t#S256": "x"}}, nil, nil},
		{"a token bound to a DPoP key, with AllowBound", VerifierConfig{AllowBound: true},
			object{"typ": "DPoP",
				"cnf": object{"jkt": "x"}}, identity.ErrTokenNotAccepted, []string{"DPoP"}},

		{"aud is a string", defaultConfig, object{"aud": localAudience}, nil, nil},
		{"aud is a list, ours second", defaultConfig,
			object{"aud": []string{"account", localAudience}}, nil, nil},
		{"aud in another case", defaultConfig, object{"aud": "Local-API"},
			identity.ErrTokenNotAccepted, nil},
		{"aud starts with ours", defaultConfig, object{"aud": "local-api2"},
			identity.ErrTokenNotAccepted, nil},
		{"aud is one string that lists two APIs", defaultConfig, object{"aud": "account local-api"},
			identity.ErrTokenNotAccepted, nil},
		{"aud is a number", defaultConfig, object{"aud": 7}, identity.ErrTokenNotAccepted, nil},
		{"aud is an object", defaultConfig, object{"aud": object{localAudience: true}},
			identity.ErrTokenNotAccepted, nil},
		{"aud is the second accepted audience", VerifierConfig{Audience: []string{"a", "b"}},
			object{"aud": "b"}, nil, nil},
		{"azp is ours, aud is missing", VerifierConfig{Audience: []string{"web"}},
			object{"aud": absent, "azp": "web"}, identity.ErrTokenNotAccepted, nil},
		{"azp is ours, aud is another API", VerifierConfig{Audience: []string{"web"}},
			object{"aud": []string{"x"}, "azp": "web"}, identity.ErrTokenNotAccepted, nil},

		{"AnyAudienceFor: aud missing", partyConfig, object{"aud": absent}, nil, nil},
		{"AnyAudienceFor: aud only account", partyConfig, object{"aud": "account"}, nil, nil},
		{"AnyAudienceFor: aud a list of account", partyConfig, object{"aud": []string{"account"}},
			nil, nil},
		{"AnyAudienceFor: aud ours", partyConfig, object{"aud": localAudience, "azp": "web"}, nil,
			nil},
		{"AnyAudienceFor: aud an empty list", partyConfig, object{"aud": []string{}},
			identity.ErrTokenNotAccepted, nil},
		{"AnyAudienceFor: aud another API", partyConfig, object{"aud": "billing"}, nil, nil},
		{"AnyAudienceFor: aud account and another API", partyConfig,
			object{"aud": []string{"account", "billing"}}, nil, nil},
		{"AnyAudienceFor: aud another API, azp another client", partyConfig,
			object{"aud": "billing",
				"azp": "web"}, identity.ErrTokenNotAccepted, []string{"billing", `azp is "web"`}},
		{"AnyAudienceFor: aud another API and an empty string", partyConfig,
			object{"aud": []string{"billing", ""}}, identity.ErrTokenNotAccepted, nil},

		{"AuthorizedParties: azp is one of them", partiesConfig, object{"azp": "web"}, nil, nil},
		{"AuthorizedParties: azp another client", partiesConfig, object{"azp": "other"},
			identity.ErrTokenNotAccepted, []string{`azp is "other"; accepted: ["local-api", ` +
				`"web"] (VerifierConfig.AuthorizedParties)`}},
		{"AuthorizedParties: azp missing", partiesConfig, object{"azp": absent},
			identity.ErrTokenNotAccepted, []string{"azp is missing"}},
		{"AuthorizedParties: aud another API", partiesConfig,
			object{"azp": "web",
				"aud": "billing"}, identity.ErrTokenNotAccepted,
			[]string{"VerifierConfig.Audience"}},
		{"both settings: aud another API", partyAndPartiesConfig, object{"aud": "billing"}, nil,
			nil},
		{"both settings: azp is another of the parties, aud another API", partyAndPartiesConfig,
			object{"azp": "web", "aud": "billing"}, identity.ErrTokenNotAccepted, nil},
		{"both settings: azp another client, aud ours", partyAndPartiesConfig,
			object{"azp": "other"}, identity.ErrTokenNotAccepted, nil},
		{"AnyAudienceFor: aud a number", partyConfig, object{"aud": 7},
			identity.ErrTokenNotAccepted, nil},
		{"AnyAudienceFor: azp another client", partyConfig, object{"aud": absent, "azp": "web"},
			identity.ErrTokenNotAccepted, []string{`azp is "web"`}},
		{"AnyAudienceFor: azp missing", partyConfig, object{"aud": "account", "azp": absent},
			identity.ErrTokenNotAccepted, []string{"azp is missing"}},
		{"AnyAudienceFor: azp a list", partyConfig,
			object{"aud": absent, "azp": []string{"local-api"}}, identity.ErrTokenNotAccepted, nil},
		{"aud missing, azp empty", defaultConfig, object{"aud": absent, "azp": ""},
			identity.ErrTokenNotAccepted, nil},

		{"sub is a number", defaultConfig, object{"sub": 5}, identity.ErrTokenNotAccepted,
			[]string{"sub is 5"}},

		{"nbf 0, from old Keycloak releases", defaultConfig, object{"nbf": 0}, nil, nil},
		{"nbf is a string", defaultConfig, object{"nbf": "1767268740"}, identity.ErrTokenMalformed,
			[]string{"nbf"}},
		{"iat missing", defaultConfig, object{"iat": absent}, nil, nil},
		{"iat is null", defaultConfig, object{"iat": nil}, identity.ErrTokenMalformed,
			[]string{"iat"}},

		{"exp with a fraction, within the leeway", defaultConfig,
			object{"exp": json.Number(fmt.Sprintf("%d.5", noonPlus(-29*time.Second)))}, nil, nil},
		{"exp with an exponent", defaultConfig, object{"exp": json.Number("1.76726904e9")}, nil,
			nil},
		{"exp is the last second of the year 9999", defaultConfig,
			object{"exp": json.Number("253402300799")}, nil, nil},
		{"a number too large for a float in another claim", defaultConfig,
			object{"x": []any{json.Number("-1e400")}}, identity.ErrTokenMalformed,
			[]string{"too large"}},
		{"a number too small for a float in another claim", defaultConfig,
			object{"x": json.Number("1e-400")}, nil, nil},
		{"a number of 64 characters", defaultConfig,
			object{"x": json.Number(strings.Repeat("9", 64))}, nil, nil},
		{"a number of 65 characters", defaultConfig,
			object{"x": json.Number("0." +
				strings.Repeat("9", 63))}, identity.ErrTokenMalformed, []string{"a number of 65 " +
				"characters; accepted: 64"}},
		{"exp with too many digits", defaultConfig,
			object{"exp": json.Number("1767269040.1234567890")}, identity.ErrTokenMalformed,
			[]string{"exp"}},
		{"exp larger than int64", defaultConfig, object{"exp": json.Number("9223372036854775808")},
			identity.ErrTokenMalformed, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user, err := newVerifier(t, keys, tt.config).Verify(t.Context(),
				key.token(patch(t, aliceClaims(t), tt.change)))
			checkVerifyError(t, err, tt.want, tt.details...)
			if (user == nil) != (tt.want != nil) {
				t.Errorf("Verify() = %+v, %v; want either a user or an error", user, err)
			}
		})
	}
}

// If a token fails two checks, Verify returns the error of the check that comes first in the list.
// For example, if Verify reported an expired ID token as expired, a client would refresh it again
// and again.
func TestVerify_checkOrder(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	checks := []struct {
		name           string
		header, claims object
		corrupt        func(string) string
		want           error
	}{
		{"size", nil, object{"big": strings.Repeat("x", 16<<10)}, nil, identity.ErrTokenTooLarge},
		{"form", nil, nil, func(token string) string { return token + "." },
			identity.ErrTokenMalformed},
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
		{"signature", nil, nil, func(token string) string { return corruptSignature(token) },
			identity.ErrTokenSignature},
	}
	// The details distinguish checks that share a reason.
	details := map[string]string{"typ in the header": "typ in the header", "iss": "iss is",
		"typ": "typ is", "aud": "aud is", "sub": "sub is", "nbf": "nbf is", "iat": "iat is"}
	for i, first := range checks {
		for _, second := range checks[i+1:] {
			t.Run(first.name+" and "+second.name, func(t *testing.T) {
				header := patch(t, patch(t, key.header(), second.header), first.header)
				token := key.sign(
					header, patch(t, patch(t, aliceClaims(t), second.claims), first.claims))
				for _, corrupt := range []func(string) string{second.corrupt, first.corrupt} {
					if corrupt != nil {
						token = corrupt(token)
					}
				}
				_, err := verifier.Verify(t.Context(), token)
				checkVerifyError(t, err, first.want, details[first.name])
			})
		}
	}
}

// A realm's keys verify only tokens with that realm's issuer.
func TestVerify_keysPerIssuer(t *testing.T) {
	// Both keys have the same kid, as happens when a realm is copied.
	ourKey, theirKey := signingKey{"k", "EdDSA", edKey()}, signingKey{"k", "EdDSA", otherEdKey()}
	const otherIssuer = "https://sso.example.com/realms/other"
	verifier := newVerifier(t, nil, VerifierConfig{Issuers: []Issuer{
		{Names: []string{localIssuer, "https://public.example.com/realms/local"},
			Keys: newKeys(t, jwksOf(ourKey))},
		{Names: []string{otherIssuer},
			Keys: newKeys(t, jwksOf(theirKey, signingKey{"only-theirs", "ES256", p256Key()}))},
	}})
	for _, tt := range []struct {
		name   string
		key    signingKey
		issuer string
		want   error
	}{
		{"our issuer, our key", ourKey, localIssuer, nil},
		{"our public issuer, our key", ourKey, "https://public.example.com/realms/local", nil},
		{"their issuer, their key", theirKey, otherIssuer, nil},
		{"our issuer, their key", theirKey, localIssuer, identity.ErrTokenSignature},
		{"their issuer, our key", ourKey, otherIssuer, identity.ErrTokenSignature},
		{"our issuer, a key that only they have", signingKey{"only-theirs", "ES256", p256Key()},
			localIssuer, identity.ErrKeyUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier.Verify(t.Context(),
				tt.key.token(patch(t, aliceClaims(t), object{"iss": tt.issuer})))
			checkVerifyError(t, err, tt.want)
		})
	}
}

// NewVerifier returns an error that names the field that is wrong.
func TestNewVerifier_invalidConfig(t *testing.T) {
	keys := newKeys(t, jwks())
	issuer := Issuer{Names: []string{localIssuer}, Keys: keys}
	for _, tt := range []struct {
		name    string
		config  VerifierConfig
		wantErr string
	}{
		{"no issuer", VerifierConfig{Audience: []string{"a"}}, "needs an issuer"},
		{"an issuer without keys",
			VerifierConfig{Issuers: []Issuer{{Names: []string{"x"}}},
				Audience: []string{"a"}}, "needs keys"},
		{"an issuer with a zero KeySet",
			VerifierConfig{Issuers: []Issuer{{Names: []string{"x"}, Keys: &KeySet{}}},
				Audience: []string{"a"}}, "NewKeySet"},
		{"a negative leeway",
			VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"},
				Leeway: -1}, "Leeway is -1ns: expected 0 to 5m0s"},
		{"a leeway of an hour",
			VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"},
				Leeway: time.Hour}, "Leeway is 1h0m0s: expected 0 to 5m0s"},
		{"a negative MaxBytes",
			VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"},
				MaxBytes: -1}, "MaxBytes is -1: expected at least 0"},
		{"an issuer twice, once from the realm",
			VerifierConfig{Issuers: []Issuer{issuer, {Keys: keys}},
				Audience: []string{"a"}}, "is empty or a duplicate"},
		{"the algorithm none",
			VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"},
				Algorithms: []string{"ES256", "none"}}, `"none" can't be accepted`},
		{"an algorithm with a shared secret",
			VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"},
				Algorithms: []string{"HS256"}}, "HS256"},
		{"an empty issuer name",
			VerifierConfig{Issuers: []Issuer{{Names: []string{""}, Keys: keys}},
				Audience: []string{"a"}}, "empty"},
		{"an issuer twice", VerifierConfig{Issuers: []Issuer{issuer, issuer},
			Audience: []string{"a"}}, "is empty or a duplicate"},
		{"no audience", VerifierConfig{Issuers: []Issuer{issuer}}, "needs an audience"},
		{"an empty audience",
			VerifierConfig{Issuers: []Issuer{issuer},
				Audience: []string{"a", ""}}, "needs an audience"},
		{"an empty name in AuthorizedParties",
			VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"},
				AuthorizedParties: []string{"a", ""}}, "empty"},
		{"an AnyAudienceFor that isn't one of AuthorizedParties",
			VerifierConfig{Issuers: []Issuer{issuer}, Audience: []string{"a"}, AnyAudienceFor: "a",
				AuthorizedParties: []string{"b"}}, "isn't one of AuthorizedParties"},
		{"the audience account, which is in every user's tokens",
			VerifierConfig{Issuers: []Issuer{issuer},
				Audience: []string{"a", "account"}}, `"account"`},
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
	_, err := verifier.Verify(t.Context(), es256().token(aliceClaims(t)))
	checkVerifyError(t, err, nil)
	_, err = verifier.Verify(t.Context(), edDSA().token(aliceClaims(t)))
	checkVerifyError(t, err, identity.ErrTokenSignature, `alg is "EdDSA"; accepted: ES256, RS256`)
}

// If an Issuer has no Names, its name is the issuer of its KeySet's realm.
func TestVerify_issuerFromRealm(t *testing.T) {
	verifier := newVerifier(t, nil,
		VerifierConfig{Issuers: []Issuer{{Keys: newKeys(t, jwksOf(edDSA()))}}})
	_, err := verifier.Verify(t.Context(), edDSA().token(aliceClaims(t)))
	checkVerifyError(t, err, nil)
	_, err = verifier.Verify(t.Context(),
		edDSA().token(patch(t, aliceClaims(t), object{"iss": localIssuer + "/"})))
	checkVerifyError(t, err, identity.ErrTokenNotAccepted, `accepted: ["`+localIssuer+`"]`)
}

// NewVerifier copies the lists of its config, so later changes to them have no effect.
func TestNewVerifier_copiesLists(t *testing.T) {
	audience, algorithms := []string{localAudience}, []string{"EdDSA"}
	verifier := newVerifier(t, newKeys(t, jwksOf(edDSA())),
		VerifierConfig{Audience: audience, Algorithms: algorithms})
	audience[0], algorithms[0] = "other", "RS256"
	_, err := verifier.Verify(t.Context(), edDSA().token(aliceClaims(t)))
	checkVerifyError(t, err, nil)
}
