package settings

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Messages of package keycloak name Go fields and never settings. TranslateFieldNames replaces each
// of these fields with a setting.
func TestTranslateFieldNames_keycloak(t *testing.T) {
	fieldPattern := regexp.MustCompile(
		`(VerifierConfig|BackchannelLogoutConfig|ClientConfig|KeySetConfig|Issuer)\.[A-Z]\w+` +
			`|NewRealm's \w+`)
	settingNamePattern := regexp.MustCompile(`(KEYCLOAK|TOKEN|KEYS|LOGIN|REFRESH)_[A-Z_]+`)
	files, err := filepath.Glob("../keycloak/*.go")
	if err != nil {
		t.Fatal(err)
	}
	foundFields := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			if setting := settingNamePattern.FindString(text); setting != "" {
				t.Errorf("%s: got %q, want a text without the setting %s, which other programs "+
					"don't "+
					"have", name, text, setting)
			}
			for _, field := range fieldPattern.FindAllString(text, -1) {
				foundFields[field] = true
				if name := TranslateFieldNames(field); !settingNamePattern.MatchString(name) {
					t.Errorf("TranslateFieldNames(%q) = %q, want the name of a setting", field,
						name)
				}
			}
			return true
		})
	}
	if len(foundFields) < 10 {
		t.Errorf("found the fields %v, want at least 10", foundFields)
	}
}

// TranslateFieldNames replaces every name, although it returns early for a text without a period or
// an apostrophe: each name contains one of these characters.
func TestTranslateFieldNames_allNames(t *testing.T) {
	for _, s := range new(rawSettings).settings() {
		for field := range strings.SplitSeq(s.fieldNames, ", ") {
			if field == "" {
				continue
			}
			if got, want := TranslateFieldNames("see "+field), "see "+s.name; got != want {
				t.Errorf("TranslateFieldNames(%q) = %q, want %q", "see "+field, got, want)
			}
		}
	}
}
