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

// How a realm file is read:
//
//   - A field that can affect an OpenID Connect response is decoded: the structs in
//     representation.go have it.
//   - Other fields are ignored, and keycloaktest's Realm.Ignored lists them: themes, events,
//     mail, SAML, display texts.
//   - An unknown field or a wrong type is an error. Types are converted as in Jackson: a number or
//     a boolean is accepted as a string, "30" as a number, "true" as a boolean.
//   - An unsupported setting that would affect responses is loaded, but requests that depend on the
//     setting get a 501 (unsupported.go). For example, an unsupported flow affects only requests
//     with its grant, and an unsupported mapper affects only responses that would contain the
//     mapper's claim.
//   - Anything that Keycloak's import rejects is an error: duplicate names, dangling references,
//     providers and values that Keycloak doesn't have.
//   - Private keys and hashed passwords are ignored and listed: the fake Keycloak generates its own
//     keys, and a user with a hashed password can only sign in after SetPassword.
//   - A placeholder such as ${SECRET:dev} is an error: Keycloak's --import-realm replaces it from
//     the environment, which the fake doesn't read. Taken literally, the placeholder would be a
//     wrong secret.
//
// The schemas are in schema.go.

// A schema describes a field's values: a scalar, a list, a map, or a record.
type schema struct {
	typeName string                      // of a scalar, for errors, such as "a text"
	scalar   func(value any) (any, bool) // decodes a value other than null; false if invalid
	items    *schema                     // for a list
	values   *schema                     // for a map
	record   *record
}

// A record is one of Keycloak's representations.
type record struct {
	name    string
	fields  map[string]field
	lenient bool // unknown fields are allowed, as in Keycloak

	// nameRule is for list items that don't have the field nameField. An empty name counts as a
	// name.
	nameRule  nameRule
	nameField string // empty: "name"
}

// A nameRule says how the import treats an item without a name.
type nameRule int

const (
	nameOptional    nameRule = iota // items have no names, or the names are checked later
	nameRequired                    // the import rejects the item
	namelessIgnored                 // nothing can refer to the item: it is ignored and listed
)

// A disposition says how the reader treats a field.
type disposition int

const (
	dispositionDecode disposition = iota
	dispositionIgnore             // ignore it, and list it unless it is empty
	dispositionReject             // report an error unless it is empty
)

type field struct {
	schema      *schema
	disposition disposition
	reason      string // for dispositionReject: why it is an error
}

// A fieldPath is the position of a value in a document; nil is the root.
type fieldPath struct {
	parent *fieldPath
	name   string // ".field" or "[key]"; empty for an item of a list
	index  int    // of the item, if name is empty
}

func (p *fieldPath) field(name string) *fieldPath {
	return &fieldPath{parent: p, name: "." + name}
}

func (p *fieldPath) key(name string) *fieldPath {
	return &fieldPath{parent: p, name: "[" + name + "]"}
}

func (p *fieldPath) item(index int) *fieldPath { return &fieldPath{parent: p, index: index} }

// String returns the path for errors, such as clients[2].redirectUris.
func (p *fieldPath) String() string { return p.format(false) }

// pattern returns the path without indices and keys, such as clients[].redirectUris, for the list
// of ignored fields.
func (p *fieldPath) pattern() string { return p.format(true) }

