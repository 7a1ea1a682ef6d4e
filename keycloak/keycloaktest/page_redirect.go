package keycloaktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// validateRedirectURI returns the redirect URI for the response, or false if the client's patterns
// don't allow the requested URI. In a request without the scope openid, a client with a single
// pattern may omit the URI (RedirectUtils, Keycloak 26.7.4).
func (r *Realm) validateRedirectURI(c *client, patterns []string, uri string, hasURI,
	isOpenID bool) (string, bool) {
	if !hasURI {
		if isOpenID || len(patterns) != 1 {
			return "", false
		}
		uri, _, _ = strings.Cut(patterns[0], "/*")
	}
	parsedURI, err := url.Parse(uri)
	if err != nil || parsedURI.Opaque+parsedURI.Host+parsedURI.Path == "" ||
		strings.ContainsAny(uri, " \"<>\\^`{|}") || strings.Count(uri, "#") > 1 ||
		strings.ContainsFunc(uri, func(c rune) bool { return c < ' ' || c == 0x7f }) ||
		hasDotDot(parsedURI.Path) {
		return "", false
	}
	patterns = r.resolveRedirectURIs(c, patterns)
	pattern, ok := matchRedirectURI(patterns, parsedURI, uri)
	if !ok && isLoopback(parsedURI) {
		// Native apps don't know their port in advance (RFC 8252 7.3).
		portlessURI := *parsedURI
		portlessURI.Host = strings.TrimSuffix(parsedURI.Host, ":"+parsedURI.Port())
		pattern, ok = matchRedirectURI(patterns, &portlessURI, portlessURI.String())
	}
	isWeb := parsedURI.Scheme == "" || parsedURI.Scheme == "http" || parsedURI.Scheme == "https"
	if !ok || !isWeb && !strings.HasPrefix(pattern, parsedURI.Scheme+":") {
		return "", false
	}
	if strings.HasPrefix(uri, "/") {
		uri = r.resolveRedirectURIs(c, []string{uri})[0]
	} else if parsedURI.Scheme == "" {
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
		unescapedPath, err := url.PathUnescape(path)
		if err != nil || unescapedPath == path {
			return false
		}
		path = unescapedPath
	}
	return false
}

// isLoopback reports whether a URI is plain HTTP to a loopback host with a port.
func isLoopback(uri *url.URL) bool {
	return uri.Scheme == "http" &&
		slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, uri.Hostname()) &&
		uri.Port() != ""
}

// matchRedirectURI returns the pattern that allows uri. parsedURI is the parsed uri. A "*" at the
// end of a pattern matches any characters, including a query and a fragment. Such a pattern doesn't
// allow URIs with user information.
func matchRedirectURI(patterns []string, parsedURI *url.URL, uri string) (string, bool) {
	path, _, _ := strings.Cut(uri, "#")
	path, _, _ = strings.Cut(path, "?")
	for _, pattern := range patterns {
		prefix, isWildcard := strings.CutSuffix(pattern, "*")
		switch {
		case pattern == "*", pattern == uri:
			return pattern, true
		case !isWildcard || strings.Contains(pattern, "?") || parsedURI.User != nil:
		case strings.HasPrefix(path, prefix), path == strings.TrimSuffix(prefix, "/"):
			return prefix, true
		}
	}
	return "", false
}

// neverCache is a Cache-Control header that makes browsers reload a page when the user goes back.
const neverCache = "no-store, must-revalidate, max-age=0"

// redirect returns a response that redirects the browser.
func (req *pageRequest) redirect(address string) response {
	resp := withSecurityHeaders(response{status: http.StatusFound}).
		withHeader("Location", address).withHeader("Cache-Control", neverCache)
	if req.Method != http.MethodPost {
		// Keycloak sets X-Frame-Options only if the response or the request has a media type.
		return resp.withoutHeaders("X-Frame-Options")
	}
	return resp
}

// authResponse returns the authorization response in the request's response mode (OAuth 2.0
// Multiple Response Types 2.1, Form Post Response Mode). pairs are alternating names and values of
// the response's parameters.
func (req *pageRequest) authResponse(authReq *authRequest, pairs ...string) response {
	if state := authReq.parameter("state"); state != "" || authReq.parameters.Has("state") {
		pairs = append(pairs, "state", state)
	}
	pairs = append(pairs, "iss", req.realm.Issuer())
	if authReq.responseMode == "form_post" {
		return formPostPage(authReq.redirectURI, pairs)
	}
	return req.redirect(withParameters(authReq.redirectURI, authReq.responseMode == "fragment",
		pairs))
}

// withParameters adds parameters to the query or fragment of a URL.
func withParameters(address string, inFragment bool, pairs []string) string {
	var encodedPairs []string
	for i := 0; i+1 < len(pairs); i += 2 {
		encodedPairs = append(encodedPairs,
			url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	if len(encodedPairs) == 0 {
		return address
	}
	parameters := strings.Join(encodedPairs, "&")
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
