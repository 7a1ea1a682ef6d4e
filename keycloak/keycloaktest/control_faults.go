package keycloaktest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Fault is a way of being ill. The first member that is set decides; Delay goes with any.
type Fault struct {
	// Endpoint is where, as in Request: "/token", "/certs"; empty means everywhere.
	Endpoint string
	// Times is how many requests meet the fault; 0 means every one, until it is taken back.
	Times int

	// Delay is waited before anything else.
	Delay time.Duration
	// Hang doesn't answer: the request waits until the fault is taken back, and is answered then,
	// or until its client gives up or the server is closed.
	Hang bool
	// Disconnect closes the connection without a word.
	Disconnect bool
	// Status is answered with Body, of type ContentType (text/html when empty).
	Status      int
	Body        string
	ContentType string
	// Truncate announces the whole of the right answer and sends half of it.
	Truncate bool

	healed chan struct{} // closed when the fault is taken back
}

// Fail makes requests meet a fault, and returns what takes it back, which may be called again. The
// fault that was asked for last wins. One that does nothing is none. Fail panics for an Endpoint
// that the stand-in doesn't have, and for a Status that no answer can have: nothing would ever meet
// such a fault.
func (s *Server) Fail(f Fault) (heal func()) {
	mustBeEndpoint(f.Endpoint)
	if f.Status != 0 && (f.Status < 100 || f.Status > 999) {
		panic(fmt.Sprintf("keycloaktest: no answer has the status %d", f.Status))
	}
	if f.Delay <= 0 && !f.Hang && !f.Disconnect && f.Status == 0 && !f.Truncate {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := &f
	fault.healed = make(chan struct{})
	s.faults = append(s.faults, fault)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(other *Fault) bool { return other == fault })
		close(fault.healed)
	})
}

// fault is what a request to an endpoint meets. The caller holds the lock.
func (s *Server) fault(endpoint string) *Fault {
	for i, f := range slices.Backward(s.faults) {
		if f.Endpoint != "" && f.Endpoint != endpoint {
			continue
		}
		meets := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return &meets
	}
	return nil
}

// before does what a fault does instead of an answer, and reports whether it did.
func (f *Fault) before(s *Server, w http.ResponseWriter, request *http.Request) bool {
	if f.Delay > 0 || f.Hang {
		// net/http looks whether a client has gone only once it has read all of its request.
		body, _ := io.ReadAll(io.LimitReader(request.Body, maxForm+1))
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-request.Context().Done():
		case <-s.gone.Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.Hang:
		select {
		case <-f.healed:
			return false
		case <-request.Context().Done():
		case <-s.gone.Done():
		}
		panic(http.ErrAbortHandler)
	case f.Disconnect:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		kind := f.ContentType
		if kind == "" {
			kind = "text/html;charset=UTF-8"
		}
		answer{status: f.Status, body: []byte(f.Body)}.with("Content-Type", kind).write(w)
		return true
	}
	return false
}

// cutShort sends half of an answer and drops the connection.
func cutShort(w http.ResponseWriter, out answer) {
	out = out.with("Content-Length", strconv.Itoa(len(out.body)))
	out.body = out.body[:len(out.body)/2]
	out.write(w)
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	panic(http.ErrAbortHandler)
}

// Down makes the server as if it weren't there: connections are dropped as soon as they are made,
// those that are open too. Up ends that. The port stays the server's, so that no other program gets
// it meanwhile.
func (s *Server) Down() { s.listener.setDown(true) }

// Up ends Down.
func (s *Server) Up() { s.listener.setDown(false) }
