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

// A timing has the windows in which a time in a response may have been created.
type timing struct {
	window      window // of the request whose response has the value
	issueWindow window // of the request that issued the token; zero if the object has no iat
}

// opaqueFields are fields and parameters with opaque values: only their shape is recorded.
var opaqueFields = newSet("kid", "sid", "session_state", "jti", "at_hash", "c_hash", "s_hash",
	"x5t", "x5t#S256", "n", "x", "y", "code", "device_code", "user_code", "reuse_id", "jkt", "otp",
	"totp", "ath")

// internalParams are parameters that only Keycloak's own pages use. Not even the shape of their
// values is recorded.
var internalParams = newSet("session_code", "tab_id", "client_data", "execution")

// timeFields are fields with a time in seconds.
var timeFields = newSet("exp", "iat", "nbf", "auth_time", "updated_at", "tokens-not-before",
	"not-before-policy")

// millisecondFields are fields with a time in milliseconds.
var millisecondFields = newSet("start", "lastAccess", "createdTimestamp", "createdDate", "time")

// remainingFields are fields with a number of remaining seconds. This number may be less than the
// configured lifespan, because time has passed.
var remainingFields = newSet("expires_in", "refresh_expires_in")

// newSet returns a set of names.
func newSet(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

// render formats a JSON value, with fields and array items sorted, and short objects on one line.
// key is the name of the field with the value.
func (s *scenario) render(key string, value any, tm timing, indent string) string {
	switch value := value.(type) {
	case object:
		return s.renderObject(value, tm, indent)
	case []any:
		if key == "x5c" {
			return describeCertificates(value)
		}
		var items []string
		for _, item := range value {
			items = append(items, s.render(key, item, tm, indent+"  "))
		}
		slices.Sort(items)
		if list := strings.Join(items, ", "); !strings.Contains(list, "\n") && len(list) < 160 {
			return "[" + list + "]"
		}
		return "[\n" + indent + "  " + strings.Join(items, ",\n"+indent+"  ") + "\n" + indent + "]"
	case string:
		return quote(s.normalizeValue(key, value))
	case json.Number, float64:
		return s.formatNumber(key, value, tm)
	}
	text, _ := json.Marshal(value)
	return string(text)
}

// renderObject is like render, for an object.
func (s *scenario) renderObject(value object, tm timing, indent string) string {
	tm.issueWindow = s.issueWindow(value, tm.window)
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(value)) {
		fields = append(fields,
			quote(s.normalize(name))+": "+s.render(name, value[name], tm, indent+"  "))
	}
	if line := strings.Join(fields, ", "); len(fields) <= 2 && !strings.Contains(line, "\n") {
		return "{" + line + "}"
	}
	return "{\n" + indent + "  " + strings.Join(fields, ",\n"+indent+"  ") + "\n" + indent + "}"
}

// quote formats a string as JSON.
func quote(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}

// formatNumber formats a number. A time becomes an offset, because it differs from run to run.
func (s *scenario) formatNumber(key string, value any, tm timing) string {
	secs := asInt(value)
	switch {
	// A refresh_expires_in of 0 means never.
	case remainingFields[key] && (secs != 0 || key == "expires_in"):
		return formatOffset("~", s.remaining(secs, tm.window))
	case timeFields[key] && secs > 1e9 && key == "iat":
		return formatOffset("now", tm.issueWindow.offset(secs, tm.window))
	case timeFields[key] && secs > 1e9 && !tm.issueWindow.isZero():
		return formatOffset("iat", s.offset(secs, tm.issueWindow))
	case timeFields[key] && secs > 1e9:
		return formatOffset("now", s.offset(secs, tm.window))
	case millisecondFields[key] && secs > 1e12:
		return formatOffset("now", s.offset(secs/1000, tm.window)) + " ms"
	}
	text, _ := json.Marshal(value)
	return string(text)
}

// asInt returns a JSON number as an integer, or 0 for other values.
func asInt(value any) int64 {
	switch value := value.(type) {
	case json.Number:
		n, _ := strconv.ParseInt(value.String(), 10, 64)
		return n
	case float64:
		return int64(value)
	}
	return 0
}

