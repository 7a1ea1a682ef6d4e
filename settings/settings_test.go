package settings

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// requiredSettings are the settings that have no default.
var requiredSettings = []string{
	"KEYCLOAK_SERVER_URL=http://localhost:8080/", "KEYCLOAK_REALM_NAME=shop",
	"KEYCLOAK_CLIENT_ID=shop-api", "KEYCLOAK_CLIENT_SECRET_KEY=shop-secret",
}

// withRequired returns requiredSettings followed by extra. If a setting is in both, Read uses the
// value in extra.
func withRequired(extra ...string) []string { return slices.Concat(requiredSettings, extra) }

// readSettings reads requiredSettings and extra.
func readSettings(t testing.TB, extra ...string) Settings {
	t.Helper()
	s, err := Read(withRequired(extra...), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Settings that aren't set have their defaults.
func TestRead_defaults(t *testing.T) {
	s := readSettings(t)
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"Local", s.Server.Local, true},
		{"Addr", s.Addr, "127.0.0.1:8000"},
		{"Realm", s.Server.Realm.Issuer(), "http://localhost:8080/realms/shop"},
		{"Issuers", s.Server.Tokens.Issuers[0].Names,
			[]string{"http://localhost:8080/realms/shop"}},
		{"Audience", s.Server.Tokens.Audience, []string{"shop-api"}},
		{"AnyAudienceFor", s.Server.Tokens.AnyAudienceFor, "shop-api"},
		{"ClientSecret", s.Server.Client.ClientSecret.Reveal(), "shop-secret"},
		{"LoginScope", s.Server.Client.LoginScope, "openid profile email"},
		{"KeycloakTimeout", s.Server.Client.Timeout, 8 * time.Second},
		{"RequestTimeout", s.Server.GraphQL.Timeout, 15 * time.Second},
		{"RefreshGrace", s.Server.Client.RefreshGrace, 10 * time.Second},
		{"GraceAnyNetwork", s.Server.Client.RefreshGraceAnyNetwork, false},
		{"RefusalPause", s.Server.Client.RefusalPause, 1500 * time.Millisecond},
		{"no RefusalPause", readSettings(t, "LOGIN_REFUSAL_PAUSE=0").Server.Client.RefusalPause,
			-1 * time.Nanosecond},
		{"TokenMaxBytes", s.Server.Tokens.MaxBytes, 16 << 10},
		{"TokenCacheBytes", s.Server.Tokens.CacheBytes, 48 << 20},
		{"no TokenCacheBytes", readSettings(t, "TOKEN_CACHE_BYTES=0").Server.Tokens.CacheBytes, -1},
		{"TokenAlgorithms", s.Server.Tokens.Algorithms, []string{}},
		{"KeysMaxAge", s.Server.Keys.MaxAge, 24 * time.Hour},
		{"CORSOrigins", s.Server.HTTP.CORSOrigins, []string{}},
	} {
		if fmt.Sprint(tt.got) != fmt.Sprint(tt.want) {
			t.Errorf("%s is %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

// The server is local only if RUNTIME_ENV is unset or is exactly the text local.
func TestRead_production(t *testing.T) {
	for _, runtimeEnv := range []string{"prod", "production", "Local", " local", ""} {
		s := readSettings(t, "RUNTIME_ENV="+runtimeEnv)
		if s.Server.Local || s.Addr != ":8000" || len(s.Server.HTTP.CORSOrigins) != 0 {
			t.Errorf("RUNTIME_ENV=%q: local %v, address %s, origins %v; want production",
				runtimeEnv,
				s.Server.Local, s.Addr, s.Server.HTTP.CORSOrigins)
		}
	}
	if s := readSettings(t, "RUNTIME_ENV=prod",
		"KEYCLOAK_SERVER_URL=http://keycloak:8080"); len(s.Warnings) != 1 {
		t.Errorf("plain http to another machine: got the warnings %q, want one", s.Warnings)
	}
}

// By default, only a local server serves the console.
func TestRead_console(t *testing.T) {
	for _, tt := range []struct {
		environ []string
		want    bool
	}{
		{nil, true},
		{[]string{"RUNTIME_ENV=prod"}, false},
		{[]string{"RUNTIME_ENV="}, false},
		{[]string{"CONSOLE=off"}, false},
		{[]string{"CONSOLE=auto"}, true},
		{[]string{"RUNTIME_ENV=prod", "CONSOLE=auto"}, false},
		{[]string{"RUNTIME_ENV=prod", "CONSOLE=on"}, true},
	} {
		if got := readSettings(t, tt.environ...).Server.HTTP.Console; got != tt.want {
			t.Errorf("%q: Console = %v, want %v", tt.environ, got, tt.want)
		}
	}
}

// Each LIMIT_ setting sets the field of limits.Limits with its name. Fields without a setting are
// 0, or have the values that finish sets.
func TestRead_limits(t *testing.T) {
	environ, want := []string{}, map[string]int64{"Bytes": 1 << 16, "CacheBytes": 8 << 20}
	for _, name := range settingNames {
		if words, ok := strings.CutPrefix(name, "LIMIT_"); ok {
			field := ""
			for word := range strings.SplitSeq(words, "_") {
				field += word[:1] + strings.ToLower(word[1:])
			}
			want[field] = int64(1100 + len(want))
			if field == "Depth" {
				want[field] = 40
			} else if field == "RootFields" || field == "Aliases" || field == "Fragments" {
				want[field] -= 1000
			}
			environ = append(environ, fmt.Sprintf("%s=%d", name, want[field]))
		}
	}
	got := reflect.ValueOf(readSettings(t, environ...).Server.Limits)
	for i := range got.NumField() {
		field := got.Type().Field(i)
		if field.Type.Kind() == reflect.Int && got.Field(i).Int() != want[field.Name] {
			t.Errorf("%s is %d, want %d", field.Name, got.Field(i).Int(), want[field.Name])
		}
		delete(want, field.Name)
	}
	if len(want) != 0 {
		t.Errorf("limits.Limits lacks the fields %v", want)
	}
}

// DOCUMENT_CACHE_BYTES=0 turns the cache off. In limits.Limits, a negative number does.
func TestRead_documentCache(t *testing.T) {
	for bytes, want := range map[string]int{"0": -1, "1024": 1024} {
		got := readSettings(t, "DOCUMENT_CACHE_BYTES="+bytes).Server.Limits.CacheBytes
		if got != want {
			t.Errorf("DOCUMENT_CACHE_BYTES=%s: CacheBytes = %d, want %d", bytes, got, want)
		}
	}
}

// If KEYCLOAK_AUDIENCE is set, the server accepts tokens only by their aud, not by their azp.
func TestRead_audience(t *testing.T) {
	s := readSettings(t, "KEYCLOAK_AUDIENCE=shop, web ",
		"KEYCLOAK_ISSUER=https://a/realms/shop,https://b/realms/shop")
	if !slices.Equal(s.Server.Tokens.Audience, []string{"shop", "web"}) ||
		s.Server.Tokens.AnyAudienceFor != "" || len(s.Server.Tokens.Issuers[0].Names) != 2 {
		t.Errorf("got audience %q, authorized party %q and issuers %q; want two audiences, no "+
			"authorized party and two issuers", s.Server.Tokens.Audience,
			s.Server.Tokens.AnyAudienceFor, s.Server.Tokens.Issuers[0].Names)
	}
}

// TOKEN_ALGORITHMS is a list separated by commas.
func TestRead_algorithms(t *testing.T) {
	got := readSettings(t, "TOKEN_ALGORITHMS=ES256, PS256").Server.Tokens.Algorithms
	if !slices.Equal(got, []string{"ES256", "PS256"}) {
		t.Errorf("TOKEN_ALGORITHMS: got %q, want ES256 and PS256", got)
	}
}

// The server's own client is always an accepted party, because login returns tokens issued to it.
func TestRead_authorizedParties(t *testing.T) {
	for setting, want := range map[string][]string{"": nil, "web": {"web", "shop-api"},
		"shop-api, web,web": {"shop-api", "web"}} {
		s := readSettings(t, "KEYCLOAK_AUTHORIZED_PARTIES="+setting)
		if got := s.Server.Tokens.AuthorizedParties; !slices.Equal(got, want) {
			t.Errorf("KEYCLOAK_AUTHORIZED_PARTIES=%s: got %q, want %q", setting, got, want)
		}
	}
}

// The error of Read lists every problem, each with the name of the setting. It contains no secret.
func TestRead_problems(t *testing.T) {
	const canary = "canary-5f0c"
	for _, tt := range []struct {
		name    string
		environ []string
		want    []string // the names of the settings with problems, in any order
	}{
		{"no settings", nil,
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID",
				"KEYCLOAK_CLIENT_SECRET_KEY"}},
		{"empty values", []string{"KEYCLOAK_SERVER_URL=", "KEYCLOAK_REALM_NAME=",
			"KEYCLOAK_CLIENT_ID=", "KEYCLOAK_CLIENT_SECRET_KEY="},
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID",
				"KEYCLOAK_CLIENT_SECRET_KEY"}},
		{"empty authorized party", withRequired("KEYCLOAK_AUTHORIZED_PARTIES=web,,app"),
			[]string{"KEYCLOAK_AUTHORIZED_PARTIES"}},
		{"grace network not in lower case", withRequired("REFRESH_GRACE_NETWORK=Any"),
			[]string{"REFRESH_GRACE_NETWORK"}},
		{"malformed numbers and durations",
			withRequired("KEYCLOAK_TIMEOUT=soon", "REFRESH_GRACE=10", "TOKEN_MAX_BYTES=16KiB",
				"KEYS_MAX_AGE=-1h", "REQUEST_TIMEOUT=1y"),
			[]string{"KEYCLOAK_TIMEOUT", "REFRESH_GRACE", "TOKEN_MAX_BYTES", "KEYS_MAX_AGE",
				"REQUEST_TIMEOUT"}},
		{"durations out of range",
			withRequired("KEYCLOAK_TIMEOUT=0s", "REFRESH_GRACE=2m", "TOKEN_MAX_BYTES=4095",
				"KEYS_MAX_AGE=59s", "REQUEST_TIMEOUT=121s"),
			[]string{"KEYCLOAK_TIMEOUT", "REFRESH_GRACE", "TOKEN_MAX_BYTES", "KEYS_MAX_AGE",
				"REQUEST_TIMEOUT"}},
		{"unsafe algorithm", withRequired("TOKEN_ALGORITHMS=RS256,HS256"),
			[]string{"TOKEN_ALGORITHMS"}},
		{"empty algorithm", withRequired("TOKEN_ALGORITHMS=RS256,,ES256"),
			[]string{"TOKEN_ALGORITHMS"}},
		{"proxy not an address", withRequired("TRUSTED_PROXIES=10.0.0.0/8,everybody"),
			[]string{"TRUSTED_PROXIES"}},
		{"every address a proxy", withRequired("TRUSTED_PROXIES=0.0.0.0/0"),
			[]string{"TRUSTED_PROXIES"}},
		{"bad rate limits", withRequired("LOGIN_ACCOUNT_LIMIT=10", "LOGIN_ADDRESS_LIMIT=0/1s",
			"REFRESH_TOKEN_LIMIT=ten/1s", "REFRESH_ADDRESS_LIMIT=1/1us",
			"LOGIN_ACCOUNT_SLOW_LIMIT=20/25h", "ADDRESS_LIMIT=2001/1s"),
			[]string{"LOGIN_ACCOUNT_LIMIT", "LOGIN_ADDRESS_LIMIT", "REFRESH_TOKEN_LIMIT",
				"REFRESH_ADDRESS_LIMIT", "LOGIN_ACCOUNT_SLOW_LIMIT", "ADDRESS_LIMIT"}},
		{"pause too long", withRequired("LOGIN_REFUSAL_PAUSE=11s"),
			[]string{"LOGIN_REFUSAL_PAUSE"}},
		{"numbers out of range",
			withRequired("MAX_LOGINS=0", "MAX_BODY_BYTES=100", "LIMIT_TOKENS=99", "LIMIT_DEPTH=51",
				"PERSISTED_QUERIES_BYTES=-1"),
			[]string{"MAX_LOGINS", "MAX_BODY_BYTES", "LIMIT_TOKENS", "LIMIT_DEPTH",
				"PERSISTED_QUERIES_BYTES"}},
		{"not true or false", withRequired("GET_QUERIES=perhaps", "KEYCLOAK_FORWARD_ADDRESS=1h"),
			[]string{"GET_QUERIES", "KEYCLOAK_FORWARD_ADDRESS"}},
		{"limit not a number", withRequired("LIMIT_FIELDS=many"), []string{"LIMIT_FIELDS"}},
		{"manifest missing", withRequired("TRUSTED_DOCUMENTS=/nowhere"),
			[]string{"TRUSTED_DOCUMENTS"}},
		{"manifest empty", withRequired("TRUSTED_DOCUMENTS=/dev/null"),
			[]string{"TRUSTED_DOCUMENTS"}},
		{"unknown mode", withRequired("TRUSTED_DOCUMENTS_MODE=off"),
			[]string{"TRUSTED_DOCUMENTS_MODE"}},
		{"request timeout not longer than Keycloak's",
			withRequired("KEYCLOAK_TIMEOUT=10s",
				"REQUEST_TIMEOUT=10s"), []string{"REQUEST_TIMEOUT"}},
		{"local server on a public address", withRequired("ADDR=:8000"), []string{"ADDR"}},
		{"address without port", withRequired("ADDR=localhost"), []string{"ADDR"}},
		{"address with a named port", withRequired("ADDR=127.0.0.1:http-alt"), []string{"ADDR"}},
		{"realm name is a path", withRequired("KEYCLOAK_REALM_NAME=realms/shop"),
			[]string{"KEYCLOAK_REALM_NAME"}},
		{"secret and secret file", withRequired("KEYCLOAK_CLIENT_SECRET_KEY_FILE=/dev/null"),
			[]string{"KEYCLOAK_CLIENT_SECRET_KEY"}},
		{"secret file missing",
			withRequired("KEYCLOAK_CLIENT_SECRET_KEY=",
				"KEYCLOAK_CLIENT_SECRET_KEY_FILE=/nowhere"),
			[]string{"KEYCLOAK_CLIENT_SECRET_KEY_FILE"}},
		{"secret file empty",
			withRequired("KEYCLOAK_CLIENT_SECRET_KEY=",
				"KEYCLOAK_CLIENT_SECRET_KEY_FILE=/dev/null"),
			[]string{"KEYCLOAK_CLIENT_SECRET_KEY_FILE"}},
		{"audience account", withRequired("KEYCLOAK_AUDIENCE=shop,account"),
			[]string{"KEYCLOAK_AUDIENCE"}},
		{"client account", withRequired("KEYCLOAK_CLIENT_ID=account"),
			[]string{"KEYCLOAK_AUDIENCE"}},
		{"empty audience", withRequired("KEYCLOAK_AUDIENCE=shop,,web"),
			[]string{"KEYCLOAK_AUDIENCE"}},
		{"empty issuer", withRequired("KEYCLOAK_ISSUER=https://a,"), []string{"KEYCLOAK_ISSUER"}},
		{"console not a mode", withRequired("CONSOLE=true"), []string{"CONSOLE"}},
		{"origin with a path", withRequired("CORS_ORIGINS=https://app.example.com/"),
			[]string{"CORS_ORIGINS"}},
		{"origin without scheme", withRequired("CORS_ORIGINS=app.example.com"),
			[]string{"CORS_ORIGINS"}},
		{"blank scope", withRequired("LOGIN_SCOPE= "), []string{"LOGIN_SCOPE"}},
		{"realm URL as server URL",
			withRequired("KEYCLOAK_SERVER_URL=http://localhost:8080/realms/shop"),
			[]string{"KEYCLOAK_SERVER_URL"}},
		{"quotes kept by docker run --env-file",
			withRequired(`KEYCLOAK_SERVER_URL="http://localhost:8080"`,
				`KEYCLOAK_REALM_NAME="shop"`,
				"KEYCLOAK_CLIENT_ID='shop-api'", `MAX_LOGINS="64"`,
				`CORS_ORIGINS="https://a.example"`),
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID",
				"MAX_LOGINS", "CORS_ORIGINS"}},
		{"server URL without scheme", withRequired("KEYCLOAK_SERVER_URL=localhost:8080"),
			[]string{"KEYCLOAK_SERVER_URL"}},
		// A problem doesn't hide other problems of the same setting or of other settings.
		{"missing realm name and bad server URL",
			[]string{"KEYCLOAK_SERVER_URL=localhost:8080", "KEYCLOAK_CLIENT_ID=a",
				"KEYCLOAK_CLIENT_SECRET_KEY=shop-secret"},
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME"}},
		{"missing server URL and bad realm name",
			[]string{"KEYCLOAK_REALM_NAME=a/b", "KEYCLOAK_CLIENT_ID=a",
				"KEYCLOAK_CLIENT_SECRET_KEY=shop-secret"},
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME"}},
		{"bad server URL and bad realm name",
			withRequired("KEYCLOAK_SERVER_URL=localhost:8080", "KEYCLOAK_REALM_NAME=a/b"),
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME"}},
		{"server URL with three problems",
			withRequired("KEYCLOAK_SERVER_URL=ftp://me:" + canary + "@host?x"),
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_SERVER_URL", "KEYCLOAK_SERVER_URL"}},
		{"two bad algorithms", withRequired("TOKEN_ALGORITHMS=HS256,none"),
			[]string{"TOKEN_ALGORITHMS", "TOKEN_ALGORITHMS"}},
		{"every address a proxy, in two halves",
			withRequired("TRUSTED_PROXIES=0.0.0.0/1,128.0.0.0/1"), []string{"TRUSTED_PROXIES"}},
		{"two bad origins", withRequired("CORS_ORIGINS=https://a.example/,null,https://b.example"),
			[]string{"CORS_ORIGINS", "CORS_ORIGINS"}},
		{"two bad hosts", withRequired("ALLOWED_HOSTS=a.example:80,https://b.example,c.example"),
			[]string{"ALLOWED_HOSTS", "ALLOWED_HOSTS"}},
		{"two bad proxies", withRequired("TRUSTED_PROXIES=everybody,0.0.0.0/0,10.0.0.1"),
			[]string{"TRUSTED_PROXIES", "TRUSTED_PROXIES"}},
		{"only bad origins", withRequired("CORS_ORIGINS=app.example.com,https://a/b"),
			[]string{"CORS_ORIGINS", "CORS_ORIGINS"}},
		{"audiences account and empty", withRequired("KEYCLOAK_AUDIENCE=account,,a"),
			[]string{"KEYCLOAK_AUDIENCE", "KEYCLOAK_AUDIENCE"}},
		{"address with two problems", withRequired("ADDR=0.0.0.0:http"), []string{"ADDR", "ADDR"}},
		{"problems in many settings",
			[]string{"KEYCLOAK_SERVER_URL=x", "KEYCLOAK_TIMEOUT=soon", "LIMIT_FIELDS=many",
				"MAX_LOGINS=0", "REFRESH_GRACE=2m", "TRUSTED_PROXIES=x", "CONSOLE=yes",
				"TRUSTED_DOCUMENTS=/nowhere", "TRUSTED_DOCUMENTS_MODE=x", "LOGIN_SCOPE= ", "ADDR=x",
				"KEYCLOAK_ISSUER=a,", "GET_QUERIES=x", "LOGIN_ACCOUNT_LIMIT=x"},
			[]string{"KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID",
				"KEYCLOAK_CLIENT_SECRET_KEY", "KEYCLOAK_TIMEOUT", "LIMIT_FIELDS", "MAX_LOGINS",
				"REFRESH_GRACE", "TRUSTED_PROXIES", "CONSOLE", "TRUSTED_DOCUMENTS",
				"TRUSTED_DOCUMENTS_MODE", "LOGIN_SCOPE", "ADDR", "KEYCLOAK_ISSUER", "GET_QUERIES",
				"LOGIN_ACCOUNT_LIMIT"}},
		{"password in the URL",
			withRequired("KEYCLOAK_SERVER_URL=http://me:" + canary +
				"@localhost:8080"), []string{"KEYCLOAK_SERVER_URL"}},
		{"password in a malformed URL",
			withRequired("KEYCLOAK_SERVER_URL=http://me:" + canary +
				"@local host:%zz"), []string{"KEYCLOAK_SERVER_URL"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			example := filepath.Join(dir, ".local.env.example")
			if err := os.WriteFile(example, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Read(tt.environ, dir)
			if err == nil {
				t.Fatal("Read() = nil, want an error")
			}
			var got []string
			firstLine, list, _ := strings.Cut(err.Error(), "\n")
			if !strings.Contains(firstLine,
				"since there is no .local.env here (cp .local.env.example .local.env)") {
				t.Errorf("the error begins with %s, want it to say where Read looked", firstLine)
			}
			for line := range strings.SplitSeq(list, "\n") {
				name, _, _ := strings.Cut(line, ": ")
				got = append(got, name)
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got problems with %q, want %q; the error is\n%v", got, tt.want, err)
			}
			if strings.Contains(err.Error(), canary) ||
				strings.Contains(err.Error(), "shop-secret") {
				t.Errorf("got the error\n%v\nwant it without the secret", err)
			}
		})
	}
}

// If there is no .local.env.example, as in an application's repository, the error doesn't suggest
// copying it.
func TestRead_noExample(t *testing.T) {
	_, err := Read(nil, t.TempDir())
	want := "since there is no .local.env here (docs/settings.md):"
	if firstLine, _, _ := strings.Cut(fmt.Sprint(err), "\n"); !strings.HasSuffix(firstLine, want) {
		t.Errorf("the error begins with the line %q, want it to end with %q", firstLine, want)
	}
}

// RUNTIME_ENV selects the settings file. The environment takes precedence over the file.
func TestRead_files(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const commonText = "KEYCLOAK_SERVER_URL=http://localhost:8080\nKEYCLOAK_REALM_NAME=shop\nRUNTIME_ENV=prod\n"
	write(".local.env",
		commonText+"KEYCLOAK_CLIENT_ID=from-local\nKEYCLOAK_CLIENT_SECRET_KEY='pa$$wo\"rd#1'\n")
	write(".env", commonText+"KEYCLOAK_CLIENT_ID=from-env\nKEYCLOAK_CLIENT_SECRET_KEY=other\n")

	localSettings, err := Read(nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	if localSettings.Server.Client.ClientID != "from-local" ||
		localSettings.Server.Client.ClientSecret.Reveal() != `pa$$wo"rd#1` {
		t.Errorf("got the client %q with the secret %q, want those in .local.env",
			localSettings.Server.Client.ClientID,
			localSettings.Server.Client.ClientSecret.Reveal())
	}
	if !localSettings.Server.Local {
		t.Error("the server isn't local, want RUNTIME_ENV=prod in a file to have no effect")
	}
	prodSettings, err := Read([]string{"RUNTIME_ENV=prod"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if prodSettings.Server.Client.ClientID != "from-env" {
		t.Errorf("got the client %q, want from-env, as in .env",
			prodSettings.Server.Client.ClientID)
	}
	overriddenSettings, err := Read([]string{"KEYCLOAK_CLIENT_ID=from-process"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if overriddenSettings.Server.Client.ClientID != "from-process" {
		t.Errorf("got the client %q, want from-process, as in the environment",
			overriddenSettings.Server.Client.ClientID)
	}

	write(".local.env", "KEYCLOAK_CLIENT_SECRET_KEY=\"canary-5f0c\nan unfinished quote")
	// If a file can't be read, no setting is reported as missing, because it may be in the file.
	if _, err = Read(nil, dir); err == nil ||
		!strings.Contains(err.Error(), "\n.local.env: can't be read") ||
		strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "missing") {
		t.Errorf("Read() of a file with an unfinished quote = %v, want an error about the file, "+
			"without its content or missing settings", err)
	}
}

// Read trims spaces and newlines around values, except for RUNTIME_ENV (TestRead_production).
func TestRead_trimsValues(t *testing.T) {
	s := readSettings(t, "KEYCLOAK_SERVER_URL= http://localhost:8080\n",
		"KEYCLOAK_REALM_NAME=shop\r\n", "KEYCLOAK_CLIENT_ID=\u00a0shop-api ",
		"KEYCLOAK_CLIENT_SECRET_KEY=shop-secret\r\n", "KEYCLOAK_TIMEOUT=7s\n", "MAX_LOGINS= 9",
		"ADDR=127.0.0.1:8001\n")
	got := fmt.Sprint(s.Server.Realm.Issuer(), s.Server.Client.ClientID,
		s.Server.Client.ClientSecret.Reveal(), s.Server.Client.Timeout, s.Server.Client.MaxLogins,
		s.Addr, s.Warnings)
	want := fmt.Sprint("http://localhost:8080/realms/shop", "shop-api", "shop-secret",
		7*time.Second, 9,
		"127.0.0.1:8001", []string(nil))
	if got != want {
		t.Errorf("the settings are %s, want %s", got, want)
	}
	// Read trims only newlines from a secret, because other characters may be part of it. It warns
	// about blanks and quotes at the ends of a secret.
	for secret, wantWarning := range map[string]string{" shop-secret": "blank",
		"shop-secret\t\n": "blank",
		`"shop-secret"`:   "quotes", "'shop-secret'": "quotes", `shop-"secret"`: "", `"`: ""} {
		s := readSettings(t, "KEYCLOAK_CLIENT_SECRET_KEY="+secret)
		warnings := strings.Join(s.Warnings, "\n")
		if s.Server.Client.ClientSecret.Reveal() != strings.TrimRight(secret, "\n") ||
			strings.Contains(warnings, "shop-secret") ||
			wantWarning == "" && warnings != "" || !strings.Contains(warnings, wantWarning) {
			t.Errorf("the secret %q is read as %q with the warnings %q; want it without newlines, "+
				"and a warning about %q", secret, s.Server.Client.ClientSecret.Reveal(), warnings,
				wantWarning)
		}
	}
}

// In a settings file, $1 and $WORD refer to other settings. Read returns an error if a value loses
// a part because there is no such setting.
func TestRead_dollarInFile(t *testing.T) {
	for _, tt := range []struct{ line, secret string }{ // an empty secret means an error
		{"pa$1word", ""},
		{"pa$WORD", ""},
		{"$PA", ""},
		{`"pa${WORD}x"`, ""},
		{"$2y$10$fbdLV2U3Y98Lr", ""},
		{"pa$(WORD)x", ""},
		{"pa$$WORD", ""},
		{"pa$KEYCLOAK_AUDIENCE", ""}, // defined further down in the file
		{"$KEYCLOAK_REALM_NAME$WORD", ""},
		{"'pa$1word'", "pa$1word"},
		{"'$2y$10$fbdLV2U3Y98Lr'", "$2y$10$fbdLV2U3Y98Lr"},
		{`pa\$WORD`, "pa$WORD"},
		{`"pa\$WORD"`, "pa$WORD"},
		{`"pa\$WORD ${KEYCLOAK_REALM_NAME}"`, "pa$WORD shop"},
		{"pa$word", "pa$word"},
		{"pa$", "pa$"},
		{"pa$$", "pa$$"},
		{"of-$KEYCLOAK_REALM_NAME", "of-shop"},
		{`"of-$KEYCLOAK_REALM_NAME\""`, `of-shop"`},
		{`"pa$WORD\""`, ""},
		// An escaped quote at the end of a quoted value is a part of the value.
		{`"ab\""`, `ab"`},
		{`"\"ab\"" # in quotes`, `"ab"`},
		{`"a\"b"`, `a"b`},
		{`'ab\""'`, `ab\""`},
		{`ab\""`, `ab\""`},
	} {
		dir := t.TempDir()
		text := "KEYCLOAK_SERVER_URL=http://localhost:8080\nKEYCLOAK_REALM_NAME=shop\nKEYCLOAK_CLIENT_ID=a\nKEYCLOAK_CLIENT_SECRET_KEY=" +
			tt.line + "\nKEYCLOAK_AUDIENCE=b\n"
		if err := os.WriteFile(filepath.Join(dir, ".local.env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Read(nil, dir)
		switch {
		case tt.secret != "" && (err != nil || s.Server.Client.ClientSecret.Reveal() != tt.secret):
			t.Errorf("%s is read as %q, %v; want %q", tt.line,
				s.Server.Client.ClientSecret.Reveal(), err, tt.secret)
		case tt.secret == "" && (err == nil ||
			!strings.Contains(err.Error(), "\nKEYCLOAK_CLIENT_SECRET_KEY: holds a $") ||
			strings.Contains(err.Error(), "WORD")):
			t.Errorf("%s: got %v, want an error that names the setting and doesn't quote its "+
				"value", tt.line, err)
		}
		if _, err := Read([]string{"KEYCLOAK_CLIENT_SECRET_KEY=pa$WORD"}, dir); err != nil {
			t.Errorf("Read() with %s overridden in the environment = %v, want nil", tt.line, err)
		}
	}
}

// Read warns about all unknown names in the file, and about unknown names in the environment that
// look like settings.
func TestRead_unknownNames(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".local.env"),
		[]byte(
			"LOGIN_SCOPES=openid\nKEYCLOAK_AUDIENCE=shop\nKEYCLOAK_AUDIENC=shop\nc2Vjb25kIGxpbmU=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(withRequired("KEYCLOAK_AUDIENC=shop", "PATH=/bin",
		"KEYCLOAK_SERVICE_HOST=10.0.0.1", "KEYCLOAK_HTTP_PORT_8080_TCP=x"), dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, warning := range s.Warnings {
		name, _, _ := strings.Cut(warning, " ")
		names = append(names, name)
	}
	// The warning "A line of the settings file ..." doesn't quote the fourth line, because it may
	// be the rest of a secret.
	if !slices.Equal(names, []string{"A", "KEYCLOAK_AUDIENC", "LOGIN_SCOPES"}) {
		t.Errorf("got the warnings %q, want 3: about a line, KEYCLOAK_AUDIENC and LOGIN_SCOPES",
			s.Warnings)
	}
}

// Read warns if LOGIN_REFUSAL_PAUSE isn't shorter than KEYCLOAK_TIMEOUT, which is how long a
// sign-in waits in the account's queue.
func TestRead_longPause(t *testing.T) {
	for settings, want := range map[string]int{
		"KEYCLOAK_TIMEOUT=2s LOGIN_REFUSAL_PAUSE=2s":    1,
		"KEYCLOAK_TIMEOUT=2s LOGIN_REFUSAL_PAUSE=1.9s":  0,
		"KEYCLOAK_TIMEOUT=1s LOGIN_REFUSAL_PAUSE=0":     0,
		"KEYCLOAK_TIMEOUT=1s LOGIN_REFUSAL_PAUSE=1.5s":  1,
		"KEYCLOAK_TIMEOUT=14s LOGIN_REFUSAL_PAUSE=10s":  0,
		"KEYCLOAK_TIMEOUT=10s LOGIN_REFUSAL_PAUSE=10s":  1,
		"KEYCLOAK_TIMEOUT=10s LOGIN_REFUSAL_PAUSE=9.9s": 0,
	} {
		if got := readSettings(t, strings.Fields(settings)...).Warnings; len(got) != want {
			t.Errorf("%s: got the warnings %q, want %d", settings, got, want)
		}
	}
}

// Read warns about a large network in TRUSTED_PROXIES, because it probably contains clients.
func TestRead_largeProxyNetworks(t *testing.T) {
	const list = "128.0.0.0/1,8.0.0.0/7,10.0.0.0/8,192.0.2.1,fc00::/7,2000::/15,2002::/16,::ffff:172.0.0.0/102,::1"
	var warnedNetworks []string
	for _, warning := range readSettings(t, "TRUSTED_PROXIES="+list).Warnings {
		var network string
		if n, _ := fmt.Sscanf(warning, "TRUSTED_PROXIES holds %s a network", &network); n == 1 {
			warnedNetworks = append(warnedNetworks, strings.TrimSuffix(network, ","))
		}
	}
	want := []string{"128.0.0.0/1", "8.0.0.0/7", "fc00::/7", "2000::/15", "172.0.0.0/6"}
	if !slices.Equal(warnedNetworks, want) {
		t.Errorf("got warnings about %q, want %q", warnedNetworks, want)
	}
}

// Settings can be printed and logged without showing the secret.
func TestRead_hidesSecret(t *testing.T) {
	s := readSettings(t, "KEYCLOAK_CLIENT_SECRET_KEY=canary-5f0c")
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", s, s, s),
		s.Server.LogValue().String()} {
		if strings.Contains(text, "canary") {
			t.Errorf("got %s, want a text without the secret", text)
		}
	}
}

// Read accepts text files in UTF-8, also with the byte order mark and the CRLF of Windows programs.
// For files in other encodings, it returns an error that names the encoding.
func TestRead_encodings(t *testing.T) {
	const text = "# settings\nKEYCLOAK_SERVER_URL=http://localhost:8080\nKEYCLOAK_REALM_NAME=shop\nKEYCLOAK_CLIENT_ID=shop-api\nKEYCLOAK_CLIENT_SECRET_KEY='pä$$'\n"
	crlfText := strings.ReplaceAll(text, "\n", "\r\n")
	utf16le := func(text string) string {
		out := "\xff\xfe"
		for _, unit := range utf16.Encode([]rune(text)) {
			out += string([]byte{byte(unit), byte(unit >> 8)})
		}
		return out
	}
	for name, tt := range map[string]struct{ content, problem string }{
		"UTF-8":                            {text, ""},
		"CRLF":                             {crlfText, ""},
		"byte order mark before a comment": {"\ufeff" + text, ""},
		"byte order mark before a setting": {"\ufeff" + strings.TrimPrefix(text, "# settings\n"),
			""},
		"byte order mark and CRLF": {"\ufeff" + crlfText, ""},
		"UTF-16": {utf16le(crlfText),
			".local.env: is UTF-16, which PowerShell 5 writes with > and Out-File"},
		"UTF-16 without a byte order mark": {utf16le(text)[2:], ".local.env: is UTF-16"},
		"Latin-1": {strings.ReplaceAll(text, "ä", "\xe4"),
			".local.env: is not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ".local.env"), []byte(tt.content),
				0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Read(nil, dir)
			switch {
			case tt.problem != "" &&
				(err == nil || !strings.Contains(err.Error(), "\n"+tt.problem) ||
					strings.Contains(err.Error(), "missing")):
				t.Errorf("got %v, want an error with %q", err, tt.problem)
			case tt.problem == "" &&
				(err != nil || s.Server.Client.ClientSecret.Reveal() != "pä$$" ||
					len(s.Warnings) != 0):
				t.Errorf("got the secret %q, the warnings %q and %v, want pä$$ and no warnings",
					s.Server.Client.ClientSecret.Reveal(),
					s.Warnings, err)
			}
		})
	}
	for name, tt := range map[string]struct{ content, secret, problem string }{
		"UTF-8":           {"sécret", "sécret", ""},
		"CRLF":            {"sécret\r\n", "sécret", ""},
		"byte order mark": {"\ufeffsécret\r\n", "sécret", ""},
		"only a byte order mark": {"\ufeff\r\n", "",
			"KEYCLOAK_CLIENT_SECRET_KEY_FILE: names an empty file"},
		"UTF-16": {utf16le("shop-secret"), "",
			"KEYCLOAK_CLIENT_SECRET_KEY_FILE: names a file that is UTF-16"},
		"Latin-1": {"s\xe9cret", "",
			"KEYCLOAK_CLIENT_SECRET_KEY_FILE: names a file that is not UTF-8"},
	} {
		t.Run("secret, "+name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Read(withRequired("KEYCLOAK_CLIENT_SECRET_KEY=",
				"KEYCLOAK_CLIENT_SECRET_KEY_FILE="+file), t.TempDir())
			switch {
			case tt.problem != "" &&
				(err == nil || !strings.Contains(err.Error(), "\n"+tt.problem)):
				t.Errorf("got %v, want an error with %q", err, tt.problem)
			case tt.problem == "" &&
				(err != nil || s.Server.Client.ClientSecret.Reveal() != tt.secret):
				t.Errorf("got the secret %q (error: %v), want %q",
					s.Server.Client.ClientSecret.Reveal(), err, tt.secret)
			}
		})
	}
	const manifest = `{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a","name":"Me","type":"query","body":"query Me { me { id } }"}]}`
	for name, content := range map[string]string{"UTF-8": manifest,
		"byte order mark": "\ufeff" + manifest, "UTF-16": utf16le(manifest)} {
		file := filepath.Join(t.TempDir(), "manifest.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Read(withRequired("TRUSTED_DOCUMENTS="+file),
			t.TempDir())
		if wantErr := name == "UTF-16"; wantErr != (err != nil) ||
			!wantErr && s.Server.GraphQL.Manifest == nil ||
			wantErr && !strings.Contains(err.Error(),
				"TRUSTED_DOCUMENTS: names a file that is UTF-16") {
			t.Errorf("manifest in %s: Read() = %v, want an error only for UTF-16", name, err)
		}
	}
}

// The line that the server logs at startup says what is exposed and to whom.
func TestRead_loggedConfig(t *testing.T) {
	line := func(settings ...string) string {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("serving", "config",
			readSettings(t, settings...).Server)
		return log.String()
	}
	local := line()
	production := line("RUNTIME_ENV=prod")
	for _, tt := range []struct{ line, want string }{
		{local, "config.local=true"}, {production, "config.local=false"},
		{local, "config.introspection=true"}, {production, "config.introspection=false"},
		{local, "config.getQueries=true"}, {production,
			"config.getQueries=false"},
		{line("RUNTIME_ENV=prod", "GET_QUERIES=true"), "config.getQueries=true"},
		{local, "config.console=true"}, {production, "config.console=false"},
		{production, "config.corsOrigins=[]"}, {line("CORS_ORIGINS=https://a.example.com"),
			"config.corsOrigins=[https://a.example.com]"},
		{production, "config.allowedHosts=[]"}, {line("ALLOWED_HOSTS=api.example.com"),
			"config.allowedHosts=[api.example.com]"},
		{local, `config.audience=[shop-api] config.anyAudienceFor=shop-api`},
		{line("KEYCLOAK_AUDIENCE=a,b"), `config.audience="[a b]" config.anyAudienceFor=""`},
		{local, "config.authorizedParties=[]"}, {line("KEYCLOAK_AUTHORIZED_PARTIES=web"),
			`config.authorizedParties="[web shop-api]"`},
		{local, "config.refreshGrace=10s config.refreshGraceAnyNetwork=false"},
		{line("REFRESH_GRACE_NETWORK=any"), "config.refreshGraceAnyNetwork=true"},
		{local, "config.trustedProxies=[]"}, {line("TRUSTED_PROXIES=10.0.0.0/8"),
			"config.trustedProxies=[10.0.0.0/8]"},
		{local, "config.forwardAddress=false"}, {line("KEYCLOAK_FORWARD_ADDRESS=true"),
			"config.forwardAddress=true"},
		{local, "config.persistedQueries=true"}, {line("PERSISTED_QUERIES_BYTES=0"),
			"config.persistedQueries=false"},
		{local, "config.trustedDocuments=off"},
		{local, "config.tokenCacheBytes=50331648 config.answerCache=true"},
		{line("ANSWER_CACHE=off"), "config.answerCache=false"},
		{local, "config.backchannelLogout=true"},
		{line("BACKCHANNEL_LOGOUT=off"), "config.backchannelLogout=false"},
		{line("TOKEN_CACHE_BYTES=0"), "config.tokenCacheBytes=0 config.answerCache=false"},
		{local, "config.tokenAlgorithms=[]"}, {line("TOKEN_ALGORITHMS=ES256"),
			"config.tokenAlgorithms=[ES256]"},
		{line("LOGIN_ACCOUNT_SLOW_LIMIT=5/1h"),
			"config.loginAccountSlowLimit=5/1h0m0s"},
		{line("ADDRESS_LIMIT=500/1s"), "config.addressLimit=500/1s"},
		{line("LOGIN_REFUSAL_PAUSE=2s"),
			"config.loginRefusalPause=2s"},
		{line("REFRESH_TOKEN_LIMIT=9/1s"), "config.refreshTokenLimit=9/1s"},
		{line("REFRESH_ADDRESS_LIMIT=900/1s"), "config.refreshAddressLimit=900/1s"},
		{local, "config.loginAccountLimit=10/1m0s"}, {line("LOGIN_ADDRESS_LIMIT=200/1s"),
			"config.loginAddressLimit=200/1s"},
	} {
		if !strings.Contains(tt.line, tt.want) {
			t.Errorf("the logged line lacks %s:\n%s", tt.want, tt.line)
		}
	}
}
