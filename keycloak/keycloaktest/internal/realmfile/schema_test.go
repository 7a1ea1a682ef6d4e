package realmfile

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// recordOf are the records of the tables by their names.
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

// testdata/members.txt is what Jackson finds in the representations of keycloak-core 26.7.4,
// ignored names included: whatever Keycloak takes has a disposition here, and nothing else does.
func TestTablesHaveKeycloaksMembers(t *testing.T) {
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

// A member that is read must have a field, or it would be lost without a word; and a field that
// nothing is read into is always empty.
func TestTablesMatchRepresentations(t *testing.T) {
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
				switch field, there := fields[name]; {
				case member.disposition == dispositionDecode && !there:
					t.Errorf("%s.%s is read, and has no field", path, name)
				case member.disposition != dispositionDecode && there:
					t.Errorf("%s.%s has a field, and isn't read", path, name)
				case there:
					compare(path+"."+name, member.schema, field)
				}
				delete(fields, name)
			}
			for name := range fields {
				t.Errorf("%s.%s has a field, and no disposition", path, name)
			}
		case s.scalar == nil || kind.Kind() == reflect.Struct:
			t.Errorf("%s is a %s, and of another schema in the table", path, kind)
		}
	}
	compare("realm", &schema{record: schemas().realm}, reflect.TypeFor[Realm]())
}
