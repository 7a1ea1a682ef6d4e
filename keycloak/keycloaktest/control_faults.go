package keycloaktest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Fault makes requests fail. Set one of Hang, Disconnect, Status and Truncate; if several are
// set, the first in this order applies. Delay works with each of them, and by itself.
type Fault struct {
	// Endpoint is the endpoint that fails, named as in Request.Endpoint: "/token", "/certs". Empty
	// means all endpoints.
	Endpoint string
	// Times is the number of requests that fail; 0 means all, until the fault is removed.
	Times int

	// Delay delays the response.
	Delay time.Duration
	// Hang blocks requests until the fault is removed, the client gives up or the server is closed.
	// When the fault is removed, the blocked requests are served normally.
	Hang bool
	// Disconnect closes the connection without a response.
	Disconnect bool
	// Status responds with this status, Body and ContentType. The default type is text/html.
	Status      int
	Body        string
	ContentType string
	// Truncate sends the first half of the normal response, with the full response's
	// Content-Length.
	Truncate bool

	done chan struct{} // closed when the fault is removed
}

// Fail injects a fault and returns a function that removes it. Further calls of the function do
// nothing. If several faults match a request, the last one injected applies. Fail ignores a fault
// that has no effect. It panics if the fake has no such Endpoint or Status isn't a valid status
// code.
func (s *Server) Fail(f Fault) (remove func()) {
	mustBeEndpoint(f.Endpoint)
	if f.Status != 0 && (f.Status < 100 || f.Status > 999) {
		panic(fmt.Sprintf("keycloaktest: the status %d is invalid", f.Status))
	}
	if f.Delay <= 0 && !f.Hang && !f.Disconnect && f.Status == 0 && !f.Truncate {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := &f
	fault.done = make(chan struct{})
	s.faults = append(s.faults, fault)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(other *Fault) bool { return other == fault })
		close(fault.done)
	})
}

// nextFault returns a copy of the fault that applies to a request to endpoint, or nil, and
// decrements the fault's Times. The caller holds s.mu.
func (s *Server) nextFault(endpoint string) *Fault {
	for i, f := range slices.Backward(s.faults) {
		if f.Endpoint != "" && f.Endpoint != endpoint {
			continue
		}
		fault := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return &fault
	}
	return nil
}

// apply delays or aborts a request, or responds to it, as the fault specifies. It reports whether
// it sent a response.
func (f *Fault) apply(s *Server, w http.ResponseWriter, httpRequest *http.Request) bool {
	if f.Delay > 0 || f.Hang {
		// net/http notices that the client has disconnected only after the body has been read.
		body, _ := io.ReadAll(io.LimitReader(httpRequest.Body, maxFormBytes+1))
		httpRequest.Body = io.NopCloser(bytes.NewReader(body))
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-httpRequest.Context().Done():
		case <-s.ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.Hang:
		select {
		case <-f.done:
			return false
		case <-httpRequest.Context().Done():
		case <-s.ctx.Done():
		}
		panic(http.ErrAbortHandler)
	case f.Disconnect:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		contentType := cmp.Or(f.ContentType, "text/html;charset=UTF-8")
		resp := response{status: f.Status, body: []byte(f.Body)}
		resp.withHeader("Content-Type", contentType).write(w)
		return true
	}
	return false
}

// writeTruncated sends half of a response and closes the connection.
func writeTruncated(w http.ResponseWriter, resp response) {
	resp = resp.withHeader("Content-Length", strconv.Itoa(len(resp.body)))
	resp.body = resp.body[:len(resp.body)/2]
	resp.write(w)
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	panic(http.ErrAbortHandler)
}

// Down makes the server unreachable until Up: it closes all open connections, and new ones as soon
// as they are accepted. The port stays open, so that no other program can take it.
func (s *Server) Down() { s.listener.setDown(true) }

// Up makes the server reachable again after Down.
func (s *Server) Up() { s.listener.setDown(false) }
