package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A fileRow is a row of testdata/realm-files.json: a small realm file, and requests to that realm.
// The recording shows whether Keycloak accepts the file, and how it responds to the requests.
//
// The file has only the settings that the row tests. The test adds the realm's name, the client app
// and the user robin. If the file already has that client or user, the test adds only the missing
// fields. The test also adds the signing key and the password policy from realmJSON, unless the
// file has keys or a policy: generating two RSA keys would take nearly half of the time of an
// import.
type fileRow struct {
	Name     string        `json:"row"`
	Realm    object        `json:"realm"`
	Requests []fileRequest `json:"requests"` // if there are no requests, robin signs in
	Bare     bool          `json:"bare"`     // don't add the signing key and the policy
}

// A fileRequest is a request to the realm. If the form has no grant_type, the test adds the
// password grant. If the form has no client_id, the test adds the credentials of app. To a password
// grant, the test also adds the credentials of robin.
type fileRequest struct {
	// Endpoint is "userinfo", "introspect", "authorize", "discovery", "certs", or empty for the
	// token endpoint.
	Endpoint string            `json:"to"`
	Form     map[string]string `json:"form"`
	// NotSupported means that the fake responds with a 501 instead.
	NotSupported bool `json:"notSupported"`
}

// TestRealmFiles checks that the fake accepts the same realm files as Keycloak, and that the
// resulting realms respond in the same way.
func TestRealmFiles(t *testing.T) {
	text, err := os.ReadFile("testdata/realm-files.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []fileRow
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	run(t, "realm-files", func(suite *testSuite) {
		for _, row := range rows {
			suite.add(row.Name, func(s *scenario) { s.runRow(row) })
		}
	})
}

// runRow imports the file of a row, and sends the row's requests.
func (s *scenario) runRow(row fileRow) {
	r, err := s.tryImport(row.file())
	switch {
	case errors.As(err, new(*importError)):
		s.note("refused")
		return
	case err != nil:
		s.Fatal(err)
	}
	requests := row.Requests
	if requests == nil {
		requests = []fileRequest{{}}
	}
	var tokens response
	for _, request := range requests {
		step, resp := request.send(s, r, tokens)
		if request.NotSupported && s.kc.name() != "keycloak" {
			if code := resp.value("error"); resp.status != 501 || code != "not_in_keycloaktest" {
				s.Errorf("%s: got %d %v, want 501 not_in_keycloaktest", step, resp.status, code)
			}
			s.copyRecorded(step)
			continue
		}
		switch {
		case resp.header.Get("Location") != "":
			fmt.Fprintf(&s.out, "%s: %d %s\n", step, resp.status,
				s.formatURL(resp.header.Get("Location")))
		case resp.isPage():
			fmt.Fprintf(&s.out, "%s: %d, a page\n", step, resp.status)
		default:
			s.recordOutcome(step, resp)
		}
		switch {
		case resp.status != 200:
		case request.Endpoint == "":
			tokens = resp
			claims := resp.claims("access_token")
			// claims_test.go tests these claims.
			for _, name := range []string{"iss", "iat", "exp", "jti", "sid", "typ", "azp"} {
				delete(claims, name)
			}
			fmt.Fprintf(&s.out, "access_token %s\n",
				s.render("", claims, timing{window: resp.window}, ""))
		case request.Endpoint == "discovery":
			s.recordFields(resp, "acr_values_supported", "scopes_supported")
		case request.Endpoint == "certs":
			s.recordKeySet(resp)
		case !resp.isPage():
			s.out.WriteString(s.formatJSON(resp.body, resp.window))
		}
	}
}

// recordKeySet records the types and the algorithms of the keys in a key set.
func (s *scenario) recordKeySet(resp response) {
	var lines []string
	keys, _ := resp.value("keys").([]any)
	for _, k := range keys {
		k := k.(object)
		lines = append(lines,
			fmt.Sprintf("key %v %v %v %v, %t\n", k["use"], k["alg"], k["kty"], k["crv"],
				k["x5c"] != nil))
	}
	slices.Sort(lines)
	s.out.WriteString(strings.Join(lines, ""))
}

// copyRecorded copies a step from the recording, for a request that the fake doesn't support.
func (s *scenario) copyRecorded(step string) {
	inStep := false
	for line := range strings.Lines(s.suite.recording.sections[s.name]) {
		if strings.TrimSpace(line) == "" {
			break
		}
		startsStep := !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "}") &&
			!strings.Contains(line, "_token ")
		if startsStep {
			inStep = strings.HasPrefix(line, step+": ")
		}
		if inStep {
			s.out.WriteString(line)
		}
	}
}

