package keycloaktest

import (
	"encoding/json"
	"maps"
	"net/http"
)

// An answer is what an endpoint says, before it is written.
type answer struct {
	status int
	header map[string]string
	body   []byte
	cookie []*http.Cookie
}

// with sets a header.
func (a answer) with(name, value string) answer {
	header := maps.Clone(a.header)
	if header == nil {
		header = map[string]string{}
	}
	header[name] = value
	a.header = header
	return a
}

// without drops one.
func (a answer) without(name string) answer {
	header := maps.Clone(a.header)
	delete(header, name)
	a.header = header
	return a
}

// secured has the headers that Keycloak sets on every answer of a realm.
func secured(a answer) answer {
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

// document is a JSON answer of a realm. An empty cache means no Cache-Control header.
func document(status int, cache string, content any) answer {
	body, err := json.Marshal(content)
	if err != nil {
		panic("keycloaktest: an answer that can't be written as JSON: " + err.Error())
	}
	a := answer{status: status, body: body}.with("Content-Type", "application/json")
	if cache != "" {
		a = a.with("Cache-Control", cache)
	}
	if cache == noStore {
		a = a.with("Pragma", noCache)
	}
	return secured(a)
}

// An oauthError is the body of a refusal (RFC 6749 5.2).
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// A refusal is a request that an endpoint refuses, with the words that Keycloak uses.
type refusal struct {
	status      int
	code        string
	description string
	origin      bool // refused for its Origin
}

func refuse(status int, code, description string) *refusal {
	return &refusal{status: status, code: code, description: description}
}

func (e *refusal) answer() answer {
	return document(e.status, noStore, oauthError{e.code, e.description})
}

// failure is an answer of Keycloak's framework: an unknown path, a wrong method.
func failure(status int, text string) answer {
	return secured(document(status, "", oauthError{Error: text}))
}

func (a answer) write(w http.ResponseWriter) {
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	for _, cookie := range a.cookie {
		http.SetCookie(w, cookie)
	}
	w.WriteHeader(a.status)
	w.Write(a.body)
}
