package keycloaktest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Request is one that the server got. Nothing of its body or its headers is kept: passwords and
// tokens pass here.
type Request struct {
	Time   time.Time // by the server's clock
	Method string
	Path   string // as it came, escapes included, with its prefix, without its query
	// Endpoint is the endpoint's path below /realms/{realm}, without /protocol/openid-connect:
	// "/token", "/certs", "/.well-known/openid-configuration"; empty for the realm itself, and for
	// a path that is no endpoint of the stand-in.
	Endpoint string
}

// maxRequests is how many requests a server remembers; Count goes on counting.
const maxRequests = 1_000

// Requests are the last 1,000 requests, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log[max(0, len(s.log)-maxRequests):])
}

// Count is how many requests came to an endpoint since the start or the last ForgetRequests, those
// that met a fault included. "" counts all requests, not only those whose Endpoint is empty. It
// panics for the name of an endpoint that the stand-in doesn't have: nothing would ever be counted
// for it.
func (s *Server) Count(endpoint string) int {
	mustBeEndpoint(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	if endpoint != "" {
		return s.counted[endpoint]
	}
	all := 0
	for _, n := range s.counted {
		all += n
	}
	return all
}

// ForgetRequests begins to count anew.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
	clear(s.counted)
}

// record remembers a request and says which fault it meets.
func (s *Server) record(request *http.Request) *Fault {
	now := s.clock() // without the lock: it is the caller's own
	endpoint := ""
	if _, rest, inside := s.locate(request.URL); inside && known(rest) {
		endpoint = strings.TrimPrefix(rest, oidc)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted[endpoint]++ // strangers' paths count together, or each would cost memory
	// half of them go at once, so that they needn't move with every request
	if len(s.log) >= 2*maxRequests {
		s.log = slices.Delete(s.log, 0, maxRequests)
	}
	s.log = append(s.log,
		Request{now.Add(s.offset), request.Method, request.URL.EscapedPath(), endpoint})
	return s.fault(endpoint)
}

// known reports whether the stand-in has an endpoint at a path below a realm.
func known(path string) bool { _, has := endpoints()[path]; return has }

// mustBeEndpoint panics for what is no name of an endpoint, as Request has it.
func mustBeEndpoint(name string) {
	if strings.HasPrefix(name, oidc) || !known(name) && !known(oidc+name) {
		panic(
			fmt.Sprintf(
				"keycloaktest: %q is no endpoint of the stand-in; they are named as in Request: "+
					"\"/token\", \"/certs\"", name))
	}
}