func (p *fieldPath) format(pattern bool) string {
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

// A reader decodes and checks one document.
type reader struct {
	ignoredFields  map[string]bool
	problems       []error
	checkTypesOnly bool // only report wrong types, because the reader ignores the value
}

const (
	maxProblems = 20  // limits the reported problems of a document
	maxIgnored  = 200 // limits the listed paths of ignored fields
)

// report adds an error about the value at a path of the document.
func (r *reader) report(path *fieldPath, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if prefix := path.String(); prefix != "" {
		text = prefix + ": " + text
	}
	r.problems = append(r.problems, errors.New(text))
}

// ignore adds a path to the list of ignored fields.
func (r *reader) ignore(path string) {
	if r.ignoredFields == nil {
		r.ignoredFields = map[string]bool{}
	}
	r.ignoredFields[path] = true
}

// ignoredPaths returns the sorted paths of ignored fields, at most maxIgnored of them.
func (r *reader) ignoredPaths() []string {
	paths := slices.Sorted(maps.Keys(r.ignoredFields))
	if omittedCount := len(paths) - maxIgnored; omittedCount > 0 {
		paths = append(paths[:maxIgnored:maxIgnored], fmt.Sprintf("and %d more", omittedCount))
	}
	return paths
}

// err returns the reported problems as one error, or nil if there are none.
func (r *reader) err() error {
	if omittedCount := len(r.problems) - maxProblems; omittedCount > 0 {
		r.problems = append(r.problems[:maxProblems], fmt.Errorf("and %d more", omittedCount))
	}
	return errors.Join(r.problems...)
}

// decode converts a value to its schema's type. It returns false if the value is invalid, ignored
// or null. For Keycloak, null means the same as an absent value.
func (r *reader) decode(path *fieldPath, s *schema, value any) (any, bool) {
	if value == nil || len(r.problems) > maxProblems {
		return nil, false
	}
	switch {
	case s.scalar != nil:
		decoded, ok := s.scalar(value)
		if !ok {
			r.report(path, "%s is expected", s.typeName)
		}
		if ok && !r.checkTypesOnly {
			r.checkPlaceholder(path, decoded)
		}
		return decoded, ok && decoded != nil
	case s.items != nil:
		list, ok := value.([]any)
		if !ok {
			r.report(path, "a list is expected")
			return nil, false
		}
		out := make([]any, 0, len(list))
		for i, item := range list {
			if item == nil {
				r.report(path.item(i), "null in a list")
			} else if decoded, ok := r.decode(path.item(i), s.items, item); ok &&
				r.checkName(path.item(i), s.items.record, decoded) {
				out = append(out, decoded)
			}
		}
		return out, true
	}
	object, ok := value.(map[string]any)
	if !ok {
		r.report(path, "an object is expected")
		return nil, false
	}
	out := make(map[string]any, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if s.values != nil {
			if decoded, ok := r.decode(path.key(name), s.values, object[name]); ok {
				out[name] = decoded
			}
			continue
		}
		if decoded, ok := r.decodeField(path.field(name), s.record, name, object[name]); ok {
			out[name] = decoded
		}
	}
	return out, true
}

// checkName applies a record's nameRule to a list item, and reports whether to keep the item.
func (r *reader) checkName(path *fieldPath, rec *record, item any) bool {
	if rec == nil || rec.nameRule == nameOptional || r.checkTypesOnly {
		return true
	}
	name := cmp.Or(rec.nameField, "name")
	_, hasName := item.(map[string]any)[name]
	switch {
	case hasName:
	case rec.nameRule == nameRequired:
		r.report(path.field(name), "missing")
	default:
		r.ignore(path.pattern() + " (without a name)")
	}
	return hasName
}

// decodeField is like decode, for the field of a record with this name.
func (r *reader) decodeField(path *fieldPath, rec *record, name string, value any) (any, bool) {
	f, ok := rec.fields[name]
	if !ok {
		if !rec.lenient {
			r.report(path, "not a field of Keycloak's %s", rec.name)
		}
		return nil, false
	}
	if f.disposition == dispositionDecode {
		return r.decode(path, f.schema, value)
	}
	typeChecker := &reader{checkTypesOnly: true}
	typeChecker.decode(path, f.schema, value)
	r.problems = append(r.problems, typeChecker.problems...)
	if isEmpty(value) || r.checkTypesOnly {
		return nil, false
	}
	if f.disposition == dispositionReject {
		r.report(path, "not supported: %s", f.reason)
	} else {
		r.ignore(path.pattern())
	}
	return nil, false
}

// isEmpty reports whether a value means the same as an absent value.
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
		for _, v := range value {
			if !isEmpty(v) {
				return false
			}
		}
		return true
	}
	return false
}

