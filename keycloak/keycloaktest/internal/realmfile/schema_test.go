package realmfile

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// recordsByName returns all records of the tables.
func recordsByName(t *testing.T) map[string]*record {
	t.Helper()
	found := map[string]*record{}
	var visit func(s *schema)
	visit = func(s *schema) {
		switch {
		case s == nil || s.record != nil && found[s.record.name] != nil:
		case s.record != nil:
			found[s.record.name] = s.record
			for _, member := range s.record.fields {
				visit(member.schema)
			}
		default:
			visit(s.items)
			visit(s.values)
		}
	}
	visit(&schema{record: schemas().realm})
	return found
}

// The tables have exactly the members that Keycloak accepts. testdata/members.txt lists what
// Jackson finds in the representations of keycloak-core 26.7.4, ignored names included.
func TestSchemas_keycloakMembers(t *testing.T) {
	file, err := os.ReadFile("testdata/members.txt")
	if err != nil {
		t.Fatal(err)
	}
	records := recordsByName(t)
	for _, line := range strings.Split(strings.TrimSpace(string(file)), "\n") {
		name, members, _ := strings.Cut(line, ": ")
		if records[name] == nil {
			t.Errorf("no table of %s", name)
			continue
		}
		want, got := strings.Fields(members), sortedNames(records[name].fields)
		for _, member := range want {
			if !slices.Contains(got, member) {
				t.Errorf("%s.%s has no disposition", name, member)
			}
		}
		for _, member := range got {
			if !slices.Contains(want, member) {
				t.Errorf("%s.%s is no member of Keycloak's", name, member)
			}
		}
	}
}

// Every decoded member has a struct field, or it would be lost silently; and every struct field
// has a decoded member, or it would always be empty.
func TestSchemas_structFields(t *testing.T) {
	var compare func(path string, s *schema, kind reflect.Type)
	seen := map[reflect.Type]bool{}
	compare = func(path string, s *schema, kind reflect.Type) {
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch {
		case s.items != nil && kind.Kind() == reflect.Slice:
			compare(path+"[]", s.items, kind.Elem())
		case s.values != nil && kind.Kind() == reflect.Map:
			compare(path+"[]", s.values, kind.Elem())
		case s.record != nil && kind.Kind() == reflect.Struct:
			if seen[kind] && kind.Name() != "" {
				return
			}
			seen[kind] = true
			fields := map[string]reflect.Type{}
			for f := range kind.Fields() {
				if name := f.Tag.Get("json"); name != "" && name != "-" {
					fields[name] = f.Type
				}
			}
			for name, member := range s.record.fields {
				switch field, found := fields[name]; {
				case member.disposition == dispositionDecode && !found:
					t.Errorf("%s.%s is decoded but has no struct field", path, name)
				case member.disposition != dispositionDecode && found:
					t.Errorf("%s.%s has a struct field but isn't decoded", path, name)
				case found:
					compare(path+"."+name, member.schema, field)
				}
				delete(fields, name)
			}
			for name := range fields {
				t.Errorf("%s.%s has a struct field but isn't in the table", path, name)
			}
		case s.scalar == nil || kind.Kind() == reflect.Struct:
			t.Errorf("%s is a %s, and its schema isn't", path, kind)
		}
	}
	compare("realm", &schema{record: schemas().realm}, reflect.TypeFor[Realm]())
}
