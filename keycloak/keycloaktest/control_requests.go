package keycloaktest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Request is a request that the server received, without its body and headers, which contain
// passwords and tokens.
type Request struct {
	Time   time.Time // by the server's clock
	Method string
	Path   string // escaped, with the path prefix, without the query
	// Endpoint is the path below /realms/{realm}, without /protocol/openid-connect: "/token",
	// "/certs", "/.well-known/openid-configuration". It is empty for the realm itself and for
	// unknown paths.
	Endpoint string
}

// maxRequests is the maximum number of requests that Requests returns. Count isn't limited.
const maxRequests = 1_000

// Requests returns the last 1,000 requests, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests[max(0, len(s.requests)-maxRequests):])
}

// Count returns the number of requests to an endpoint since the start or the last ResetRequests,
// including requests that a Fault made fail. Count("") returns the number of all requests,
// including requests to unknown paths. Count panics if the fake has no such endpoint, because the
// count would always be 0.
func (s *Server) Count(endpoint string) int {
	mustBeEndpoint(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	if endpoint != "" {
		return s.requestCounts[endpoint]
	}
	total := 0
	for _, n := range s.requestCounts {
		total += n
	}
	return total
}

// ResetRequests clears the results of Requests and Count.
func (s *Server) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	clear(s.requestCounts)
}

// recordRequest logs and counts a request, and returns the fault that applies to it, or nil.
func (s *Server) recordRequest(httpRequest *http.Request) *Fault {
	now := s.clock() // may be the test's own function, so call it without the lock
	endpoint := ""
	if _, path, inRealm := s.splitURL(httpRequest.URL); inRealm && isEndpoint(path) {
		endpoint = strings.TrimPrefix(path, oidcPath)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requestCounts[endpoint]++ // "" for all unknown paths, so that the map can't grow
	// Drop half of the log at once: dropping only the oldest request would move the log each time.
	if len(s.requests) >= 2*maxRequests {
		s.requests = slices.Delete(s.requests, 0, maxRequests)
	}
	s.requests = append(s.requests, Request{now.Add(s.clockOffset), httpRequest.Method,
		httpRequest.URL.EscapedPath(), endpoint})
	return s.nextFault(endpoint)
}

// isEndpoint reports whether a path below /realms/{realm} is an endpoint.
func isEndpoint(path string) bool { _, ok := endpoints()[path]; return ok }

// mustBeEndpoint panics unless name is an endpoint as in Request.Endpoint, or empty for all
// endpoints.
func mustBeEndpoint(name string) {
	if strings.HasPrefix(name, oidcPath) || !isEndpoint(name) && !isEndpoint(oidcPath+name) {
		panic(
			fmt.Sprintf(
				"keycloaktest: the fake has no endpoint %q; endpoints are named as in "+
					"Request.Endpoint: \"/token\", \"/certs\"", name))
	}
}
