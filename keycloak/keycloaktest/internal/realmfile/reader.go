package realmfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// What becomes of what a realm file says. Keycloak 26.7.4 is the measure: this reader takes what
// its import takes, and refuses what it refuses.
//
//   - A member that can change an answer of OpenID Connect is read: representation.go has a field
//     for it.
//   - A member that can't is ignored, and keycloaktest's Realm.Ignored lists it: themes, events,
//     mail, SAML, display texts.
//   - A member that Keycloak doesn't know is an error, and so is one of another type. Types are
//     Jackson's: a number or a flag passes for a text, "30" for a number, "true" for a flag.
//   - What changes answers and isn't done here loads, and is refused with 501 where it is used
//     (unsupported.go): organizations at the login page, another store's users at their sign-in, a
//     flow at the grant that it is for, a mapper where its claim would be. No test of the rest of
//     the realm meets it.
//   - What Keycloak's import refuses is an error: names that are there twice, references to what
//     isn't there, providers and values that Keycloak hasn't.
//   - Private keys and hashed passwords are ignored and listed: keys are made anew, and a user
//     whose password is hashed can't sign in with it until SetPassword.
//   - A placeholder such as ${SECRET:dev} is an error: Keycloak's --import-realm fills it in from
//     its environment, which a stand-in doesn't read, and the text as it is would be a wrong
//     secret.
//
// The tables of members are in schema.go.

// A schema is what a member may hold.
type schema struct {
	expected string                      // for errors: "a text"
	scalar   func(value any) (any, bool) // reports whether a value, which isn't null, passes
	items    *schema                     // of a list
	values   *schema                     // of a map
	record   *record
}

// A record is one of Keycloak's representations.
type record struct {
	name    string
	fields  map[string]field
	lenient bool // unknown members pass, as Keycloak lets them

	// What becomes of one in a list that has no name, not even an empty one.
	nameRule  nameRule
	nameField string // empty: name
}

// A nameRule is what an import does with something that has no name.
type nameRule int

const (
	nameOptional    nameRule = iota // it may have another, or the reader looks at it later
	nameRequired                    // it refuses it
	namelessIgnored                 // it takes it, and nothing can refer to it: ignored and listed
)

// A disposition is what becomes of a member.
type disposition int

const (
	dispositionDecode disposition = iota
	dispositionIgnore             // ignored and listed, if it says anything
	dispositionRefuse             // an error, if it says anything
)

type field struct {
	schema      *schema
	disposition disposition
	why         string // a refused one's
}

// A path is where in a document a value is.
type path struct {
	parent *path
	name   string // of a member, with its dot; of an item, its brackets
	index  int    // of an item, if name is empty
}

func (p *path) field(name string) *path { return &path{parent: p, name: "." + name} }
func (p *path) key(name string) *path   { return &path{parent: p, name: "[" + name + "]"} }
func (p *path) item(index int) *path    { return &path{parent: p, index: index} }

// String is the path for errors, such as clients[2].redirectUris.
func (p *path) String() string { return p.format(false) }

// general is the path for what is listed, the same for all items of a list or a map.
func (p *path) pattern() string { return p.format(true) }

func (p *path) format(pattern bool) string {
	var parts []string
	for ; p != nil; p = p.parent {
		switch {
		case pattern && !strings.HasPrefix(p.name, "."):
			parts = append(parts, "[]")
		case p.name == "":
			parts = append(parts, "["+strconv.Itoa(p.index)+"]")
		default:
			parts = append(parts, p.name)
		}
	}
	slices.Reverse(parts)
	return strings.TrimPrefix(strings.Join(parts, ""), ".")
}

// A reader goes through one document.
type reader struct {
	ignored   map[string]bool
	problems  []error
	typesOnly bool // nothing of this is read: only types matter
}

const (
	maxProblems = 20  // that are reported of one document
	maxIgnored  = 200 // that are listed of one realm
)

func (r *reader) problem(at *path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path := at.String(); path != "" {
		text = path + ": " + text
	}
	r.problems = append(r.problems, errors.New(text))
}

func (r *reader) ignore(what string) {
	if r.ignored == nil {
		r.ignored = map[string]bool{}
	}
	r.ignored[what] = true
}

