package realmfile

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// recordsByName returns all records of the schemas.
func recordsByName(t *testing.T) map[string]*record {
	t.Helper()
	records := map[string]*record{}
	var visit func(s *schema)
	visit = func(s *schema) {
		switch {
		case s == nil || s.record != nil && records[s.record.name] != nil:
		case s.record != nil:
			records[s.record.name] = s.record
			for _, f := range s.record.fields {
				visit(f.schema)
			}
		default:
			visit(s.items)
			visit(s.values)
		}
	}
	visit(&schema{record: schemas().realm})
	return records
}

// The schemas have exactly the fields that Keycloak accepts. testdata/fields.txt lists the JSON
// properties that Jackson finds in the representations of keycloak-core 26.7.4, including
// properties that Keycloak ignores.
func TestSchemas_keycloakFields(t *testing.T) {
	list, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	records := recordsByName(t)
	for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n") {
		name, fields, _ := strings.Cut(line, ": ")
		if records[name] == nil {
			t.Errorf("no schema for Keycloak's %s", name)
			continue
		}
		want, got := strings.Fields(fields), sortedNames(records[name].fields)
		for _, field := range want {
			if !slices.Contains(got, field) {
				t.Errorf("%s.%s is in Keycloak but not in the schema", name, field)
			}
		}
		for _, field := range got {
			if !slices.Contains(want, field) {
				t.Errorf("%s.%s is in the schema but not in Keycloak", name, field)
			}
		}
	}
}

// Every field that a schema decodes has a struct field, because its value would otherwise be lost
// silently. Every struct field is decoded, because it would otherwise always be empty.
func TestSchemas_structFields(t *testing.T) {
	var compare func(path string, s *schema, typ reflect.Type)
	seen := map[reflect.Type]bool{}
	compare = func(path string, s *schema, typ reflect.Type) {
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		switch {
		case s.items != nil && typ.Kind() == reflect.Slice:
			compare(path+"[]", s.items, typ.Elem())
		case s.values != nil && typ.Kind() == reflect.Map:
			compare(path+"[]", s.values, typ.Elem())
		case s.record != nil && typ.Kind() == reflect.Struct:
			if seen[typ] && typ.Name() != "" {
				return
			}
			seen[typ] = true
			fields := map[string]reflect.Type{}
			for f := range typ.Fields() {
				if name := f.Tag.Get("json"); name != "" && name != "-" {
					fields[name] = f.Type
				}
			}
			for name, f := range s.record.fields {
				switch fieldType, ok := fields[name]; {
				case f.disposition == dispositionDecode && !ok:
					t.Errorf("%s.%s is decoded but has no struct field", path, name)
				case f.disposition != dispositionDecode && ok:
					t.Errorf("%s.%s has a struct field but isn't decoded", path, name)
				case ok:
					compare(path+"."+name, f.schema, fieldType)
				}
				delete(fields, name)
			}
			for name := range fields {
				t.Errorf("%s.%s has a struct field but isn't in the schema", path, name)
			}
		case s.scalar == nil || typ.Kind() == reflect.Struct:
			t.Errorf("%s has the type %s, which doesn't match its schema", path, typ)
		}
	}
	compare("realm", &schema{record: schemas().realm}, reflect.TypeFor[Realm]())
}
