package realmfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A Profile is a realm's user profile (Keycloak's UPConfig): it defines and validates the
// attributes of users. A user with invalid attributes must correct them at the next sign-in, and
// can't use the password grant until then.
type Profile struct {
	Attributes      []profileAttribute `json:"attributes"`
	Groups          json.RawMessage    `json:"groups"`
	UnmanagedPolicy string             `json:"unmanagedAttributePolicy"`

	Unsupported []UnsupportedSetting `json:"-"`
}

type profileAttribute struct {
	Name        string                    `json:"name"`
	Validations map[string]map[string]any `json:"validations"`
	Required    *struct {
		Roles  []string `json:"roles"`
		Scopes []string `json:"scopes"`
	} `json:"required"`
	Permissions struct {
		View []string `json:"view"`
		Edit []string `json:"edit"`
	} `json:"permissions"`
	Selector struct {
		Scopes []string `json:"scopes"`
	} `json:"selector"`
	Multivalued bool `json:"multivalued"`

	// These fields are for pages that the fake Keycloak doesn't have.
	DisplayName  string          `json:"displayName"`
	Annotations  json.RawMessage `json:"annotations"`
	Group        string          `json:"group"`
	DefaultValue string          `json:"defaultValue"`

	validators         []validator
	uncheckedValidator string // the name of a validator whose values the fake can't check
}

// A validator reports whether a value is valid.
type validator func(value string) bool

// defaultProfile is the profile of a realm whose file has none.
const defaultProfile = `{"attributes": [
	{"name": "username", "validations": {"length": {"min": 3, "max": 255}, "username-prohibited-characters": {}, "up-username-not-idn-homograph": {}},
		"permissions": {"view": ["admin", "user"], "edit": ["admin", "user"]}},
	{"name": "email", "validations": {"email": {}, "length": {"max": 255}}, "required": {"roles": ["user"]},
		"permissions": {"view": ["admin", "user"], "edit": ["admin", "user"]}},
	{"name": "firstName", "validations": {"length": {"max": 255}, "person-name-prohibited-characters": {}}, "required": {"roles": ["user"]},
		"permissions": {"view": ["admin", "user"], "edit": ["admin", "user"]}},
	{"name": "lastName", "validations": {"length": {"max": 255}, "person-name-prohibited-characters": {}}, "required": {"roles": ["user"]},
		"permissions": {"view": ["admin", "user"], "edit": ["admin", "user"]}}]}`

// readProfile reads the configuration of a realm's user profile; "" means the default profile.
func readProfile(document string) (*Profile, error) {
	if document == "" {
		document = defaultProfile
	}
	var p Profile
	decoder := json.NewDecoder(bytes.NewReader([]byte(document)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "ENABLED", "ADMIN_VIEW", "ADMIN_EDIT"}, p.UnmanagedPolicy) {
		return nil, fmt.Errorf("unmanagedAttributePolicy: Keycloak has no policy %q",
			p.UnmanagedPolicy)
	}
	for i := range p.Attributes {
		a := &p.Attributes[i]
		if slices.ContainsFunc(p.Attributes[:i], func(other profileAttribute) bool {
			return other.Name == a.Name
		}) {
			return nil, fmt.Errorf("attribute %s: another attribute has this name", a.Name)
		}
		for _, name := range sortedNames(a.Validations) {
			v, err := newValidator(name, a.Validations[name])
			if err != nil {
				return nil, fmt.Errorf("attribute %s: validator %s is not supported: %w", a.Name,
					name, err)
			}
			if v != nil {
				a.validators = append(a.validators, v)
			} else {
				a.uncheckedValidator = name
			}
		}
		if a.Required != nil && len(a.Required.Scopes) > 0 ||
			len(a.Selector.Scopes) > 0 && (a.Required != nil || len(a.validators) > 0) {
			p.Unsupported = append(p.Unsupported, UnsupportedSetting{
				"the user profile's attribute " + a.Name +
					": scopes are not supported: whether the attribute is required would depend " +
					"on the request",
				UsePassword | UseLogin,
			})
		}
	}
	for _, name := range []string{"username", "email"} {
		if p.attribute(name) == nil {
			return nil, fmt.Errorf("the attribute %s is missing", name)
		}
	}
	return &p, nil
}

var attributeNamePattern = regexp.MustCompile(`\A[A-Za-z0-9_.-]+\z`)

