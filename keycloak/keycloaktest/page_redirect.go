package keycloaktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// redirectURI is where an answer may go: the URI that was asked for, if the client's patterns allow
// it. A client with one URI needn't name it in a request that isn't OpenID Connect (RedirectUtils,
// Keycloak 26.7.4).
func (r *Realm) redirectURI(c *client, patterns []string, asked string, given,
	openID bool) (string, bool) {
	if !given {
		if openID || len(patterns) != 1 {
			return "", false
		}
		asked, _, _ = strings.Cut(patterns[0], "/*")
	}
	parsed, err := url.Parse(asked)
	if err != nil || parsed.Opaque+parsed.Host+parsed.Path == "" ||
		strings.ContainsAny(asked, " \"<>\\^`{|}") || strings.Count(asked, "#") > 1 ||
		strings.ContainsFunc(asked, func(c rune) bool { return c < ' ' || c == 0x7f }) ||
		climbs(parsed.Path) {
		return "", false
	}
	patterns = r.redirectURIs(c, patterns)
	matched, ok := matchRedirect(patterns, parsed, asked)
	if !ok && loopback(parsed) {
		// A native app doesn't know its port beforehand (RFC 8252 7.3).
		portless := *parsed
		portless.Host = strings.TrimSuffix(parsed.Host, ":"+parsed.Port())
		matched, ok = matchRedirect(patterns, &portless, portless.String())
	}
	web := parsed.Scheme == "" || parsed.Scheme == "http" || parsed.Scheme == "https"
	if !ok || !web && !strings.HasPrefix(matched, parsed.Scheme+":") {
		return "", false
	}
	if strings.HasPrefix(asked, "/") {
		asked = r.redirectURIs(c, []string{asked})[0]
	} else if parsed.Scheme == "" {
		asked = r.server.publicURL + "/" + asked
	}
	return asked, true
}

// climbs reports whether a path leads upwards, however often it was escaped.
func climbs(path string) bool {
	for range 5 {
		if slices.Contains(strings.Split(path, "/"), "..") {
			return true
		}
		plain, err := url.PathUnescape(path)
		if err != nil || plain == path {
			return false
		}
		path = plain
	}
	return false
}

func loopback(uri *url.URL) bool {
	return uri.Scheme == "http" &&
		slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, uri.Hostname()) &&
		uri.Port() != ""
}

// matchRedirect finds the pattern that allows a URI. A star at a pattern's end stands for anything
// but another host or a user's name; the query and the fragment are free then.
func matchRedirect(patterns []string, uri *url.URL, asked string) (string, bool) {
	path, _, _ := strings.Cut(asked, "#")
	path, _, _ = strings.Cut(path, "?")
	for _, pattern := range patterns {
		start, wild := strings.CutSuffix(pattern, "*")
		switch {
		case pattern == "*", pattern == asked:
			return pattern, true
		case !wild || strings.Contains(pattern, "?") || uri.User != nil:
		case strings.HasPrefix(path, start), path == strings.TrimSuffix(start, "/"):
			return start, true
		}
	}
	return "", false
}

// noBack is for what a browser's back button mustn't bring again.
const noBack = "no-store, must-revalidate, max-age=0"

// redirect sends the browser on.
func (v *pageRequest) redirect(address string) answer {
	out := secured(answer{status: http.StatusFound}).with("Location", address).with("Cache-Control",
		noBack)
	if v.Method != http.MethodPost {
		// Keycloak sets it where there is a media type, of the request at least
		return out.without("X-Frame-Options")
	}
	return out
}

// respond sends the browser back to the client, with names and values in turn, in the way that the
// client asked for (OAuth 2.0 Multiple Response Types 2.1, Form Post Response Mode).
func (v *pageRequest) respond(q *authRequest, pairs ...string) answer {
	if state := q.value("state"); state != "" || q.parameters.Has("state") {
		pairs = append(pairs, "state", state)
	}
	pairs = append(pairs, "iss", v.realm.Issuer())
	if q.mode == "form_post" {
		return formPost(q.redirect, pairs)
	}
	return v.redirect(withPairs(q.redirect, q.mode == "fragment", pairs))
}

// withPairs adds parameters to an address, which may have some.
func withPairs(address string, inFragment bool, pairs []string) string {
	var words []string
	for i := 0; i+1 < len(pairs); i += 2 {
		words = append(words, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	if len(words) == 0 {
		return address
	}
	added := strings.Join(words, "&")
	address, fragment, split := strings.Cut(address, "#")
	if inFragment {
		return address + "#" + added
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	address += separator + added
	if split {
		address += "#" + fragment
	}
	return address
}
