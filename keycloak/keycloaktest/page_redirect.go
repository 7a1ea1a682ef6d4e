package keycloaktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// redirectURI returns the redirect URI of the response: the requested URI if the client's patterns
// allow it. In a request without the scope openid, a client with a single URI may omit the
// parameter (RedirectUtils, Keycloak 26.7.4).
func (r *Realm) redirectURI(c *client, patterns []string, uri string, sent,
	openID bool) (string, bool) {
	if !sent {
		if openID || len(patterns) != 1 {
			return "", false
		}
		uri, _, _ = strings.Cut(patterns[0], "/*")
	}
	parsed, err := url.Parse(uri)
	if err != nil || parsed.Opaque+parsed.Host+parsed.Path == "" ||
		strings.ContainsAny(uri, " \"<>\\^`{|}") || strings.Count(uri, "#") > 1 ||
		strings.ContainsFunc(uri, func(c rune) bool { return c < ' ' || c == 0x7f }) ||
		hasDotDot(parsed.Path) {
		return "", false
	}
	patterns = r.redirectURIs(c, patterns)
	pattern, ok := matchRedirect(patterns, parsed, uri)
	if !ok && isLoopback(parsed) {
		// Native apps don't know their port in advance (RFC 8252 7.3).
		portless := *parsed
		portless.Host = strings.TrimSuffix(parsed.Host, ":"+parsed.Port())
		pattern, ok = matchRedirect(patterns, &portless, portless.String())
	}
	isWeb := parsed.Scheme == "" || parsed.Scheme == "http" || parsed.Scheme == "https"
	if !ok || !isWeb && !strings.HasPrefix(pattern, parsed.Scheme+":") {
		return "", false
	}
	if strings.HasPrefix(uri, "/") {
		uri = r.redirectURIs(c, []string{uri})[0]
	} else if parsed.Scheme == "" {
		uri = r.server.publicURL + "/" + uri
	}
	return uri, true
}

// hasDotDot reports whether a path has a ".." segment, even if escaped several times.
func hasDotDot(path string) bool {
	for range 5 {
		if slices.Contains(strings.Split(path, "/"), "..") {
			return true
		}
		unescaped, err := url.PathUnescape(path)
		if err != nil || unescaped == path {
			return false
		}
		path = unescaped
	}
	return false
}

// isLoopback reports whether a URI is plain HTTP to a loopback host with a port.
func isLoopback(uri *url.URL) bool {
	return uri.Scheme == "http" &&
		slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, uri.Hostname()) &&
		uri.Port() != ""
}

// matchRedirect returns the pattern that allows a URI. parsed is the parsed uri. A "*" at the end
// of a pattern matches any rest of the path, query and fragment. It doesn't match URIs with user
// information.
func matchRedirect(patterns []string, parsed *url.URL, uri string) (string, bool) {
	path, _, _ := strings.Cut(uri, "#")
	path, _, _ = strings.Cut(path, "?")
	for _, pattern := range patterns {
		prefix, isWildcard := strings.CutSuffix(pattern, "*")
		switch {
		case pattern == "*", pattern == uri:
			return pattern, true
		case !isWildcard || strings.Contains(pattern, "?") || parsed.User != nil:
		case strings.HasPrefix(path, prefix), path == strings.TrimSuffix(prefix, "/"):
			return prefix, true
		}
	}
	return "", false
}

// neverCache prevents browsers from showing a page again when the user goes back.
const neverCache = "no-store, must-revalidate, max-age=0"

// redirect returns a response that redirects the browser.
func (req *pageRequest) redirect(address string) response {
	resp := secured(response{status: http.StatusFound}).
		with("Location", address).with("Cache-Control", neverCache)
	if req.Method != http.MethodPost {
		// Keycloak sets X-Frame-Options only if the response or the request has a media type.
		return resp.without("X-Frame-Options")
	}
	return resp
}

// respond returns the authorization response in the request's response mode (OAuth 2.0 Multiple
// Response Types 2.1, Form Post Response Mode). pairs are alternating names and values of its
// parameters.
func (req *pageRequest) respond(auth *authRequest, pairs ...string) response {
	if state := auth.value("state"); state != "" || auth.parameters.Has("state") {
		pairs = append(pairs, "state", state)
	}
	pairs = append(pairs, "iss", req.realm.Issuer())
	if auth.mode == "form_post" {
		return formPost(auth.redirect, pairs)
	}
	return req.redirect(withParameters(auth.redirect, auth.mode == "fragment", pairs))
}

// withParameters adds parameters to the query or fragment of a URL.
func withParameters(address string, inFragment bool, pairs []string) string {
	var encoded []string
	for i := 0; i+1 < len(pairs); i += 2 {
		encoded = append(encoded, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	if len(encoded) == 0 {
		return address
	}
	parameters := strings.Join(encoded, "&")
	address, fragment, hasFragment := strings.Cut(address, "#")
	if inFragment {
		return address + "#" + parameters
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	address += separator + parameters
	if hasFragment {
		address += "#" + fragment
	}
	return address
}
