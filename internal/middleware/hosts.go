package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// A HostRule decides under which host names and addresses clients may call the server. It protects
// against DNS rebinding, where another site lets its own name resolve to 127.0.0.1, so that its
// pages have the same origin as the server. It also protects against tunnels that expose a
// developer's server to the internet. The zero value allows all requests.
type HostRule struct {
	// Local allows only AllowedHosts and the names of this machine. It rejects forwarded requests
	// unless they come from Proxies.
	Local        bool
	AllowedHosts []Host
	Proxies      []netip.Prefix
	// InternalPaths are the paths that orchestrators and Keycloak call by an internal name or an IP
	// address. Unless Local is set, these paths are allowed under any host.
	InternalPaths []string
	// RewriteMessage, if set, replaces the names of Go fields in the error message, for example
	// with the names of settings.
	RewriteMessage func(string) string
	Log            *slog.Logger
}

// A Host is a host name or address, or a pattern that matches several names.
type Host struct {
	host          string // as parseHost returns it
	wildcardLabel bool   // matches any one label in front of host
}

// String returns h as in a setting.
func (h Host) String() string {
	if h.wildcardLabel {
		return "*." + h.host
	}
	return h.host
}

// ParseHost parses an entry of HTTPConfig.AllowedHosts. The error's text is what was expected, as
// for ParseOrigin.
func ParseHost(text string) (Host, error) {
	rest, wildcardLabel := strings.CutPrefix(text, "*.")
	if strings.Contains(rest, "*") {
		return Host{}, errors.New("names; a * stands for the whole first label, " +
			"as in *.example.com")
	}
	if address, err := netip.ParseAddr(rest); err == nil && address.Is6() {
		rest = "[" + rest + "]" // as in a request
	}
	if _, port, err := splitPort(rest); err != nil || port != "" || strings.Contains(rest, "/") {
		return Host{}, errors.New("names without a scheme, a port or a path, " +
			"such as api.example.com")
	}
	host, err := parseHost(rest)
	if err != nil {
		return Host{}, err
	}
	if _, ipErr := netip.ParseAddr(strings.Trim(host, "[]")); wildcardLabel && ipErr == nil {
		return Host{}, errors.New("a name after *., not an address")
	}
	return Host{host: strings.TrimSuffix(host, "."), wildcardLabel: wildcardLabel}, nil
}

// matches reports whether h matches the host of a request.
func (h Host) matches(host string) bool {
	if h.wildcardLabel {
		_, host, _ = strings.Cut(host, ".")
	}
	return host == h.host
}

// forwardingHeaders are the headers that proxies and tunnels add, apart from X-Forwarded-*.
var forwardingHeaders = []string{
	"Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Via",
}

// rejectionMessage returns why a request is rejected, or "" if it is allowed.
func (rule HostRule) rejectionMessage(r *http.Request) string {
	switch {
	case rule.Local:
	case len(rule.AllowedHosts) == 0:
		return ""
	case slices.Contains(rule.InternalPaths, r.URL.Path):
		return ""
	}
	// For an absolute request target, r.Host is its host (RFC 9112, section 3.2.2).
	host, _, err := splitPort(r.Host)
	if err == nil {
		host, err = parseHost(host)
	}
	host = strings.TrimSuffix(host, ".")
	isAllowed := err == nil && (rule.Local && isLoopbackHost(host) ||
		slices.ContainsFunc(rule.AllowedHosts, func(h Host) bool { return h.matches(host) }))
	switch {
	case !isAllowed && rule.Local:
		return "This server is a developer's (Config.Local): it answers to the names of its own " +
			"machine, such as localhost, and to those in HTTPConfig.AllowedHosts"
	case !isAllowed:
		return "This server answers only to the names in HTTPConfig.AllowedHosts"
	case rule.Local && isForwarded(r.Header) && !isProxy(rule.Proxies, r.RemoteAddr):
		return "This server is a developer's (Config.Local): it rejects requests that a " +
			"proxy or a tunnel forwarded. Put the proxy's address into HTTPConfig.Proxies, and " +
			"the name that clients call it by into HTTPConfig.AllowedHosts"
	}
	return ""
}

// isForwarded reports whether a request has a header that proxies and tunnels add.
func isForwarded(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(forwardingHeaders, name) {
			return true
		}
	}
	return false
}

// isProxy reports whether a remote address belongs to one of the proxies.
func isProxy(proxies []netip.Prefix, remoteAddr string) bool {
	peer, err := netip.ParseAddrPort(remoteAddr)
	return err == nil && slices.ContainsFunc(proxies, func(proxy netip.Prefix) bool {
		return proxy.Contains(peer.Addr().Unmap())
	})
}

// Handler passes allowed requests to next. It responds to all others with status 403 and an error
// that gives the reason. It logs only the first rejection, without data of the request.
func (rule HostRule) Handler(next http.Handler) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		message := rule.rejectionMessage(r)
		if message == "" {
			next.ServeHTTP(w, r)
			return
		}
		if rule.RewriteMessage != nil {
			message = rule.RewriteMessage(message)
		}
		once.Do(func() {
			rule.Log.WarnContext(r.Context(), "requests for another host are rejected", "response",
				message)
		})
		header := w.Header()
		header.Set("Content-Type", "application/json; charset=utf-8")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Connection", "close") // the body isn't read
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"message":%q,"extensions":{"code":"BAD_REQUEST"}}]}`+"\n",
			message)
	})
}

// parseHost parses a name, an IPv4 address or an IPv6 address in brackets, and returns it in the
// canonical form of browsers. The error's text is what was expected.
func parseHost(text string) (string, error) {
	host := asciiLower(text)
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		if !ok || err != nil || !address.Is6() || address.Zone() != "" {
			return "", errors.New("an IPv6 address in the brackets, without a zone")
		}
		if address.Is4In6() { // netip would write the IPv4 part with dots
			b := address.As16()
			return fmt.Sprintf("[::ffff:%x:%x]", int(b[12])<<8|int(b[13]),
				int(b[14])<<8|int(b[15])), nil
		}
		return "[" + address.String() + "]", nil
	}
	for _, r := range host {
		if r > 0x7f {
			return "", errors.New("the host as browsers write it, in ASCII: " +
				"xn--mnchen-3ya.example for a name with an umlaut")
		}
	}
	name := strings.TrimSuffix(host, ".")
	labels := strings.Split(name, ".")
	if strings.Trim(name, lowercaseLetters+"0123456789-._") != "" || slices.Contains(labels, "") {
		return "", errors.New("a host name such as app.example.com, or an address")
	}
	// Browsers parse a name whose last label is a number as an IPv4 address.
	lastLabel := labels[len(labels)-1]
	hex, isHex := strings.CutPrefix(lastLabel, "0x")
	if strings.Trim(lastLabel, "0123456789") == "" ||
		isHex && strings.Trim(hex, "0123456789abcdef") == "" {
		if address, err := netip.ParseAddr(host); err != nil || !address.Is4() {
			return "", errors.New("an IPv4 address in its common form, such as 127.0.0.1")
		}
	}
	return host, nil
}

// isLoopbackHost reports whether a host, as parseHost returns it, is this machine: localhost, a
// name below it (RFC 6761, section 6.3), or an address of the loopback network.
func isLoopbackHost(host string) bool {
	name := strings.TrimSuffix(host, ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback()
}
