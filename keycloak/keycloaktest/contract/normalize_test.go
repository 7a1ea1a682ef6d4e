package contract

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A timing says when a value was made.
type timing struct {
	window window // of the request whose response has the value
	issued window // of the request that issued the object around the value, or zero
}

// opaque are members and parameters with opaque values: only their shape is recorded.
var opaque = set("kid", "sid", "session_state", "jti", "at_hash", "c_hash", "s_hash", "x5t",
	"x5t#S256", "n", "x", "y", "code", "device_code", "user_code", "reuse_id", "jkt", "otp", "totp",
	"ath")

// internalParams are parameters that only Keycloak's own pages use: not even their shape is
// recorded.
var internalParams = set("session_code", "tab_id", "client_data", "execution")

// timeMembers hold a time in seconds.
var timeMembers = set("exp", "iat", "nbf", "auth_time", "updated_at", "tokens-not-before",
	"not-before-policy")

// milliMembers hold a time in milliseconds.
var milliMembers = set("start", "lastAccess", "createdTimestamp", "createdDate", "time")

// remaining are members that hold a number of seconds, sometimes one less than configured.
var remaining = set("expires_in", "refresh_expires_in")

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

// render formats a JSON value, with members and array items sorted, and short objects on one line.
func (x *exchange) render(key string, value any, n timing, indent string) string {
	switch value := value.(type) {
	case object:
		return x.renderObject(value, n, indent)
	case []any:
		if key == "x5c" {
			return certificates(value)
		}
		var items []string
		for _, item := range value {
			items = append(items, x.render(key, item, n, indent+"  "))
		}
		slices.Sort(items)
		if list := strings.Join(items, ", "); !strings.Contains(list, "\n") && len(list) < 160 {
			return "[" + list + "]"
		}
		return "[\n" + indent + "  " + strings.Join(items, ",\n"+indent+"  ") + "\n" + indent + "]"
	case string:
		return quote(x.value(key, value))
	case json.Number, float64:
		return x.number(key, value, n)
	}
	text, _ := json.Marshal(value)
	return string(text)
}

func (x *exchange) renderObject(value object, n timing, indent string) string {
	n.issued = x.issued(value, n.window)
	var members []string
	for _, name := range slices.Sorted(maps.Keys(value)) {
		members = append(members,
			quote(x.text(name))+": "+x.render(name, value[name], n, indent+"  "))
	}
	if line := strings.Join(members, ", "); len(members) <= 2 && !strings.Contains(line, "\n") {
		return "{" + line + "}"
	}
	return "{\n" + indent + "  " + strings.Join(members, ",\n"+indent+"  ") + "\n" + indent + "}"
}

func quote(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}

// number formats a number. A time becomes an offset, because it differs from run to run.
func (x *exchange) number(key string, value any, n timing) string {
	s := seconds(value)
	switch {
	case remaining[key] && (s != 0 || key == "expires_in"): // refresh_expires_in 0 means for ever
		return clockText("~", x.remaining(s, n.window))
	case timeMembers[key] && s > 1e9 && key == "iat":
		return clockText("now", n.issued.offset(s, n.window))
	case timeMembers[key] && s > 1e9 && !n.issued.zero():
		return clockText("iat", x.offset(s, n.issued))
	case timeMembers[key] && s > 1e9:
		return clockText("now", x.offset(s, n.window))
	case milliMembers[key] && s > 1e12:
		return clockText("now", x.offset(s/1000, n.window)) + " ms"
	}
	text, _ := json.Marshal(value)
	return string(text)
}

func seconds(value any) int64 {
	switch value := value.(type) {
	case json.Number:
		s, _ := strconv.ParseInt(value.String(), 10, 64)
		return s
	case float64:
		return int64(value)
	}
	return 0
}

