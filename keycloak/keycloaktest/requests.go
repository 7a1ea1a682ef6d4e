package keycloaktest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Request is one that the server got. Nothing of its body or its headers is kept: passwords and tokens pass here.
type Request struct {
	Time   time.Time // by the server's clock
	Method string
	Path   string // as it came, with its prefix, without its query
	// Endpoint is the path below /realms/{realm}, without /protocol/openid-connect: "/token", "/certs",
	// "/.well-known/openid-configuration"; empty for the realm itself and outside of realms.
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

// Count is how many requests came to an endpoint since the start or the last ForgetRequests, those that met a
// fault included; "" counts all.
func (s *Server) Count(endpoint string) int {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	endpoint, counted := "", ""
	if below, ok := strings.CutPrefix(request.URL.Path, s.prefix+"/realms/"); ok {
		_, rest, _ := strings.Cut(below, "/")
		if rest != "" {
			endpoint = strings.TrimSuffix(strings.TrimPrefix("/"+rest, oidc), "/")
		}
		counted = endpoint
		if _, ours := endpoints()[strings.TrimSuffix("/"+rest, "/")]; !ours {
			counted = "other" // so that strangers' paths don't fill the map, and /realms/shop/certs isn't taken for the key set
		}
	}
	s.counted[counted]++
	if len(s.log) >= 2*maxRequests { // half of them go at once, so that they needn't move with every request
		s.log = slices.Delete(s.log, 0, maxRequests)
	}
	s.log = append(s.log, Request{s.clock().Add(s.offset), request.Method, request.URL.Path, endpoint})
	return s.fault(endpoint)
}