// check returns an error if Keycloak's import would reject the profile. scopes has the realm's
// client scopes; nil means Keycloak's built-in scopes.
func (p *Profile) check(scopes []Scope) error {
	if scopes == nil {
		scopes = BuiltinScopes()
	}
	var groups []struct {
		Name string `json:"name"`
	}
	if len(p.Groups) > 0 {
		if err := json.Unmarshal(p.Groups, &groups); err != nil {
			return fmt.Errorf("groups: %w", err)
		}
	}
	for _, a := range p.Attributes {
		roles := slices.Concat(a.Permissions.View, a.Permissions.Edit)
		if a.Required != nil {
			roles = append(roles, a.Required.Roles...)
		}
		for _, name := range roles {
			if name != "admin" && name != "user" {
				return fmt.Errorf("attribute %s: %q: admin or user is expected", a.Name, name)
			}
		}
		for _, name := range a.Selector.Scopes {
			if !slices.ContainsFunc(scopes, func(s Scope) bool { return s.Name == name }) {
				return fmt.Errorf("attribute %s: the realm has no client scope %q", a.Name, name)
			}
		}
		if !attributeNamePattern.MatchString(a.Name) {
			return fmt.Errorf(
				"attribute %q: letters, digits, dots, hyphens and underscores are expected", a.Name)
		}
		if a.Group != "" && !slices.ContainsFunc(groups, func(g struct {
			Name string `json:"name"`
		}) bool {
			return g.Name == a.Group
		}) {
			return fmt.Errorf("attribute %s: the profile has no group %q", a.Name, a.Group)
		}
	}
	return nil
}

// attribute returns the attribute with this name, or nil.
func (p *Profile) attribute(name string) *profileAttribute {
	for i := range p.Attributes {
		if p.Attributes[i].Name == name {
			return &p.Attributes[i]
		}
	}
	return nil
}

// AdminCanSet reports whether administrators may set this attribute of users. The admin API
// silently drops attributes that administrators may not set. The import allows all attributes.
func (p *Profile) AdminCanSet(name string, settings *Realm) bool {
	if name == "locale" { // Keycloak adds this attribute to every profile
		return settings.InternationalizationEnabled
	}
	if a := p.attribute(name); a != nil {
		return slices.Contains(a.Permissions.Edit, "admin")
	}
	return p.UnmanagedPolicy == "ENABLED" || p.UnmanagedPolicy == "ADMIN_EDIT"
}

// IsComplete reports whether all attributes of a user are valid.
func (p *Profile) IsComplete(u *User, settings *Realm) bool {
	return len(p.InvalidAttributes(u, settings)) == 0
}

// InvalidAttributes returns the names of a user's missing and invalid attributes. Attributes that
// the user may not edit aren't checked.
func (p *Profile) InvalidAttributes(u *User, settings *Realm) (names []string) {
	for i := range p.Attributes {
		a := &p.Attributes[i]
		values := u.Attributes[a.Name]
		editable := slices.Contains(a.Permissions.Edit, "user")
		switch a.Name {
		case "username":
			values, editable = []string{u.Username},
				settings.EditUsernameAllowed && !settings.RegistrationEmailAsUsername
		case "email":
			values, editable = []string{u.Email}, editable || len(a.Permissions.Edit) == 0
		case "firstName":
			values = []string{u.FirstName}
		case "lastName":
			values = []string{u.LastName}
		}
		if editable && !a.isValid(values) {
			names = append(names, a.Name)
		}
	}
	return names
}

// isValid reports whether the attribute may have these values.
func (a *profileAttribute) isValid(values []string) bool {
	if a.isRequired() &&
		!slices.ContainsFunc(values, func(value string) bool {
			return strings.TrimSpace(value) != ""
		}) {
		return false
	}
	if config := a.Validations["multivalued"]; len(values) > 1 &&
		(!a.Multivalued || len(values) > int(numberSetting(config, "max", math.MaxInt32))) {
		return false
	}
	for _, value := range values {
		for _, isValid := range a.validators {
			if value != "" && !isValid(value) {
				return false
			}
		}
	}
	return true
}

// isRequired reports whether users must have the attribute.
func (a *profileAttribute) isRequired() bool {
	return a.Required != nil &&
		(len(a.Required.Roles) == 0 || slices.Contains(a.Required.Roles, "user"))
}

// UncheckedAttribute returns the name of an attribute of the user whose values the fake can't
// check, followed by the name of the validator. It returns "" if there is no such attribute.
func (p *Profile) UncheckedAttribute(u *User) string {
	for _, a := range p.Attributes {
		if a.uncheckedValidator != "" && len(u.Attributes[a.Name]) > 0 {
			return a.Name + ", validator " + a.uncheckedValidator
		}
	}
	return ""
}

// numberSetting returns the number with this name in a validator's configuration. The number may be
// written as a string.
func numberSetting(config map[string]any, name string, fallback float64) float64 {
	switch value := config[name].(type) {
	case float64:
		return value
	case string:
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			return n
		}
	}
	return fallback
}

var (
	personNamePattern = regexp.MustCompile(
		`\A[^<>&"\n\v\f\r\x85\x{2028}\x{2029}$%!#?§;*~/\\|^=\[\]{}()[:cntrl:]]+\z`)
	usernamePattern = regexp.MustCompile(
		`\A[^<>&"'\s\v\x85\x{2028}\x{2029}\xA0\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}$%!#?§,;:*~/\\|^=\[\]{}()` + "`" + `[:cntrl:]]+\z`)
	integerPattern    = regexp.MustCompile(`\A[+-]?[0-9]+\z`)
	emailLocalPattern = regexp.MustCompile(`(?i)\A(?:[a-z0-9!#$%&'*+/=?^_` + "`" +
		`{|}~\x{80}-\x{ffff}-]+|"[^"]+")(?:\.(?:[a-z0-9!#$%&'*+/=?^_` + "`" +
		`{|}~\x{80}-\x{ffff}-]+|"[^"]+"))*\z`)
	emailDomainPattern = regexp.MustCompile(`(?i)\A(?:` + domainLabel + `(?:\.` + domainLabel +
		`)*|\[[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\]|\[IPv6:[0-9a-f:.]+\])\z`)
)

