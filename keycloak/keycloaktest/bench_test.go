package keycloaktest_test

import (
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// The benchmarks in this file only measure. The tests in memory_test.go check limits.

// perSecond reports the number of iterations per second.
func perSecond(b *testing.B, unit string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit+"/s")
}

func BenchmarkStart(b *testing.B) {
	file := localRealm(b)
	startLocal(b, file).Close() // generates the shared keys
	b.ReportAllocs()
	for b.Loop() {
		startLocal(b, file).Close()
	}
	perSecond(b, "starts")
}

func BenchmarkLogin(b *testing.B) {
	_, realm := start(b)
	login(b, realm, "alice", "alice-password").wantOK(b)
	b.ReportAllocs()
	for b.Loop() {
		login(b, realm, "alice", "alice-password").wantOK(b)
	}
	perSecond(b, "logins")
}

func BenchmarkRefresh(b *testing.B) {
	_, realm := start(b)
	refreshToken := signIn(b, realm).RefreshToken
	b.ReportAllocs()
	for b.Loop() {
		refreshToken = refresh(b, realm, refreshToken).wantOK(b).field("refresh_token")
	}
	perSecond(b, "refreshes")
}

func BenchmarkUserinfo(b *testing.B) {
	_, realm := start(b)
	accessToken := signIn(b, realm).AccessToken
	b.ReportAllocs()
	for b.Loop() {
		userinfo(b, realm, accessToken).wantOK(b)
	}
	perSecond(b, "requests")
}

func BenchmarkSignIn(b *testing.B) {
	_, realm := start(b)
	b.ReportAllocs()
	for b.Loop() {
		signIn(b, realm)
	}
	perSecond(b, "sign-ins")
}

func BenchmarkMint(b *testing.B) {
	_, realm := start(b)
	for _, algorithm := range []string{"RS256", "ES256"} {
		b.Run(algorithm, func(b *testing.B) {
			spec := keycloaktest.TokenSpec{Algorithm: algorithm,
				Claims: object{"aud": "shop-api", "sub": "alice"}}
			if _, err := realm.Mint(spec); err != nil { // generates the key
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := realm.Mint(spec); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, "tokens")
		})
	}
}
