package keycloaktest

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// FuzzReadRealm checks that Import returns an error or a usable realm for any file. The realm must
// serve requests, and must not contain the file's private keys.
func FuzzReadRealm(f *testing.F) {
	for _, name := range []string{"../../deploy/keycloak/local-realm.json",
		"contract/testdata/export.json"} {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Add(RealmSpec{Name: "shop",
		Clients: []ClientSpec{{ID: "shop", Secret: "s", Roles: []string{"reader"}}},
		Users: []UserSpec{{Name: "ann", Password: "p", Roles: []string{"shop/reader"},
			Groups: []string{"/staff/night"}}}}.File())
	f.Add(
		[]byte(
			`{"realm":"r","enabled":true,"defaultSignatureAlgorithm":"ES256","components":{"org.keycloak.keys.KeyProvider":[
		{"providerId":"ecdsa-generated","config":{"priority":["7"],"ecdsaPrivateKey":["MIGH"]}}]}}`))
	f.Add(
		[]byte(
			`{"realm":"r","roles":{"realm":[{"name":"a","composites":{"realm":["b"]}},{"name":"b","composites":{"realm":["a"]}}]}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		s := newClosedServer()
		r, err := s.importWithWeakKeys(file)
		if err != nil {
			if len(err.Error()) > 64<<10 {
				t.Errorf("error has %d bytes, want at most 64 kB", len(err.Error()))
			}
			return
		}
		if strings.Contains(strings.Join(r.Ignored(), " "), "BEGIN") ||
			len(r.settings.Components) > 0 {
			t.Error("the realm contains part of a private key or a component, want neither")
		}
		for id := range r.clients {
			for _, u := range r.users {
				if _, err := r.SignIn(id, u.Username); err != nil &&
					!strings.HasPrefix(err.Error(), "keycloaktest: ") {
					t.Errorf("SignIn returns %v, want tokens or an error of keycloaktest", err)
				}
			}
			if len(r.users) > 5 {
				break
			}
		}
		for _, path := range []string{"", "/.well-known/openid-configuration", oidcPath +
			"/certs"} {
			status, _ := s.do(http.MethodGet, "/realms/"+r.escapedName()+path, "", "")
			if status != 200 && status != 403 {
				t.Errorf("GET %s returns %d, want 200 or 403", path, status)
			}
		}
	})
}

// FuzzForms checks that no endpoint panics, for any form, query and Authorization header.
func FuzzForms(f *testing.F) {
	const clientAuth = "client_id=shop&client_secret=s"
	for _, form := range []string{
		clientAuth + "&grant_type=password&username=ann&password=p&scope=openid",
		clientAuth + "&grant_type=refresh_token&refresh_token=a.b.c",
		clientAuth +
			"&grant_type=authorization_code&code=a.b.c&redirect_uri=http://localhost/cb&code_verifier=x",
		clientAuth + "&grant_type=client_credentials",
		clientAuth + "&grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x",
		clientAuth + "&token=a.b.c&token_type_hint=refresh_token",
		clientAuth + "&refresh_token=x",
		"id_token_hint=a.b.c&post_logout_redirect_uri=http://localhost/",
		"device_user_code=ABCD-EFGH", "access_token=x", "username=ann&password=p&credentialId=",
		"code=x&accept=Yes", "a=%zz", ";&=&&==", strings.Repeat("a=b&", 200),
	} {
		f.Add(form,
			"client_id=shop&response_type=code&redirect_uri=http://localhost/cb&scope=openid",
			"Basic c2hvcDpz")
		f.Add(form, "session_code=x&execution=y&client_id=shop&tab_id=z&client_data=e30",
			"Bearer a.b.c")
	}
	file := RealmSpec{Name: "shop",
		Clients: []ClientSpec{{ID: "shop", Secret: "s",
			RedirectURIs: []string{"http://localhost/*"}}},
		Users: []UserSpec{{Name: "ann", Password: "p"}}}.File()
	f.Fuzz(func(t *testing.T, form, query, authorization string) {
		s := newClosedServer()
		if _, err := s.importWithWeakKeys(file); err != nil {
			t.Fatal(err)
		}
		_, formErr := parseForm(form) // as in Keycloak, a malformed form returns 500
		for path, endpoint := range endpoints() {
			for _, method := range endpoint.methods {
				status, body := s.do(method, "/realms/shop"+path+"?"+query, authorization, form)
				if status < 200 || status > 501 ||
					status == 500 && (formErr == nil || method != "POST") {
					t.Errorf("%s %s returns %d %s, want no internal error", method, path, status,
						body)
				}
			}
		}
	})
}
