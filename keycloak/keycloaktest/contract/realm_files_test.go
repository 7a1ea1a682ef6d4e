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

// A fileRow is a row of testdata/realm-files.json: a small realm file, and requests to its realm.
// The record says whether Keycloak accepts the file, and how it responds.
//
// The file has only what the row is about. The test adds the realm's name, the client app and the
// user robin; if the file has them, only their missing members. Unless the file has keys or a
// password policy, the test also adds the signing key of realmFile and its fast password hash:
// generating two RSA keys would take nearly half of Keycloak's time for an import.
type fileRow struct {
	Row      string        `json:"row"`
	Realm    object        `json:"realm"`
	Requests []fileRequest `json:"requests"` // none: robin signs in
	Bare     bool          `json:"bare"`     // without the usual key and hash
}

// A fileRequest is a request to the realm. The test adds the password grant if there is no grant,
// app's credentials if there is no client, and robin's to a password grant.
type fileRequest struct {
	// empty: the token endpoint; or "userinfo", "introspect", "authorize", "discovery", "certs"
	To   string            `json:"to"`
	Form map[string]string `json:"form"`
	// NotSupported says that the stand-in responds with 501 instead.
	NotSupported bool `json:"refusedHere"`
}

// The stand-in accepts the same realm files as Keycloak, and makes the same realms of them.
func TestRealmFiles(t *testing.T) {
	text, err := os.ReadFile("testdata/realm-files.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []fileRow
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	run(t, "realm-files", func(g *group) {
		for _, row := range rows {
			g.exchange(row.Row, func(x *exchange) { x.playFile(row) })
		}
	})
}

func (x *exchange) playFile(row fileRow) {
	r, err := x.tryRealm(row.file())
	switch {
	case errors.As(err, new(*importError)):
		x.note("refused")
		return
	case err != nil:
		x.Fatal(err)
	}
	requests := row.Requests
	if requests == nil {
		requests = []fileRequest{{}}
	}
	var tokens response
	for _, request := range requests {
		step, a := request.send(x, r, tokens)
		if request.NotSupported && x.kc.name() != "keycloak" {
			if code := a.member("error"); a.status != 501 || code != "not_in_keycloaktest" {
				x.Errorf("%s: %d %v, want 501 not_in_keycloaktest", step, a.status, code)
			}
			x.asRecorded(step)
			continue
		}
		switch {
		case a.header.Get("Location") != "":
			fmt.Fprintf(&x.out, "%s: %d %s\n", step, a.status, x.address(a.header.Get("Location")))
		case a.isPage():
			fmt.Fprintf(&x.out, "%s: %d, a page\n", step, a.status)
		default:
			x.outcome(step, a)
		}
		switch {
		case a.status != 200:
		case request.To == "":
			tokens = a
			claims := a.claims("access_token")
			// claims_test.go tests these claims
			for _, name := range []string{"iss", "iat", "exp", "jti", "sid", "typ", "azp"} {
				delete(claims, name)
			}
			fmt.Fprintf(&x.out, "access_token %s\n",
				x.render("", claims, timing{window: a.window}, ""))
		case request.To == "discovery":
			x.showMembers(a, "acr_values_supported", "scopes_supported")
		case request.To == "certs":
			x.listKeys(a)
		case !a.isPage():
			x.out.WriteString(x.json(a.body, a.window))
		}
	}
}

// listKeys records a key set, sorted and without what differs from run to run.
func (x *exchange) listKeys(a response) {
	var lines []string
	keys, _ := a.member("keys").([]any)
	for _, k := range keys {
		k := k.(object)
		lines = append(lines,
			fmt.Sprintf("key %v %v %v %v, %t\n", k["use"], k["alg"], k["kty"], k["crv"],
				k["x5c"] != nil))
	}
	slices.Sort(lines)
	x.out.WriteString(strings.Join(lines, ""))
}

// asRecorded copies a step from the record, for a request that the stand-in doesn't support.
func (x *exchange) asRecorded(step string) {
	inStep := false
	for line := range strings.Lines(x.group.record.recorded[x.name]) {
		if strings.TrimSpace(line) == "" {
			break
		}
		top := !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "}") &&
			!strings.Contains(line, "_token ")
		if top {
			inStep = strings.HasPrefix(line, step+": ")
		}
		if inStep {
			x.out.WriteString(line)
		}
	}
}

// file returns the row's realm file with the usual additions.
func (row fileRow) file() object {
	file := merge(object{"enabled": true}, row.Realm)
	complete := func(list, key string, usual object) {
		entries, _ := file[list].([]any)
		i := slices.IndexFunc(entries, func(entry any) bool {
			e, ok := entry.(object)
			return ok && e[key] == usual[key]
		})
		entries = slices.Clone(entries)
		if i < 0 {
			entries = append(entries, usual)
		} else {
			entries[i] = merge(usual, entries[i].(object))
		}
		file[list] = entries
	}
	if !row.Bare {
		usual := realmFile(nil)
		if _, ok := file["passwordPolicy"]; !ok {
			file["passwordPolicy"] = usual["passwordPolicy"]
		}
		components, _ := file["components"].(object)
		if _, ok := components[keyProviderType]; !ok {
			file["components"] = merge(components, usual["components"].(object))
		}
	}
	complete("clients", "clientId",
		object{"clientId": "app", "secret": "app-secret", "directAccessGrantsEnabled": true,
			"redirectUris": []any{callback}})
	complete("users", "username", object{
		"username": "robin", "email": "robin@example.com", "enabled": true, "firstName": "Test",
		"lastName":    "Person",
		"credentials": []any{object{"type": "password", "value": "secret"}},
	})
	return file
}

// send sends the request, and names the step for the record. tokens is the last response with
// tokens.
func (f fileRequest) send(x *exchange, r *realm, tokens response) (step string, out response) {
	values := form()
	for name, value := range f.Form {
		values.Set(name, value)
	}
	setDefault := func(name, value string) {
		if !values.Has(name) {
			values.Set(name, value)
		}
	}
	pairs := x.pairs(values)
	if f.To == "" {
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
	step = strings.TrimSpace(f.To + " " + pairs)
	switch f.To {
	case "":
		step = strings.TrimSpace("token " + pairs)
		return step, x.post(r.oidc("/token"), values)
	case "userinfo":
		return step, x.get(r.oidc("/userinfo"), "Authorization",
			"Bearer "+tokens.field("access_token"))
	case "introspect":
		values.Set("token", tokens.field("access_token"))
		return step, x.post(r.oidc("/token/introspect"), values)
	case "authorize":
		values.Del("client_secret")
		setDefault("response_type", "code")
		setDefault("redirect_uri", callback)
		setDefault("scope", "openid")
		return step, x.browser().open(r.oidc("/auth?" + values.Encode()))
	case "certs":
		return step, x.get(r.oidc("/certs"))
	case "discovery":
		return step, x.get(r.url("/.well-known/openid-configuration"))
	}
	x.Fatalf("unknown request %q", f.To)
	return "", response{}
}
