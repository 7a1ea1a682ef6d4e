package keycloaktest

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"
)

// A response is an endpoint's response before it is written.
type response struct {
	status  int
	header  http.Header
	body    []byte
	cookies []*http.Cookie
}

// withHeader returns a copy of resp with a header set.
func (resp response) withHeader(name, value string) response {
	header := maps.Clone(resp.header)
	if header == nil {
		header = http.Header{}
	}
	header[http.CanonicalHeaderKey(name)] = []string{value}
	resp.header = header
	return resp
}

// withAddedHeader returns a copy of resp with another value for a header that resp already has.
func (resp response) withAddedHeader(name, value string) response {
	header := resp.header.Clone()
	header.Add(name, value)
	resp.header = header
	return resp
}

// withoutHeaders returns a copy of resp without some headers.
func (resp response) withoutHeaders(names ...string) response {
	header := maps.Clone(resp.header)
	for _, name := range names {
		header.Del(name)
	}
	resp.header = header
	return resp
}

// withSecurityHeaders returns a copy of resp with the headers that Keycloak sets on all responses
// of a realm.
func withSecurityHeaders(resp response) response {
	return resp.withHeader("Referrer-Policy", "no-referrer").
		withHeader("Strict-Transport-Security", "max-age=31536000; includeSubDomains").
		withHeader("X-Content-Type-Options", "nosniff").
		withHeader("X-Frame-Options", "SAMEORIGIN").
		withHeader("X-Robots-Tag", "none")
}

// Values of Cache-Control. See also neverCache.
const (
	noStore = "no-store"
	noCache = "no-cache"
)

// jsonResponse returns a JSON response of a realm. cacheControl may be empty.
func jsonResponse(status int, cacheControl string, content any) response {
	body, err := json.Marshal(content)
	if err != nil {
		panic("keycloaktest: a response can't be written as JSON: " + err.Error())
	}
	resp := response{status: status, body: body}.withHeader("Content-Type", "application/json")
	if cacheControl != "" {
		resp = resp.withHeader("Cache-Control", cacheControl)
	}
	if cacheControl == noStore {
		resp = resp.withHeader("Pragma", noCache)
	}
	return withSecurityHeaders(resp)
}

// An errorBody is the body of an error response (RFC 6749 5.2).
type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// An oauthError is an error that an endpoint returns for a request, with Keycloak's description.
type oauthError struct {
	status      int
	code        string
	description string
}

// newOAuthError returns an OAuth error. description may be empty.
func newOAuthError(status int, code, description string) *oauthError {
	return &oauthError{status: status, code: code, description: description}
}

// invalidGrant returns the OAuth error invalid_grant.
func invalidGrant(description string) *oauthError {
	return newOAuthError(400, "invalid_grant", description)
}

// response returns the error response, with headers that prevent caching.
func (e *oauthError) response() response {
	return jsonResponse(e.status, noStore, errorBody{e.code, e.description})
}

// plainResponse is like response, but without the headers that prevent caching, which some
// endpoints omit.
func (e *oauthError) plainResponse() response {
	return jsonResponse(e.status, "", errorBody{e.code, e.description})
}

// write sends the response.
func (resp response) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), resp.header)
	for _, cookie := range resp.cookies {
		http.SetCookie(w, cookie)
	}
	w.WriteHeader(resp.status)
	w.Write(resp.body)
}

// seconds converts a lifespan in a realm file to a duration.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// valueOr returns *p, or fallback if p is nil because the realm file lacks the setting.
func valueOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}