// normalize decodes a document and returns its fields as JSON, with values of the schema's types.
func (r *reader) normalize(document []byte, rec *record) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("unexpected data after the JSON document")
	}
	if object, ok := value.(map[string]any); !ok {
		return nil, errors.New("a JSON object is expected")
	} else if rec == schemas().realm {
		applyAttributeOverrides(object)
	}
	decoded, _ := r.decode(nil, &schema{record: rec}, value)
	if err := r.err(); err != nil {
		return nil, err
	}
	return json.Marshal(decoded)
}

// attributeOverrides are the realm attributes that set the realm field with the same name. If a
// file has the attribute and the field, the attribute applies.
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

// ReadUser reads one user of a realm file.
func ReadUser(document []byte) (u User, err error) {
	normalized, err := new(reader).normalize(document, schemas().user)
	if err == nil {
		err = json.Unmarshal(normalized, &u)
	}
	return u, err
}

// PatchRealm returns a copy of old in which the fields of patch, a fragment of a realm file,
// replace the old fields.
func PatchRealm(old Realm, patch []byte) (Realm, error) {
	changed, err := merge(old, patch, schemas().realm, immutableFields...)
	if err != nil {
		return changed, err
	}
	changed.derivedFields = old.derivedFields
	checker := &reader{}
	checker.checkSettings(&changed)
	return changed, checker.err()
}

// PatchClient returns a copy of old in which the fields of patch replace the old fields.
func PatchClient(old Client, patch []byte) (Client, error) {
	changed, err := merge(old, patch, schemas().client)
	if err != nil {
		return changed, err
	}
	checker := &reader{}
	checker.checkClient(nil, &changed)
	return changed, checker.err()
}

// PatchUser returns a copy of old in which the fields of patch replace the old fields.
func PatchUser(old User, patch []byte) (User, error) {
	return merge(old, patch, schemas().user, "id", "realmRoles", "clientRoles", "groups",
		"credentials", "serviceAccountClientId")
}

// Read reads a realm file. It also returns the paths of the fields that it ignores.
func Read(file []byte) (Realm, []string, error) {
	var out Realm
	r := &reader{}
	normalized, err := r.normalize(file, schemas().realm)
	if err != nil {
		return out, nil, err
	}
	if err := json.Unmarshal(normalized, &out); err != nil {
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

// immutableFields are the fields of a realm file that are only used when the realm is built.
var immutableFields = []string{
	"id", "realm", "clients", "clientScopes", "users", "roles", "groups", "defaultRole",
	"defaultRoles", "defaultGroups", "components", "scopeMappings", "clientScopeMappings",
	"defaultDefaultClientScopes", "defaultOptionalClientScopes", "organizations",
}

// merge returns a copy of old in which the fields of patch replace the old fields. It returns an
// error if the patch has an immutable field.
func merge[T any](old T, patch []byte, rec *record,
	immutableNames ...string) (changed T, err error) {
	var fields, changes map[string]json.RawMessage
	if patch, err = new(reader).normalize(patch, rec); err != nil {
		return changed, err
	}
	if err := json.Unmarshal(patch, &changes); err != nil {
		return changed, err
	}
	for name := range changes {
		if slices.Contains(immutableNames, name) {
			return changed, fmt.Errorf("%s can't be changed with Update", name)
		}
	}
	if err := json.Unmarshal(mustMarshal(old), &fields); err != nil {
		return changed, err
	}
	maps.Copy(fields, changes)
	err = json.Unmarshal(mustMarshal(fields), &changed)
	return changed, err
}

// mustMarshal returns a representation as JSON. Encoding a representation can't fail.
func mustMarshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
