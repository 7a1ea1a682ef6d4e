package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// Package keycloak names its own fields and no setting of this server, and whatever it names, this
// server's log names as a setting.
func TestSettingNames_knows_every_name_of_the_library(t *testing.T) {
	fields := regexp.MustCompile(`(VerifierConfig|ClientConfig|KeySetConfig|Issuer)\.[A-Z]\w+|NewRealm's \w+`)
	settingName := regexp.MustCompile(`(KEYCLOAK|TOKEN|KEYS|LOGIN|REFRESH)_[A-Z_]+`)
	files, err := filepath.Glob("keycloak/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
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
			if setting := settingName.FindString(text); setting != "" {
				t.Errorf("%s: %q names the setting %s, which importers don't have", name, text, setting)
			}
			for _, field := range fields.FindAllString(text, -1) {
				found[field] = true
				if replaced := settingNames.Replace(field); !settingName.MatchString(replaced) {
					t.Errorf("%s: no setting is named for %s", name, field)
				}
			}
			return true
		})
	}
	if len(found) < 10 {
		t.Errorf("only %v were found", found)
	}
}

func TestNewLog_names_settings(t *testing.T) {
	for _, local := range []bool{true, false} {
		var out strings.Builder
		log := newLog(Config{Local: local}, &out)
		log.Warn("set Issuer.Names", "detail", "aud (VerifierConfig.Audience)", "error", errors.New("check NewRealm's name"),
			"reason", "no (ClientConfig.RefreshGraceAnyNetwork)", "requestId", "Issuer.Names")
		log.Warn("x", "error", &identity.Error{Reason: identity.ErrTokenTooLarge, Detail: "accepted: 9 (VerifierConfig.MaxBytes)"})
		for _, want := range []string{"set KEYCLOAK_ISSUER", "aud (KEYCLOAK_AUDIENCE)", "check KEYCLOAK_REALM_NAME", "no (REFRESH_GRACE_NETWORK)",
			"accepted: 9 (TOKEN_MAX_BYTES)", "Issuer.Names"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("local %v: logged %q, want %q in it", local, out.String(), want)
			}
		}
	}
}

// On a developer's machine the answer itself says which setting to look at.
func TestErrors_name_settings_locally(t *testing.T) {
	kc := newShop(t, "alice-password")
	s := newSite(t, goodConfig(t, at(kc)), nil)
	_, body := s.do(t, exchange{query: "{ me { id } }",
		authorization: bearer(t, kc, keycloaktest.Mint{Claims: map[string]any{"aud": "billing"}})})
	if !strings.Contains(body, "(KEYCLOAK_AUDIENCE)") || strings.Contains(body, "VerifierConfig") {
		t.Errorf("the answer is %s, want it to name KEYCLOAK_AUDIENCE", body)
	}
}
