// Package middleware provides the HTTP middleware of the server: CORS, a check of the Host header,
// and a deadline for writing responses.
package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/cors"
)

// exposedHeaders are the response headers that pages of allowed origins may read, in addition to
// the headers that CORS always allows.
var exposedHeaders = []string{"Allow", "Retry-After", "X-Request-Id"}

// CORS lets pages of the allowed origins call next. The pages may send any request header: the
// server uses no cookies, so a header gives them no additional access.
func CORS(allowedOrigins []Origin, next http.Handler) http.Handler {
	if len(allowedOrigins) == 0 {
		return next
	}
	options := cors.Options{
		AllowOriginFunc: newOriginMatcher(allowedOrigins),
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders:  []string{"*"},
		ExposedHeaders:  exposedHeaders,
		MaxAge:          600,
		// Without this, Chromium doesn't let a public page call a private address.
		AllowPrivateNetwork: true,
	}
	if slices.Contains(allowedOrigins, anyOrigin) {
		options.AllowOriginFunc, options.AllowedOrigins = nil, []string{"*"}
	}
	return cors.New(options).Handler(next)
}

// An Origin is the value of an Origin header (RFC 6454, section 7), or a pattern that matches
// several. It is comparable.
type Origin struct {
	scheme string
	host   string // in lower case; an IPv6 address in brackets
	port   string // empty for the scheme's default, which browsers omit

	wildcardLabel bool // matches any one label in front of host
	wildcardPort  bool
	loopback      bool // matches http and https on this machine, under any name and port
}

var (
	anyOrigin = Origin{host: "*"}

	// Loopback matches every page of this machine.
	Loopback = Origin{loopback: true}
)

// newOriginMatcher returns a function that reports whether an Origin header is allowed.
func newOriginMatcher(allowedOrigins []Origin) func(header string) bool {
	return func(header string) bool {
		page, err := parsePlainOrigin(header)
		if err != nil || page.String() != header { // browsers use only the canonical form
			return false
		}
		return slices.ContainsFunc(allowedOrigins, func(o Origin) bool { return o.matches(page) })
	}
}

// matches reports whether o, which may be a pattern, matches the origin of a page.
func (o Origin) matches(page Origin) bool {
	if o == anyOrigin {
		return true
	}
	if o.loopback {
		return (page.scheme == "http" || page.scheme == "https") && isLoopbackHost(page.host)
	}
	host := page.host
	if o.wildcardLabel {
		_, host, _ = strings.Cut(host, ".")
	}
	return page.scheme == o.scheme && host == o.host && (o.wildcardPort || page.port == o.port)
}

// String returns o as in a setting.
func (o Origin) String() string {
	switch {
	case o == anyOrigin:
		return "*"
	case o.loopback:
		return "every page of this machine"
	}
	text := o.scheme + "://"
	if o.wildcardLabel {
		text += "*."
	}
	text += o.host
	switch {
	case o.wildcardPort:
		text += ":*"
	case o.port != "":
		text += ":" + o.port
	}
	return text
}

// ParseOrigin parses an entry of HTTPConfig.CORSOrigins: an origin or a pattern. A pattern is *, or
// has *. for any first label or :* for any port. It returns an error for an origin that no browser
// sends. The error's text is what was expected, such as "a host"; the caller completes the message.
func ParseOrigin(text string) (Origin, error) {
	if text == "*" {
		return anyOrigin, nil
	}
	var pattern Origin
	scheme, rest, _ := strings.Cut(text, "://")
	if trimmed, ok := strings.CutSuffix(rest, ":*"); ok {
		pattern.wildcardPort, rest = true, trimmed
	}
	if trimmed, ok := strings.CutPrefix(rest, "*."); ok {
		pattern.wildcardLabel, rest = true, trimmed
	}
	if strings.Contains(rest, "*") || pattern.wildcardPort && pattern.wildcardLabel {
		return Origin{}, errors.New("one wildcard at most: only a *, the whole first label " +
			"(https://*.example.com), or the port (http://localhost:*)")
	}
	if pattern.wildcardPort || pattern.wildcardLabel {
		text = scheme + "://" + rest
	}
	parsed, err := parsePlainOrigin(text)
	if err != nil {
		return Origin{}, err
	}
	if pattern.wildcardPort && parsed.port != "" {
		return Origin{}, errors.New("one port")
	}
	if _, ipErr := netip.ParseAddr(strings.Trim(parsed.host, "[]")); pattern.wildcardLabel &&
		ipErr == nil {
		return Origin{}, errors.New("a name after *., not an address")
	}
	parsed.wildcardPort, parsed.wildcardLabel = pattern.wildcardPort, pattern.wildcardLabel
	return parsed, nil
}

// parsePlainOrigin parses scheme://host or scheme://host:port. The result is in the canonical form
// of browsers: in lower case, without the scheme's default port, and with canonical IP addresses.
// The error's text is what was expected.
func parsePlainOrigin(text string) (Origin, error) {
	scheme, rest, found := strings.Cut(text, "://")
	scheme = asciiLower(scheme)
	switch {
	case text == "null":
		return Origin{}, errors.New("an origin other than null, " +
			"which every sandboxed frame and every file sends")
	case !found || !isScheme(scheme):
		return Origin{}, errors.New("a scheme first, as in https://app.example.com")
	case slices.Contains(schemesWithoutOrigin, scheme):
		return Origin{}, fmt.Errorf("http or https, or the scheme of an app's web view: "+
			"no page has an origin with %s", scheme)
	case strings.Contains(rest, "@"):
		return Origin{}, errors.New("no user and no password")
	case strings.ContainsAny(rest, "/?#"):
		return Origin{}, errors.New("only scheme, host and port, with nothing after them, " +
			"not even a slash")
	}
	host, port, err := splitPort(rest)
	if err != nil {
		return Origin{}, err
	}
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		port = ""
	}
	if scheme != "http" && scheme != "https" { // an app's web view doesn't normalize the host
		const hostCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lowercaseLetters + "0123456789-._"
		if host == "" || strings.Trim(host, hostCharacters) != "" {
			return Origin{}, errors.New("a host")
		}
		return Origin{scheme: scheme, host: host, port: port}, nil
	}
	if host, err = parseHost(host); err != nil {
		return Origin{}, err
	}
	return Origin{scheme: scheme, host: host, port: port}, nil
}

// schemesWithoutOrigin are schemes whose pages have no origin, or the origin null.
var schemesWithoutOrigin = []string{
	"ws", "wss", "ftp", "file", "data", "blob", "about", "javascript",
}

func isScheme(text string) bool {
	return text != "" && strings.Contains(lowercaseLetters, text[:1]) &&
		strings.Trim(text, lowercaseLetters+"0123456789+-.") == ""
}

// splitPort splits host:port. The port is empty if there is none, and has no leading zeros.
func splitPort(text string) (host, port string, err error) {
	host = text
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return "", "", errors.New("a port of 1 to 65535 after the colon")
		}
		port = strconv.FormatUint(number, 10)
	}
	return host, port, nil
}

const lowercaseLetters = "abcdefghijklmnopqrstuvwxyz"

func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