// normalizeValue normalizes a string. key is the name of the field or parameter with this value.
func (s *scenario) normalizeValue(key, text string) string {
	switch {
	case key == "scope":
		return s.normalize(sortedWords(text, " "))
	case key == "public_key":
		return describePublicKey(text)
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
	case opaqueFields[key] && strings.NewReplacer(s.placeholders...).Replace(text) == text:
		return describeFormat(text)
	}
	return s.normalize(text)
}

var (
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// An authorization code has the form <uuid>.<session>.<uuid>. A user code has the form
	// ABCD-EFGH.
	codePattern         = regexp.MustCompile(`^<uuid>\.[\w-]{24}\.<uuid>$`)
	userCodePattern     = regexp.MustCompile(`^[A-Z]{4}-[A-Z]{4}$`)
	urlSafePattern      = regexp.MustCompile(`^[\w-]+$`)
	resourcePathPattern = regexp.MustCompile(`/resources/\w+/`)
)

// normalize replaces the parts of a string that differ from run to run.
func (s *scenario) normalize(text string) string {
	text = strings.NewReplacer(s.placeholders...).Replace(text)
	text = strings.ReplaceAll(text, s.kc.baseURL(), "{base}")
	text = strings.ReplaceAll(text, strings.TrimPrefix(s.kc.baseURL(), "http://"), "{host}")
	text = resourcePathPattern.ReplaceAllString(text, "/resources/<version>/")
	return uuidPattern.ReplaceAllString(text, "<uuid>")
}

// describeFormat describes the form and the length of an opaque value.
func describeFormat(text string) string {
	text = uuidPattern.ReplaceAllString(text, "<uuid>")
	switch {
	case text == "" || strings.HasPrefix(text, "<uuid>") && len(text) == len("<uuid>") ||
		strings.HasSuffix(text, ":<uuid>"):
		return text
	case codePattern.MatchString(text):
		return "<uuid>.<24 chars>.<uuid>"
	case userCodePattern.MatchString(text):
		return "<ABCD-EFGH>"
	case urlSafePattern.MatchString(text):
		return fmt.Sprintf("<%d chars>", len(text))
	}
	return fmt.Sprintf("<%d chars, not all URL-safe>", len(text))
}

// formatURL formats a URL, with sorted and decoded parameters.
func (s *scenario) formatURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return s.normalize(address)
	}
	query, fragment := u.Query(), u.Fragment
	u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
	text := s.normalize(u.String())
	if len(query) > 0 {
		text += "?" + s.formatForm(query)
	}
	if values, err := url.ParseQuery(fragment); err == nil && strings.Contains(fragment, "=") {
		text += "#" + s.formatForm(values)
	} else if fragment != "" {
		text += "#" + s.normalize(fragment)
	}
	return text
}

// formatForm formats form values, sorted and decoded.
func (s *scenario) formatForm(values url.Values) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			parts = append(parts, name+"="+s.normalizeValue(name, value))
		}
	}
	return strings.Join(parts, "&")
}

// formatHeader formats the value of a request header. It decodes Basic credentials and omits
// tokens.
func (s *scenario) formatHeader(value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	credentials, err := base64.StdEncoding.DecodeString(rest)
	if strings.EqualFold(scheme, "basic") && err == nil && rest != "" {
		return scheme + " base64(" + s.normalize(string(credentials)) + ")"
	}
	if _, ok := decodeToken(rest); ok {
		return scheme + " <jwt>"
	}
	if _, ok := decodeToken(value); ok {
		return "<jwt>"
	}
	return s.normalize(value)
}

// sortedWords sorts the words of a string.
func sortedWords(text, separator string) string {
	words := strings.Split(text, separator)
	slices.Sort(words)
	return strings.Join(words, separator)
}

// describePublicKey describes a base64-encoded public key.
func describePublicKey(text string) string {
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

// describeCertificates describes a chain of base64-encoded certificates.
func describeCertificates(chain []any) string {
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