const maxEmailLocal = 64 // the maximum length of the part of an email address before the @

const domainLabel = `(?:[a-z\x{80}-\x{ffff}0-9!#$%&'*+/=?^` + "`" +
	`{|}~]-*)*[a-z\x{80}-\x{ffff}0-9!#$%&'*+/=?^` + "`" + `{|}~]`

// validEmail reports whether Keycloak accepts an e-mail address.
func validEmail(address string) bool {
	i := strings.LastIndex(address, "@")
	if i < 0 || javaLength(address[:i]) > maxEmailLocal {
		return false
	}
	domain := address[i+1:]
	isTooLong := func(label string) bool { return len(label) > 63 }
	return emailLocalPattern.MatchString(address[:i]) && emailDomainPattern.MatchString(domain) &&
		len(domain) <= 255 && !slices.ContainsFunc(strings.Split(domain, "."), isTooLong)
}

// newValidator returns a validator, or nil if Keycloak has the validator but the fake can't check
// values with it.
func newValidator(name string, config map[string]any) (validator, error) {
	for _, limit := range []string{"min", "max"} {
		if value, ok := config[limit]; ok && math.IsNaN(numberSetting(config, limit, math.NaN())) {
			return nil, fmt.Errorf("%s: %v: a number is expected", limit, value)
		}
	}
	minValue := numberSetting(config, "min", math.Inf(-1))
	maxValue := numberSetting(config, "max", math.Inf(1))
	switch name {
	case "length":
		return func(value string) bool {
			if config["trim-disabled"] != true && config["trim-disabled"] != "true" {
				value = strings.TrimSpace(value)
			}
			n := float64(javaLength(value))
			return n >= minValue && n <= maxValue
		}, nil
	case "integer":
		return func(value string) bool {
			n, err := strconv.ParseInt(value, 10, 64)
			return err == nil && integerPattern.MatchString(value) && float64(n) >= minValue &&
				float64(n) <= maxValue
		}, nil
	case "double":
		return func(value string) bool {
			n, err := strconv.ParseFloat(value, 64)
			return err == nil && n >= minValue && n <= maxValue
		}, nil
	case "options":
		options, _ := config["options"].([]any)
		return func(value string) bool { return slices.Contains(options, any(value)) }, nil
	case "pattern":
		text, ok := config["pattern"].(string)
		if !ok {
			return nil, errors.New("pattern is missing")
		}
		pattern, err := regexp.Compile(`\A(?:` + text + `)\z`)
		if err != nil && invalidInJava(err) {
			return nil, err
		} else if err != nil {
			return nil, nil
		}
		return pattern.MatchString, nil
	case "email":
		return validEmail, nil
	case "person-name-prohibited-characters":
		return personNamePattern.MatchString, nil
	case "username-prohibited-characters":
		return usernamePattern.MatchString, nil
	case "up-username-not-idn-homograph":
		return func(value string) bool {
			return !strings.ContainsFunc(value, func(c rune) bool {
				return !unicode.In(c, unicode.Latin, unicode.Common)
			})
		}, nil
	case "uri":
		return validURI, nil
	case "iso-date":
		return func(value string) bool {
			_, err := time.Parse(time.DateOnly, value)
			return err == nil
		}, nil
	case "not-blank":
		return func(value string) bool { return strings.TrimSpace(value) != "" }, nil
	case "not-empty":
		return func(value string) bool { return value != "" }, nil
	case "local-date":
		return nil, nil // the format depends on the user's language
	case "multivalued": // isValid checks the number of values
		return func(string) bool { return true }, nil
	}
	return nil, errors.New(
		"the fake Keycloak has double, email, integer, length, multivalued, options, pattern and " +
			"Keycloak's validators of names")
}

// invalidInJava reports whether a pattern that Go rejects with err is invalid in Java, too. Java
// accepts patterns that Go doesn't support.
func invalidInJava(err error) bool {
	var syntaxErr *syntax.Error
	return errors.As(err, &syntaxErr) && slices.Contains([]syntax.ErrorCode{
		syntax.ErrMissingParen, syntax.ErrUnexpectedParen, syntax.ErrMissingBracket,
		syntax.ErrTrailingBackslash,
	}, syntaxErr.Code)
}

// validURI reports whether Keycloak's validator accepts a URI. The scheme must be http or https,
// and the URI must have a host.
func validURI(value string) bool {
	parsed, err := url.Parse(value)
	return err == nil && (parsed.Scheme == "http" || parsed.Scheme == "https") && parsed.Host != ""
}

// sortedNames returns the sorted keys of a map.
func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