// file returns the row's realm file with the additions that fileRow describes.
func (row fileRow) file() object {
	file := merge(object{"enabled": true}, row.Realm)
	// addEntry adds an entry to the list. If an entry of the list has the same key, addEntry adds
	// only the fields that this entry lacks.
	addEntry := func(list, key string, defaults object) {
		entries, _ := file[list].([]any)
		i := slices.IndexFunc(entries, func(entry any) bool {
			e, ok := entry.(object)
			return ok && e[key] == defaults[key]
		})
		entries = slices.Clone(entries)
		if i < 0 {
			entries = append(entries, defaults)
		} else {
			entries[i] = merge(defaults, entries[i].(object))
		}
		file[list] = entries
	}
	if !row.Bare {
		defaults := realmJSON(nil)
		if _, ok := file["passwordPolicy"]; !ok {
			file["passwordPolicy"] = defaults["passwordPolicy"]
		}
		components, _ := file["components"].(object)
		if _, ok := components[keyProviderType]; !ok {
			file["components"] = merge(components, defaults["components"].(object))
		}
	}
	addEntry("clients", "clientId",
		object{"clientId": "app", "secret": "app-secret", "directAccessGrantsEnabled": true,
			"redirectUris": []any{callback}})
	addEntry("users", "username", object{
		"username": "robin", "email": "robin@example.com", "enabled": true, "firstName": "Test",
		"lastName":    "Person",
		"credentials": []any{object{"type": "password", "value": "secret"}},
	})
	return file
}

// send sends the request, and returns the name of the step in the record along with the response.
// tokens is the last response that had tokens.
func (f fileRequest) send(s *scenario, r *realm, tokens response) (step string, resp response) {
	values := form()
	for name, value := range f.Form {
		values.Set(name, value)
	}
	setDefault := func(name, value string) {
		if !values.Has(name) {
			values.Set(name, value)
		}
	}
	pairs := s.formatForm(values)
	if f.Endpoint == "" {
		setDefault("grant_type", "password")
		if values.Get("grant_type") == "password" {
			setDefault("username", "robin")
			setDefault("password", "secret")
			setDefault("scope", "openid")
		}
	}
	if !values.Has("client_id") {
		values.Set("client_id", "app")
		setDefault("client_secret", "app-secret")
	}
	step = strings.TrimSpace(f.Endpoint + " " + pairs)
	switch f.Endpoint {
	case "":
		step = strings.TrimSpace("token " + pairs)
		return step, s.post(r.endpoint("/token"), values)
	case "userinfo":
		return step, s.userinfo(r, tokens)
	case "introspect":
		values.Set("token", tokens.field("access_token"))
		return step, s.post(r.endpoint("/token/introspect"), values)
	case "authorize":
		values.Del("client_secret")
		setDefault("response_type", "code")
		setDefault("redirect_uri", callback)
		setDefault("scope", "openid")
		return step, s.newBrowser().open(r.endpoint("/auth?" + values.Encode()))
	case "certs":
		return step, s.get(r.endpoint("/certs"))
	case "discovery":
		return step, s.get(r.url("/.well-known/openid-configuration"))
	}
	s.Fatalf("unknown request %q", f.Endpoint)
	return "", response{}
}
