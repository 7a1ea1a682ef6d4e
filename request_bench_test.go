package cloakql_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// BenchmarkHandler_me measures how long the handler of a Server takes for the query me, without a
// network: with the token in the cache, and with the token cache off. e2e/bench measures whole
// processes.
func BenchmarkHandler_me(b *testing.B) {
	for name, cacheBytes := range map[string]int{"cached token": 0, "token cache off": -1} {
		b.Run(name, func(b *testing.B) {
			kc := newFakeKeycloak(b, clientSecret)
			config := testConfig(b, withKeycloak(kc), "RUNTIME_ENV=prod")
			config.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
			config.Tokens.CacheBytes = cacheBytes
			handler := must(cloakql.New(config)).Handler()
			token := bearer(b, kc, keycloaktest.TokenSpec{})
			body := []byte(`{"query":"{ me { id username email realmRoles groups } }"}`)
			b.ReportAllocs()
			for b.Loop() {
				request := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
				request.Header.Set("Content-Type", "application/json")
				request.Header.Set("Authorization", token)
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, request)
				if !bytes.Contains(recorder.Body.Bytes(), []byte(`"me":{"id":`)) {
					b.Fatal(recorder.Body)
				}
			}
		})
	}
}
