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

// normal is the place of a value that is normalised.
type normal struct {
	window window // of the request whose answer holds it
	issued window // of the request that issued the object around the value, or zero
}

// What these members and parameters hold is opaque: only the shape is contract.
var opaque = set("kid", "sid", "session_state", "jti", "at_hash", "c_hash", "s_hash", "x5t",
	"x5t#S256", "n", "x", "y", "code", "device_code", "user_code", "reuse_id", "jkt", "otp", "totp",
	"ath")

// These are between Keycloak's pages and its login: not even the shape is contract.
var private = set("session_code", "tab_id", "client_data", "execution")

// These hold a time.
var times = set("exp", "iat", "nbf", "auth_time", "updated_at", "tokens-not-before",
	"not-before-policy")

// These hold milliseconds.
var instants = set("start", "lastAccess", "createdTimestamp", "createdDate", "time")

// These hold seconds that are left, sometimes one less than configured.
var left = set("expires_in", "refresh_expires_in")

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

// render writes a JSON value: members sorted, arrays as sets, short objects in a line.
func (x *exchange) render(key string, value any, n normal, indent string) string {
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

func (x *exchange) renderObject(value object, n normal, indent string) string {
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

// number writes a time as its distance, because no two runs have the same.
func (x *exchange) number(key string, value any, n normal) string {
	s := seconds(value)
	switch {
	case left[key] && (s != 0 || key == "expires_in"): // 0 of the others is for ever
		return clockText("~", x.left(s, n.window))
	case times[key] && s > 1e9 && key == "iat":
		return clockText("now", n.issued.distance(s, n.window))
	case times[key] && s > 1e9 && !n.issued.zero():
		return clockText("iat", x.distance(s, n.issued))
	case times[key] && s > 1e9:
		return clockText("now", x.distance(s, n.window))
	case instants[key] && s > 1e12:
		return clockText("now", x.distance(s/1000, n.window)) + " ms"
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

// value is a text, by the member or parameter that holds it.
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
	if _, ok := openToken(text); ok {
		return "<jwt>"
	}
	switch {
	case private[key]:
		return "<...>"
	case opaque[key] && strings.NewReplacer(x.names...).Replace(text) == text:
		return shape(text)
	}
	return x.text(text)
}

var (
	uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// A code is <uuid>.<session>.<uuid>, a user code has two times four letters.
	codeText     = regexp.MustCompile(`^<uuid>\.[\w-]{24}\.<uuid>$`)
	userCodeText = regexp.MustCompile(`^[A-Z]{4}-[A-Z]{4}$`)
	urlSafeText  = regexp.MustCompile(`^[\w-]+$`)
	resourcePath = regexp.MustCompile(`/resources/\w+/`)
)

// text replaces what differs from run to run, wherever it stands.
func (x *exchange) text(text string) string {
	text = strings.NewReplacer(x.names...).Replace(text)
	text = strings.ReplaceAll(text, x.side.base(), "{base}")
	text = strings.ReplaceAll(text, strings.TrimPrefix(x.side.base(), "http://"), "{host}")
	text = resourcePath.ReplaceAllString(text, "/resources/<version>/")
	return uuidText.ReplaceAllString(text, "<uuid>")
}

// shape is all that is contract of an opaque value.
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

// address is a URL, its parameters sorted and readable.
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

// pairs are form values, sorted and readable.
func (x *exchange) pairs(values url.Values) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			parts = append(parts, name+"="+x.value(name, value))
		}
	}
	return strings.Join(parts, "&")
}

// askedHeader is a header's value in a question: credentials readable, tokens not.
func (x *exchange) askedHeader(value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	if plain, err := base64.StdEncoding.DecodeString(rest); strings.EqualFold(scheme, "basic") &&
		err == nil && rest != "" {
		return scheme + " base64(" + x.text(string(plain)) + ")"
	}
	if _, ok := openToken(rest); ok {
		return scheme + " <jwt>"
	}
	if _, ok := openToken(value); ok {
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