// value normalizes a string, depending on the member or parameter that holds it.
func (x *exchange) value(key, text string) string {
	switch {
	case key == "scope":
		return x.text(sortedWords(text, " "))
	case key == "public_key":
		return publicKey(text)
	case (key == "clientHost" || key == "clientAddress" || key == "ipAddress") &&
		net.ParseIP(text) != nil:
		return "<ip>"
	}
	if _, ok := decodeToken(text); ok {
		return "<jwt>"
	}
	switch {
	case internalParams[key]:
		return "<...>"
	case opaque[key] && strings.NewReplacer(x.placeholders...).Replace(text) == text:
		return shape(text)
	}
	return x.text(text)
}

var (
	uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// A code is <uuid>.<session>.<uuid>; a user code is ABCD-EFGH.
	codeText     = regexp.MustCompile(`^<uuid>\.[\w-]{24}\.<uuid>$`)
	userCodeText = regexp.MustCompile(`^[A-Z]{4}-[A-Z]{4}$`)
	urlSafeText  = regexp.MustCompile(`^[\w-]+$`)
	resourcePath = regexp.MustCompile(`/resources/\w+/`)
)

// text replaces the parts of a string that differ from run to run.
func (x *exchange) text(text string) string {
	text = strings.NewReplacer(x.placeholders...).Replace(text)
	text = strings.ReplaceAll(text, x.kc.base(), "{base}")
	text = strings.ReplaceAll(text, strings.TrimPrefix(x.kc.base(), "http://"), "{host}")
	text = resourcePath.ReplaceAllString(text, "/resources/<version>/")
	return uuidText.ReplaceAllString(text, "<uuid>")
}

// shape describes an opaque value.
func shape(text string) string {
	text = uuidText.ReplaceAllString(text, "<uuid>")
	switch {
	case text == "" || strings.HasPrefix(text, "<uuid>") && len(text) == len("<uuid>") ||
		strings.HasSuffix(text, ":<uuid>"):
		return text
	case codeText.MatchString(text):
		return "<uuid>.<24 chars>.<uuid>"
	case userCodeText.MatchString(text):
		return "<ABCD-EFGH>"
	case urlSafeText.MatchString(text):
		return fmt.Sprintf("<%d chars>", len(text))
	}
	return fmt.Sprintf("<%d chars, not all URL-safe>", len(text))
}

// address formats a URL, with sorted and decoded parameters.
func (x *exchange) address(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return x.text(address)
	}
	query, fragment := u.Query(), u.Fragment
	u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
	text := x.text(u.String())
	if len(query) > 0 {
		text += "?" + x.pairs(query)
	}
	if values, err := url.ParseQuery(fragment); err == nil && strings.Contains(fragment, "=") {
		text += "#" + x.pairs(values)
	} else if fragment != "" {
		text += "#" + x.text(fragment)
	}
	return text
}

// pairs formats form values, sorted and decoded.
func (x *exchange) pairs(values url.Values) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			parts = append(parts, name+"="+x.value(name, value))
		}
	}
	return strings.Join(parts, "&")
}

// headerValue formats the value of a request header: decoded credentials, and no tokens.
func (x *exchange) headerValue(value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	if plain, err := base64.StdEncoding.DecodeString(rest); strings.EqualFold(scheme, "basic") &&
		err == nil && rest != "" {
		return scheme + " base64(" + x.text(string(plain)) + ")"
	}
	if _, ok := decodeToken(rest); ok {
		return scheme + " <jwt>"
	}
	if _, ok := decodeToken(value); ok {
		return "<jwt>"
	}
	return x.text(value)
}

func sortedWords(text, separator string) string {
	words := strings.Split(text, separator)
	slices.Sort(words)
	return strings.Join(words, separator)
}

func publicKey(text string) string {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "<not base64>"
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return "<no public key>"
	}
	if key, ok := key.(*rsa.PublicKey); ok {
		return fmt.Sprintf("<RSA public key, %d bits>", key.Size()*8)
	}
	return fmt.Sprintf("<%T>", key)
}

func certificates(chain []any) string {
	var parts []string
	for _, item := range chain {
		text, _ := item.(string)
		der, err := base64.StdEncoding.DecodeString(text)
		if err == nil {
			_, err = x509.ParseCertificate(der)
		}
		if err != nil {
			parts = append(parts, `"<no certificate>"`)
			continue
		}
		parts = append(parts, `"<certificate>"`)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