// ignoredPaths are those of what was ignored, sorted and bounded.
func (r *reader) ignoredPaths() []string {
	all := slices.Sorted(maps.Keys(r.ignored))
	if more := len(all) - maxIgnored; more > 0 {
		all = append(all[:maxIgnored:maxIgnored], fmt.Sprintf("and %d more", more))
	}
	return all
}

func (r *reader) err() error {
	if more := len(r.problems) - maxProblems; more > 0 {
		r.problems = append(r.problems[:maxProblems], fmt.Errorf("and %d more", more))
	}
	return errors.Join(r.problems...)
}

// decode returns a value as its schema reads it. What isn't read is dropped, null too, which
// Keycloak takes for nothing said.
func (r *reader) decode(at *path, s *schema, value any) (any, bool) {
	if value == nil || len(r.problems) > maxProblems {
		return nil, false
	}
	switch {
	case s.scalar != nil:
		decoded, ok := s.scalar(value)
		if !ok {
			r.problem(at, "%s is expected", s.expected)
		}
		if ok && !r.typesOnly {
			r.checkPlaceholder(at, decoded)
		}
		return decoded, ok && decoded != nil
	case s.items != nil:
		list, ok := value.([]any)
		if !ok {
			r.problem(at, "a list is expected")
			return nil, false
		}
		out := make([]any, 0, len(list))
		for i, item := range list {
			if item == nil {
				r.problem(at.item(i), "null in a list")
			} else if decoded, said := r.decode(at.item(i), s.items, item); said &&
				r.named(at.item(i), s.items.record, decoded) {
				out = append(out, decoded)
			}
		}
		return out, true
	}
	object, ok := value.(map[string]any)
	if !ok {
		r.problem(at, "an object is expected")
		return nil, false
	}
	out := make(map[string]any, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if s.values != nil {
			if decoded, said := r.decode(at.key(name), s.values, object[name]); said {
				out[name] = decoded
			}
			continue
		}
		if decoded, said := r.decodeField(at.field(name), s.record, name, object[name]); said {
			out[name] = decoded
		}
	}
	return out, true
}

// named reports whether an item of a list is kept: it may have to have a name.
func (r *reader) named(at *path, of *record, item any) bool {
	if of == nil || of.nameRule == nameOptional || r.typesOnly {
		return true
	}
	name := cmp.Or(of.nameField, "name")
	_, named := item.(map[string]any)[name]
	switch {
	case named:
	case of.nameRule == nameRequired:
		r.problem(at.field(name), "missing")
	default:
		r.ignore(at.pattern() + " (without a name)")
	}
	return named
}

func (r *reader) decodeField(at *path, of *record, name string, value any) (any, bool) {
	f, known := of.fields[name]
	if !known {
		if !of.lenient {
			r.problem(at, "no member of Keycloak's %s", of.name)
		}
		return nil, false
	}
	if f.disposition == dispositionDecode {
		return r.decode(at, f.schema, value)
	}
	within := &reader{typesOnly: true}
	within.decode(at, f.schema, value)
	r.problems = append(r.problems, within.problems...)
	if isEmpty(value) || r.typesOnly {
		return nil, false
	}
	if f.disposition == dispositionRefuse {
		r.problem(at, "not supported: %s", f.why)
	} else {
		r.ignore(at.pattern())
	}
	return nil, false
}

// isEmpty reports whether a value says nothing that leaving it out wouldn't say.
func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == ""
	case bool:
		return !value
	case json.Number:
		return value == "0"
	case []any:
		return len(value) == 0
	case map[string]any:
		for _, member := range value {
			if !isEmpty(member) {
				return false
			}
		}
		return true
	}
	return false
}

// normalize returns a document as its record reads it: the members that are read, each in its own
// type.
func (r *reader) normalize(document []byte, of *record) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON document")
	}
	if object, is := value.(map[string]any); !is {
		return nil, errors.New("a JSON object is expected")
	} else if of == schemas().realm {
		applyAttributeOverrides(object)
	}
	decoded, _ := r.decode(nil, &schema{record: of}, value)
	if err := r.err(); err != nil {
		return nil, err
	}
	return json.Marshal(decoded)
}

