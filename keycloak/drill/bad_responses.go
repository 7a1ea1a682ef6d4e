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

// A badResponse is a response that Keycloak, or a proxy in front of it, sends instead of the key
// set. Either the fake Keycloak sends it, with fault, or serve writes it.
type badResponse struct {
	name  string
	fault keycloaktest.Fault
	serve func(w http.ResponseWriter, keys string)
}

const jsonType = "application/json"

// badResponses returns all bad responses. keySet is the realm's key set, and key is one of its
// keys. Where possible, a response contains valid keys, including the new one: if the KeySet under
// test wrongly uses such a response, it accepts the new key, and the checks fail.
func badResponses(keySet, key string) []badResponse {
	responseFault := func(status int, contentType, body string) keycloaktest.Fault {
		return keycloaktest.Fault{Status: status, ContentType: contentType, Body: body}
	}
	var manyKeys []string
	for n := range 112 {
		kid := fmt.Sprintf(`"kid":"%02x`, n)
		manyKeys = append(manyKeys, strings.Replace(key, `"kid":"`, kid, 1))
	}
	encodeKeySet := func(keys ...string) string {
		return `{"keys":[` + strings.Join(keys, ",") + `]}`
	}
	return []badResponse{
		{name: "garbage", fault: responseFault(200, jsonType, "\x00\xff{{{")},
		{name: "an empty body", fault: responseFault(200, jsonType, "")},
		{name: "an HTML page",
			fault: responseFault(200, "", "<!doctype html><title>Maintenance</title>")},
		{name: "500", fault: responseFault(500, jsonType, keySet)},
		{name: "503 and HTML", fault: responseFault(503, "", "<html>")},
		{name: "404", fault: responseFault(404, jsonType, `{"error":"Realm does not exist"}`)},
		{name: "429", fault: responseFault(429, "text/plain", "slow down")},
		{name: "204", fault: responseFault(204, jsonType, "")},
		{name: "206", fault: responseFault(206, jsonType, keySet)},
		{name: "no keys", fault: responseFault(200, jsonType, `{"keys":[]}`)},
		{name: "keys that are null", fault: responseFault(200, jsonType, `{"keys":null}`)},
		{name: "encryption keys only",
			fault: responseFault(200, jsonType, strings.ReplaceAll(keySet, `"sig"`, `"enc"`))},
		{name: "each key twice", fault: responseFault(200, jsonType, encodeKeySet(key, key))},
		{name: "113 keys", fault: responseFault(200, jsonType,
			encodeKeySet(append(manyKeys, key)...))},
		{name: "two documents", fault: responseFault(200, jsonType, keySet+keySet)},
		{name: "8 MiB of blanks",
			fault: responseFault(200, jsonType, keySet+strings.Repeat(" ", 8<<20))},
		{name: "8 MiB of HTML", fault: responseFault(502, "", strings.Repeat("<br>", 2<<20))},
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
			gzipWriter := gzip.NewWriter(w)
			io.WriteString(gzipWriter, keys)
			writeBlanks(gzipWriter, 1<<30)
			gzipWriter.Close()
		}},
		{name: "a byte a second",
			serve: func(w http.ResponseWriter, keys string) { writeSlowly(w, keys) }},
		{name: "an endless body", serve: func(w http.ResponseWriter, keys string) {
			io.WriteString(w, keys)
			writeSlowly(w, strings.Repeat(" ", 1<<10))
		}},
	}
}

// writeBlanks writes n spaces, which JSON allows. It stops if the client disconnects.
func writeBlanks(w io.Writer, n int) {
	chunk := strings.Repeat(" ", 64<<10)
	for ; n > 0; n -= len(chunk) {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

// writeSlowly writes text at a byte a second. It stops if the client disconnects.
func writeSlowly(w http.ResponseWriter, text string) {
	for i := range text {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil ||
			http.NewResponseController(w).Flush() != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// respondBadly rotates the keys and makes Keycloak send a bad response to fetches for a while.
// Meanwhile the cached keys must stay in use. When Keycloak responds normally again, the new key
// must be accepted.
func respondBadly(s *system, index int, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	oldToken := s.validToken()
	s.rotate()
	newToken := s.validToken()
	keySet, key, err := s.fetchKeySet()
	if err != nil {
		return err
	}
	restore, err := s.serveBadResponse(badResponses(keySet, key)[index], keySet)
	if err != nil {
		return err
	}
	var validTally, unknownTally tally
	stop := s.sendRepeatedly(&validTally, 50*time.Millisecond, func() string { return oldToken },
		aliceID)
	start := time.Now()
	got := s.send(newToken) // causes a fetch
	unknownTally.add(got, got.Result == unavailableText)
	time.Sleep(time.Until(start.Add(fetchTimeout + 10*time.Millisecond + 4*s.tolerance)))
	s.checkStatus(statusStale, 1)
	wrongStatusCount := 0
	for n := 0; n < 60; n++ {
		time.Sleep(duration / 60)
		got := s.send(s.unknownKeyToken(n))
		unknownTally.add(got, got.Result == unavailableText)
		if s.status() != statusStale {
			wrongStatusCount++
		}
	}
	stop()
	longestFetch, largestFetch := s.fetches.maxima()
	s.checkValid(&validTally)
	s.checkOutcomes("tokens with unknown keys get ErrKeysUnavailable", &unknownTally)
	s.checkTimeSensitive(
		unknownTally.longestWait <= maxWait+s.tolerance,
		"tokens with unknown keys wait at most 1 s", "%v", unknownTally.longestWait)
	s.checkTimeSensitive(wrongStatusCount == 0, "the status is "+string(statusStale),
		"another status %d of 60 times", wrongStatusCount)
	s.checkTimeSensitive(longestFetch <= fetchTimeout+s.tolerance && largestFetch <= maxBodyBytes,
		fmt.Sprintf("a fetch takes at most %v and %d KiB", fetchTimeout, maxBodyBytes>>10),
		"%v, %d bytes", longestFetch.Round(time.Millisecond), largestFetch)
	s.checkFetches(max(1, int(duration/(12*time.Second))), 5+int(duration/(4*time.Second)))
	s.checkStatus(statusStale, 0)
	restore()
	s.checkRecovery(fetchTimeout+maxRetryInterval, oldToken, newToken)
	openBodies := s.fetches.openBodies.Load()
	s.checkTimeSensitive(openBodies == 0, "all response bodies are closed", "%d are open",
		openBodies)
	return nil
}

// serveBadResponse makes Keycloak send this response to fetches until restore is called.
func (s *system) serveBadResponse(response badResponse, keys string) (restore func(), err error) {
	if response.serve == nil {
		response.fault.Endpoint = "/certs"
		s.fetches.reset()
		return s.kc.Fail(response.fault), nil
	}
	listener, err := s.network.listen()
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", jsonType)
			response.serve(w, keys)
		})}
	go server.Serve(listener) // ends when restore closes the server
	restoreFetches := s.fetches.redirect(listener.Addr().String())
	return func() {
		restoreFetches()
		server.Close()
	}, nil
}
