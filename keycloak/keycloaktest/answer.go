package keycloaktest

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"
)

// An answer is what an endpoint says, before it is written.
type answer struct {
	status int
	header http.Header
	body   []byte
	cookie []*http.Cookie
}

// with sets a header.
func (a answer) with(name, value string) answer {
	header := maps.Clone(a.header)
	if header == nil {
		header = http.Header{}
	}
	header[http.CanonicalHeaderKey(name)] = []string{value}
	a.header = header
	return a
}

// and adds a header to one that is there.
func (a answer) and(name, value string) answer {
	header := a.header.Clone()
	header.Add(name, value)
	a.header = header
	return a
}

// without drops headers.
func (a answer) without(names ...string) answer {
	header := maps.Clone(a.header)
	for _, name := range names {
		header.Del(name)
	}
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
}

func refuse(status int, code, description string) *refusal {
	return &refusal{status: status, code: code, description: description}
}

func (e *refusal) answer() answer {
	return document(e.status, noStore, oauthError{e.code, e.description})
}

// plain is the refusal as the endpoints give it that say nothing about caches.
func (e *refusal) plain() answer {
	return document(e.status, "", oauthError{e.code, e.description})
}

func (a answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	for _, cookie := range a.cookie {
		http.SetCookie(w, cookie)
	}
	w.WriteHeader(a.status)
	w.Write(a.body)
}

// seconds is a lifespan of a realm file.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// or is the value behind p, or the default for an absent member of a realm file.
func or[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}
