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
// network. It has three variants: the response is cached, only the token is cached, and nothing is
// cached. e2e/bench measures whole processes.
func BenchmarkHandler_me(b *testing.B) {
	for name, setting := range map[string]string{"kept answer": "ANSWER_CACHE=on",
		"cached token": "ANSWER_CACHE=off", "token cache off": "TOKEN_CACHE_BYTES=0"} {
		b.Run(name, func(b *testing.B) {
			kc := newFakeKeycloak(b, clientSecret)
			config := testConfig(b, withKeycloak(kc), "RUNTIME_ENV=prod", setting)
			config.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
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