// attributeOverrides are the attributes of a realm that are members by another way: where a file
// has both, the attribute wins.
var attributeOverrides = []string{
	"bruteForceProtected", "bruteForceStrategy", "permanentLockout", "maxTemporaryLockouts",
	"maxFailureWaitSeconds", "minimumQuickLoginWaitSeconds", "waitIncrementSeconds",
	"quickLoginCheckMilliSeconds", "maxDeltaTimeSeconds", "failureFactor",
	"maxSecondaryAuthFailures", "clientSessionIdleTimeout", "clientSessionMaxLifespan",
	"clientOfflineSessionIdleTimeout", "clientOfflineSessionMaxLifespan",
	"offlineSessionMaxLifespanEnabled", "offlineSessionMaxLifespan", "oauth2DeviceCodeLifespan",
	"oauth2DevicePollingInterval", "defaultSignatureAlgorithm", "organizationsEnabled",
}

func applyAttributeOverrides(realm map[string]any) {
	attributes, _ := realm["attributes"].(map[string]any)
	for _, name := range attributeOverrides {
		if value := attributes[name]; value != nil {
			realm[name] = value
		}
	}
}

// ReadUser reads a member of users.
func ReadUser(document []byte) (u User, err error) {
	normal, err := new(reader).normalize(document, schemas().user)
	if err == nil {
		err = json.Unmarshal(normal, &u)
	}
	return u, err
}

// PatchRealm returns a realm with the members of a piece of a realm file in place of its own.
func PatchRealm(old Realm, patch []byte) (Realm, error) {
	changed, err := merge(old, patch, schemas().realm, immutableFields...)
	if err != nil {
		return changed, err
	}
	changed.found = old.found
	check := &reader{}
	check.checkSettings(&changed)
	return changed, check.err()
}

// PatchClient is PatchRealm for a client.
func PatchClient(old Client, patch []byte) (Client, error) {
	changed, err := merge(old, patch, schemas().client)
	if err != nil {
		return changed, err
	}
	check := &reader{}
	check.checkClient(nil, &changed)
	return changed, check.err()
}

// PatchUser is PatchRealm for a user.
func PatchUser(old User, patch []byte) (User, error) {
	return merge(old, patch, schemas().user, "id", "realmRoles", "clientRoles", "groups",
		"credentials", "serviceAccountClientId")
}

// Read reads a realm file, and lists what it leaves aside.
func Read(file []byte) (Realm, []string, error) {
	var out Realm
	r := &reader{}
	normal, err := r.normalize(file, schemas().realm)
	if err != nil {
		return out, nil, err
	}
	if err := json.Unmarshal(normal, &out); err != nil {
		return out, nil, err
	}
	out.migrate()
	r.checkRealm(&out)
	r.checkSettings(&out)
	if err := r.err(); err != nil {
		return Realm{}, nil, err
	}
	return out, r.ignoredPaths(), nil
}

// immutableFields are the members of a realm file that a realm is built of, once.
var immutableFields = []string{
	"id", "realm", "clients", "clientScopes", "users", "roles", "groups", "defaultRole",
	"defaultRoles", "defaultGroups", "components", "scopeMappings", "clientScopeMappings",
	"defaultDefaultClientScopes", "defaultOptionalClientScopes",
}

// merge returns a representation with the members of a patch in place of its own. What was there
// isn't touched, so that a patch that fails changes nothing. fixed are the members that can't be
// changed.
func merge[T any](old T, patch []byte, of *record, immutable ...string) (changed T, err error) {
	var members, changes map[string]json.RawMessage
	if patch, err = new(reader).normalize(patch, of); err != nil {
		return changed, err
	}
	if err := json.Unmarshal(patch, &changes); err != nil {
		return changed, err
	}
	for name := range changes {
		if slices.Contains(immutable, name) {
			return changed, fmt.Errorf("%s can't be changed with Update", name)
		}
	}
	if err := json.Unmarshal(mustMarshal(old), &members); err != nil {
		return changed, err
	}
	maps.Copy(members, changes)
	err = json.Unmarshal(mustMarshal(members), &changed)
	return changed, err
}

// encoded is a value of ours as JSON; all of them can be written.
func mustMarshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
