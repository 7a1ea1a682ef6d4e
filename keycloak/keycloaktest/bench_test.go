package keycloaktest_test

import (
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// The benchmarks in this file check no limits. The tests in memory_test.go limit the memory.

// reportRate reports the benchmark's iterations per second as a metric named after unit.
func reportRate(b *testing.B, unit string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit+"/s")
}

func BenchmarkStart(b *testing.B) {
	file := localRealmFile(b)
	startServer(b, file).Close() // the first server generates the keys that all servers share
	b.ReportAllocs()
	for b.Loop() {
		startServer(b, file).Close()
	}
	reportRate(b, "starts")
}

func BenchmarkPasswordGrant(b *testing.B) {
	_, realm := startShop(b)
	passwordGrant(b, realm, "alice", "alice-password").wantOK(b)
	b.ReportAllocs()
	for b.Loop() {
		passwordGrant(b, realm, "alice", "alice-password").wantOK(b)
	}
	reportRate(b, "logins")
}

func BenchmarkRefresh(b *testing.B) {
	_, realm := startShop(b)
	refreshToken := signIn(b, realm).RefreshToken
	b.ReportAllocs()
	for b.Loop() {
		refreshToken = refresh(b, realm, refreshToken).wantOK(b).field("refresh_token")
	}
	reportRate(b, "refreshes")
}

func BenchmarkUserinfo(b *testing.B) {
	_, realm := startShop(b)
	accessToken := signIn(b, realm).AccessToken
	b.ReportAllocs()
	for b.Loop() {
		getUserinfo(b, realm, accessToken).wantOK(b)
	}
	reportRate(b, "requests")
}

// BenchmarkSignIn measures Realm.SignIn, which sends no request.
func BenchmarkSignIn(b *testing.B) {
	_, realm := startShop(b)
	b.ReportAllocs()
	for b.Loop() {
		signIn(b, realm)
	}
	reportRate(b, "sign-ins")
}

func BenchmarkMint(b *testing.B) {
	_, realm := startShop(b)
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
			reportRate(b, "tokens")
		})
	}
}
