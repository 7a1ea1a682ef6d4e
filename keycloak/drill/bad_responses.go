package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A badResponse is a response of Keycloak, or of a proxy in front of it, instead of the key set:
// either a fault, or what serve writes.
type badResponse struct {
	name  string
	fault keycloaktest.Fault
	serve func(w http.ResponseWriter, keys string)
}

const jsonType = "application/json"

// badResponses returns all bad responses. set is the realm's key set, and key one of its keys. If
// possible, a response holds valid keys, including the new one, so that accepting the response by
// mistake shows as accepting the new key.
func badResponses(set, key string) []badResponse {
	page := func(status int, contentType, body string) keycloaktest.Fault {
		return keycloaktest.Fault{Status: status, ContentType: contentType, Body: body}
	}
	var many []string
	for n := range 112 {
		many = append(many, strings.Replace(key, `"kid":"`, fmt.Sprintf(`"kid":"%02x`, n), 1))
	}
	listed := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	return []badResponse{
		{name: "garbage", fault: page(200, jsonType, "\x00\xff{{{")},
		{name: "nothing", fault: page(200, jsonType, "")},
		{name: "a page", fault: page(200, "", "<!doctype html><title>Maintenance</title>")},
		{name: "500", fault: page(500, jsonType, set)},
		{name: "503 and a page", fault: page(503, "", "<html>")},
		{name: "404", fault: page(404, jsonType, `{"error":"Realm does not exist"}`)},
		{name: "429", fault: page(429, "text/plain", "slow down")},
		{name: "204", fault: page(204, jsonType, "")},
		{name: "part of the keys", fault: page(206, jsonType, set)},
		{name: "no keys", fault: page(200, jsonType, `{"keys":[]}`)},
		{name: "keys that are null", fault: page(200, jsonType, `{"keys":null}`)},
		{name: "encryption keys only", fault: page(200, jsonType, strings.ReplaceAll(set, `"sig"`, `"enc"`))},
		{name: "each key twice", fault: page(200, jsonType, listed(key, key))},
		{name: "113 keys", fault: page(200, jsonType, listed(append(many, key)...))},
		{name: "two documents", fault: page(200, jsonType, set+set)},
		{name: "8 MiB of blanks", fault: page(200, jsonType, set+strings.Repeat(" ", 8<<20))},
		{name: "8 MiB of a page", fault: page(502, "", strings.Repeat("<br>", 2<<20))},
		{name: "half of the keys", fault: keycloaktest.Fault{Truncate: true}},
		{name: "a closed connection", fault: keycloaktest.Fault{Disconnect: true}},
		{name: "a hang", fault: keycloaktest.Fault{Hang: true}},
		{name: "keys after 4 s", fault: keycloaktest.Fault{Delay: 4 * time.Second}},
		{name: "1 GB", serve: func(w http.ResponseWriter, keys string) {
			io.WriteString(w, keys)
			writeBlanks(w, 1<<30)
		}},
		{name: "1 GB in 1 MB of gzip", serve: func(w http.ResponseWriter, keys string) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			io.WriteString(packed, keys)
			writeBlanks(packed, 1<<30)
			packed.Close()
		}},
		{name: "a byte a second", serve: func(w http.ResponseWriter, keys string) { writeSlowly(w, keys) }},
		{name: "all but the end", serve: func(w http.ResponseWriter, keys string) {
			io.WriteString(w, keys)
			writeSlowly(w, strings.Repeat(" ", 1<<10))
		}},
	}
}

// writeBlanks writes n spaces, which JSON allows, unless the client disconnects.
func writeBlanks(w io.Writer, n int) {
	chunk := strings.Repeat(" ", 64<<10)
	for ; n > 0; n -= len(chunk) {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

// writeSlowly writes a byte a second, unless the client disconnects.
func writeSlowly(w http.ResponseWriter, text string) {
	for i := range text {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil ||
			http.NewResponseController(w).Flush() != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// respondBadly rotates the keys and makes Keycloak respond badly, and then normally again. The
// cached keys must stay in use.
func respondBadly(s *system, index int, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	oldToken := s.validToken()
	s.rotate()
	newToken := s.validToken()
	set, key, err := s.keySet()
	if err != nil {
		return err
	}
	restore, err := s.fail(badResponses(set, key)[index], set)
	if err != nil {
		return err
	}
	var valid, unknown tally
	stop := s.sendRepeatedly(&valid, 50*time.Millisecond, func() string { return oldToken }, alice)
	start := time.Now()
	o := s.send(newToken) // causes a fetch
	unknown.add(o, o.Result == unavailable)
	time.Sleep(time.Until(start.Add(fetchTimeout + 10*time.Millisecond + 4*s.tolerance)))
	s.checkStatus(true, true, 1)
	wrongStatus := 0
	for n := 0; n < 60; n++ {
		time.Sleep(length / 60)
		o := s.send(s.unknownKeyToken(n))
		unknown.add(o, o.Result == unavailable)
		if !s.status(true, true) {
			wrongStatus++
		}
	}
	stop()
	took, bytes := s.fetches.cost()
	s.checkValid(&valid)
	s.checkOutcomes("unknown keys are reported as unavailable", &unknown)
	s.checkTiming(unknown.longest <= maxWait+s.tolerance, "unknown keys wait at most 1 s", "%v",
		unknown.longest)
	s.checkTiming(wrongStatus == 0, "keys usable, failing", "not so %d of 60 times", wrongStatus)
	s.checkTiming(took <= fetchTimeout+s.tolerance && bytes <= maxBody,
		fmt.Sprintf("a fetch takes at most %v and %d KiB", fetchTimeout, maxBody>>10),
		"%v, %d bytes",
		took.Round(time.Millisecond), bytes)
	s.checkFetches(max(1, int(length/(12*time.Second))), 5+int(length/(4*time.Second)))
	s.checkStatus(true, true, 0)
	restore()
	s.checkRecovery(fetchTimeout+maxRecovery, oldToken, newToken)
	open := s.fetches.open.Load()
	s.checkTiming(open == 0, "all response bodies are closed", "%d are open", open)
	return nil
}

// fail makes Keycloak respond badly until restore is called.
func (s *system) fail(bad badResponse, keys string) (restore func(), err error) {
	if bad.serve == nil {
		bad.fault.Endpoint = "/certs"
		s.fetches.reset("")
		return s.kc.Fail(bad.fault), nil
	}
	listener, err := s.network.listen()
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", jsonType)
			bad.serve(w, keys)
		})}
	go server.Serve(listener) // until restore
	s.fetches.reset(listener.Addr().String())
	return func() {
		s.fetches.reset("")
		server.Close()
	}, nil
}
