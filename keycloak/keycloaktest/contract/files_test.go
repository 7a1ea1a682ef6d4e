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

// A fileRow is a row of testdata/realm-files.json: a small realm file, and what is asked of the
// realm that it makes. The record says whether Keycloak takes the file, and what it answers.
//
// A file gets the realm's name, the client app and the user robin, unless it has them: it says only
// what the row is about. A member of app or of robin that the file has wins. It also gets the
// signing key and the quick hash of realmFile, where it says nothing of keys or of a password
// policy: two RSA keys are nearly half of what an import costs Keycloak.
type fileRow struct {
	Row      string       `json:"row"`
	Realm    object       `json:"realm"`
	Requests []fileAsking `json:"requests"` // none: robin signs in
	Bare     bool         `json:"bare"`     // without the usual key and hash
}

// A fileAsking is one request. Its form is completed: app's credentials where no client is named,
// and robin's at the grant password, which is the one where none is named.
type fileAsking struct {
	// "token" where it is empty, "userinfo", "introspect", "authorize", "discovery", "certs"
	To   string            `json:"to"`
	Form map[string]string `json:"form"`
	// RefusedHere says that the stand-in refuses by name what Keycloak answers.
	RefusedHere bool `json:"refusedHere"`
}

// TestRealmFiles holds the reader of realm files to Keycloak's import: the same file makes the same
// realm.
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
	case errors.As(err, new(*refusal)):
		x.note("refused")
		return
	case err != nil:
		x.Fatal(err)
	}
	requests := row.Requests
	if requests == nil {
		requests = []fileAsking{{}}
	}
	var tokens answer
	for _, asking := range requests {
		step, a := asking.send(x, r, tokens)
		if asking.RefusedHere && x.side.name() != "keycloak" {
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
		case asking.To == "":
			tokens = a
			about := a.claims("access_token")
			// claims_test.go is about these
			for _, usual := range []string{"iss", "iat", "exp", "jti", "sid", "typ", "azp"} {
				delete(about, usual)
			}
			fmt.Fprintf(&x.out, "access_token %s\n",
				x.render("", about, normal{window: a.window}, ""))
		case asking.To == "discovery":
			x.showMembers(a, "acr_values_supported", "scopes_supported")
		case asking.To == "certs":
			x.listKeys(a)
		case !a.isPage():
			x.out.WriteString(x.json(a.body, a.window))
		}
	}
}

// listKeys shows a key set without what differs from run to run, in an order that doesn't either.
func (x *exchange) listKeys(a answer) {
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

// asRecorded repeats what the record says of a step: the stand-in has refused it by name.
func (x *exchange) asRecorded(step string) {
	inStep := false
	for line := range strings.Lines(x.group.record.recorded[x.play]) {
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

// file is the row's realm file, completed.
func (row fileRow) file() object {
	file := merge(object{"enabled": true}, row.Realm)
	complete := func(list, key string, own object) {
		entries, _ := file[list].([]any)
		at := slices.IndexFunc(entries, func(entry any) bool {
			e, is := entry.(object)
			return is && e[key] == own[key]
		})
		entries = slices.Clone(entries)
		if at < 0 {
			entries = append(entries, own)
		} else {
			entries[at] = merge(own, entries[at].(object))
		}
		file[list] = entries
	}
	if !row.Bare {
		usual := realmFile(nil)
		if _, has := file["passwordPolicy"]; !has {
			file["passwordPolicy"] = usual["passwordPolicy"]
		}
		components, _ := file["components"].(object)
		if _, has := components[keyProviderType]; !has {
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

// send asks, and names the step for the record. tokens is the last answer of the token endpoint
// with tokens.
func (a fileAsking) send(x *exchange, r *realm, tokens answer) (step string, out answer) {
	values := form()
	for name, value := range a.Form {
		values.Set(name, value)
	}
	absent := func(name, value string) {
		if !values.Has(name) {
			values.Set(name, value)
		}
	}
	asked := x.pairs(values)
	if a.To == "" {
		absent("grant_type", "password")
		if values.Get("grant_type") == "password" {
			absent("username", "robin")
			absent("password", "secret")
			absent("scope", "openid")
		}
	}
	if !values.Has("client_id") {
		values.Set("client_id", "app")
		absent("client_secret", "app-secret")
	}
	step = strings.TrimSpace(a.To + " " + asked)
	switch a.To {
	case "":
		step = strings.TrimSpace("token " + asked)
		return step, x.post(r.oidc("/token"), values)
	case "userinfo":
		return step, x.get(r.oidc("/userinfo"), "Authorization",
			"Bearer "+tokens.field("access_token"))
	case "introspect":
		values.Set("token", tokens.field("access_token"))
		return step, x.post(r.oidc("/token/introspect"), values)
	case "authorize":
		values.Del("client_secret")
		absent("response_type", "code")
		absent("redirect_uri", callback)
		absent("scope", "openid")
		return step, x.browser().open(r.oidc("/auth?" + values.Encode()))
	case "certs":
		return step, x.get(r.oidc("/certs"))
	case "discovery":
		return step, x.get(r.url("/.well-known/openid-configuration"))
	}
	x.Fatalf("unknown request %q", a.To)
	return "", answer{}
}
