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

// A HostRule says which names and addresses a request may use for this server. A page of another
// site can point a name of its own at 127.0.0.1 (DNS rebinding), and is of the same origin as the
// server then; a tunnel shows a developer's server to the internet. The zero value admits all.
type HostRule struct {
	// Local admits the names of this machine besides, and forwarded requests only from a trusted
	// proxy.
	Local   bool
	Allowed []Host
	Proxies []netip.Prefix // trusted
	// Probes are the paths that orchestrators ask by address, whatever is allowed.
	Probes []string
	// Rewrite, if set, replaces the names of fields in what is answered.
	Rewrite func(string) string
	Log     *slog.Logger
}

// A Host is a host name or address as parseHost returns it, or, with anyLabel, what comes after any
// first label.
type Host struct {
	host     string
	anyLabel bool
}

// String returns the pattern as in a setting.
func (p Host) String() string {
	if p.anyLabel {
		return "*." + p.host
	}
	return p.host
}

// ParseHost reads one entry of HTTPConfig.AllowedHosts. Its error says what was expected.
func ParseHost(text string) (Host, error) {
	rest, anyLabel := strings.CutPrefix(text, "*.")
	if strings.Contains(rest, "*") {
		return Host{}, errors.New("names; a * stands for the whole first label, " +
			"as in *.example.com")
	}
	if address, err := netip.ParseAddr(rest); err == nil && address.Is6() {
		rest = "[" + rest + "]" // as in a request
	}
	if _, port, err := cutPort(rest); err != nil || port != "" || strings.Contains(rest, "/") {
		return Host{}, errors.New("names without a scheme, a port or a path, " +
			"such as api.example.com")
	}
	host, err := parseHost(rest)
	if err != nil {
		return Host{}, err
	}
	if _, notIP := netip.ParseAddr(strings.Trim(host, "[]")); anyLabel && notIP == nil {
		return Host{}, errors.New("a name after *., not an address")
	}
	return Host{host: strings.TrimSuffix(host, "."), anyLabel: anyLabel}, nil
}

func (p Host) admits(host string) bool {
	if p.anyLabel {
		_, host, _ = strings.Cut(host, ".")
	}
	return host == p.host
}

// forwardingHeaders are what proxies and tunnels add, beside X-Forwarded-*.
var forwardingHeaders = []string{
	"Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Via",
}

// refuses says why a request isn't answered; it is empty where it is.
func (rule HostRule) refuses(r *http.Request) string {
	switch {
	case rule.Local:
	case len(rule.Allowed) == 0:
		return ""
	case slices.Contains(rule.Probes, r.URL.Path):
		return ""
	}
	// Of an absolute request target, where there is one (RFC 9112, section 3.2.2).
	host, _, err := cutPort(r.Host)
	if err == nil {
		host, err = parseHost(host)
	}
	host = strings.TrimSuffix(host, ".")
	known := err == nil && (rule.Local && isLoopbackHost(host) ||
		slices.ContainsFunc(rule.Allowed, func(p Host) bool { return p.admits(host) }))
	switch {
	case !known && rule.Local:
		return "This server is a developer's (Config.Local): it answers to the names of its own " +
			"machine, such as localhost, and to those in HTTPConfig.AllowedHosts"
	case !known:
		return "This server answers only to the names in HTTPConfig.AllowedHosts"
	case rule.Local && isForwarded(r.Header) && !trusts(rule.Proxies, r.RemoteAddr):
		return "This server is a developer's (Config.Local): it answers no request that a " +
			"proxy or a tunnel forwarded. Put the proxy's address into HTTPConfig.Proxies, and " +
			"the name that clients call it by into HTTPConfig.AllowedHosts"
	}
	return ""
}

func isForwarded(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(forwardingHeaders, name) {
			return true
		}
	}
	return false
}

func trusts(proxies []netip.Prefix, remoteAddr string) bool {
	peer, err := netip.ParseAddrPort(remoteAddr)
	return err == nil && slices.ContainsFunc(proxies, func(proxy netip.Prefix) bool {
		return proxy.Contains(peer.Addr().Unmap())
	})
}

// Handler answers what the rule refuses with 403 and an error that says why, and passes on the
// rest. The log has one line for all that is refused, with nothing of the request.
func (rule HostRule) Handler(next http.Handler) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		message := rule.refuses(r)
		if message == "" {
			next.ServeHTTP(w, r)
			return
		}
		if rule.Rewrite != nil {
			message = rule.Rewrite(message)
		}
		once.Do(func() {
			rule.Log.WarnContext(r.Context(), "requests under another host are refused", "answer",
				message)
		})
		header := w.Header()
		header.Set("Content-Type", "application/json; charset=utf-8")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Connection", "close") // the body is not read
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"message":%q,"extensions":{"code":"BAD_REQUEST"}}]}`+"\n",
			message)
	})
}

// parseHost reads a name, an IPv4 address or an IPv6 address in brackets, and returns it as
// browsers write it.
func parseHost(text string) (string, error) {
	host := asciiLower(text)
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		if !ok || err != nil || !address.Is6() || address.Zone() != "" {
			return "", errors.New("an IPv6 address in the brackets, without a zone")
		}
		if address.Is4In6() { // netip writes its end with dots
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
	if strings.Trim(name, letters+"0123456789-._") != "" || slices.Contains(labels, "") {
		return "", errors.New("a host name such as app.example.com, or an address")
	}
	// A name whose last label is a number is an IPv4 address for browsers, or an error.
	last := labels[len(labels)-1]
	hex, isHex := strings.CutPrefix(last, "0x")
	if strings.Trim(last, "0123456789") == "" ||
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
