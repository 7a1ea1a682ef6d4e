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

// with returns a with a header set.
func (a response) with(name, value string) response {
	header := maps.Clone(a.header)
	if header == nil {
		header = http.Header{}
	}
	header[http.CanonicalHeaderKey(name)] = []string{value}
	a.header = header
	return a
}

// withAdded returns a with another value for a header that it already has.
func (a response) withAdded(name, value string) response {
	header := a.header.Clone()
	header.Add(name, value)
	a.header = header
	return a
}

// without returns a without some headers.
func (a response) without(names ...string) response {
	header := maps.Clone(a.header)
	for _, name := range names {
		header.Del(name)
	}
	a.header = header
	return a
}

// secured adds the headers that Keycloak sets on all responses of a realm.
func secured(a response) response {
	return a.with("Referrer-Policy", "no-referrer").
		with("Strict-Transport-Security", "max-age=31536000; includeSubDomains").
		with("X-Content-Type-Options", "nosniff").
		with("X-Frame-Options", "SAMEORIGIN").
		with("X-Robots-Tag", "none")
}

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
	a := response{status: status, body: body}.with("Content-Type", "application/json")
	if cacheControl != "" {
		a = a.with("Cache-Control", cacheControl)
	}
	if cacheControl == noStore {
		a = a.with("Pragma", noCache)
	}
	return secured(a)
}

// An oauthError is the body of an error response (RFC 6749 5.2).
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// A refusal is an error with which an endpoint rejects a request, with Keycloak's message.
type refusal struct {
	status      int
	code        string
	description string
}

func refuse(status int, code, description string) *refusal {
	return &refusal{status: status, code: code, description: description}
}

func (e *refusal) response() response {
	return jsonResponse(e.status, noStore, oauthError{e.code, e.description})
}

// plain is like response, without the headers that prevent caching: some endpoints lack them.
func (e *refusal) plain() response {
	return jsonResponse(e.status, "", oauthError{e.code, e.description})
}

func (a response) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	for _, cookie := range a.cookies {
		http.SetCookie(w, cookie)
	}
	w.WriteHeader(a.status)
	w.Write(a.body)
}

// seconds converts a lifespan of a realm file.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// valueOr returns *p, or fallback if p is nil because the realm file doesn't have this setting.
func valueOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}
