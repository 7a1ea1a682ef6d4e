package keycloaktest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A request that needs an unsupported feature returns an error that names the feature. Other
// requests to the same realm work.
func TestUnsupported_requests(t *testing.T) {
	t.Parallel()
	attribute := func(name, value string) string {
		return fmt.Sprintf(
			`"clients": [{%s, "attributes": {%q: %q, `+
				`"oauth2.device.authorization.grant.enabled": "true"}}]`, appFields, name, value)
	}
	clientFlow := func(name string) string {
		return `"authenticationFlows": [{"id": "f1", "alias": "mine", "authenticationExecutions": [{"authenticator": "deny-access-authenticator", "requirement": "REQUIRED"}]}],
			"clients": [{` + appFields + `, "authenticationFlowBindingOverrides": {"` + name + `": "f1"}, "attributes": {"oauth2.device.authorization.grant.enabled": "true"}}]`
	}
	realmFlow := func(name string) string {
		return `"` + name +
			`": "mine", "authenticationFlows": [{"alias": "mine", "authenticationExecutions": ` +
			`[{"authenticator": "deny-access-authenticator", "requirement": "REQUIRED"}]}]`
	}
	mapper := func(provider, config string) string {
		return `"clients": [{` + appFields +
			`, "attributes": {"oauth2.device.authorization.grant.enabled": "true"}, ` +
			`"protocolMappers": [{"name": "m", "protocol": "openid-connect", "protocolMapper": "` +
			provider + `", "config": {` + config + `}}]}]`
	}
	// levels returns a browser flow with levels of authentication, each with a form and a level.
	levels := func(formsAndLevels ...string) string {
		var subflows, flows, configs []string
		for i := 0; i+1 < len(formsAndLevels); i += 2 {
			subflows = append(subflows,
				fmt.Sprintf(`{"flowAlias": "l%d", "requirement": "CONDITIONAL"}`, i))
			flows = append(flows, fmt.Sprintf(`{"alias": "l%d", "authenticationExecutions": [`+
				`{"authenticator": "conditional-level-of-authentication", "requirement": "REQUIRED", `+
				`"authenticatorConfig": "l%d"}, {"authenticator": "%s", "requirement": `+
				`"REQUIRED"}]}`, i, i, formsAndLevels[i]))
			configs = append(configs, fmt.Sprintf(`{"alias": "l%d", "config": `+
				`{"loa-condition-level": "%s", "loa-max-age": "0"}}`, i, formsAndLevels[i+1]))
		}
		return fmt.Sprintf(`"browserFlow": "top", "authenticatorConfig": [%s], `+
			`"authenticationFlows": [{"alias": "top", "authenticationExecutions": [`+
			`{"authenticator": "auth-cookie", "requirement": "ALTERNATIVE"}, `+
			`{"flowAlias": "forms", "requirement": "ALTERNATIVE"}]}, {"alias": "forms", `+
			`"authenticationExecutions": [%s]}, %s]`, strings.Join(configs, ", "),
			strings.Join(subflows, ", "), strings.Join(flows, ", "))
	}
	const loginForm, otpForm = "auth-username-password-form", "auth-otp-form"
	wantLogin := []string{"authorize", "device"}
	// nestedFlows returns flows in which f1 contains f0 twice, f2 contains f1 twice, and so on.
	nestedFlows := func(depth int) string {
		flows := []string{`{"alias": "f0", "authenticationExecutions": []}`}
		for i := range depth {
			subflow := fmt.Sprintf(`{"flowAlias": "f%d", "requirement": "REQUIRED"}`, i)
			flows = append(flows, fmt.Sprintf(
				`{"alias": "f%d", "authenticationExecutions": [%s, %s]}`, i+1, subflow, subflow))
		}
		return fmt.Sprintf(`"browserFlow": "f%d", "authenticationFlows": [%s]`, depth,
			strings.Join(flows, ", "))
	}
	// The requests that fail if no tokens are issued. Userinfo and introspection need a token of
	// the password grant.
	tokenRequests := []string{"password", "client_credentials", "userinfo", "introspect"}
	for _, tt := range []struct {
		fields          string
		wantUnsupported []string // the requests that fail
		wantMessage     string
	}{
		{`"displayName": "Shop"`, nil, ""},
		{`"organizationsEnabled": true`, nil, ""},
		{`"organizations": [{"name": "acme"}]`, nil, ""},
		{`"organizationsEnabled": true, "organizations": [{"name": "acme"}]`,
			[]string{"authorize", "device"}, "realm shop: organizations are not supported"},
		{`"attributes": {"organizationsEnabled": "true"}, "organizations": [{"name": "acme"}]`,
			[]string{"authorize", "device"}, "realm shop: organizations are not supported"},
		{mapper("oidc-organization-membership-mapper",
			`"addOrganizationDomain": "true", "access.token.claim": "true"`),
			slices.Concat(tokenRequests, []string{"authorize"}), "addOrganizationDomain"},
		{`"attributes": {"shortVerificationUri": "http://localhost/d"}`, []string{"device"},
			"the attribute shortVerificationUri is not supported"},
		{`"bruteForceProtected": true, "maxSecondaryAuthFailures": 3`, nil, ""}, // no effect: the user has no second factor
		{realmFlow("browserFlow"), []string{"authorize", "device"},
			"browserFlow: mine is not supported"},
		{realmFlow("directGrantFlow"), []string{"password", "userinfo", "introspect"},
			"directGrantFlow: mine is not supported"},
		{`"browserFlow": "a", "authenticationFlows": [{"alias": "a", "authenticationExecutions": ` +
			`[{"flowAlias": "a", "requirement": "REQUIRED"}]}]`,
			[]string{"authorize", "device"},
			"browserFlow: the authentication flow a contains itself"},
		{`"browserFlow": "a", "authenticationFlows": [{"alias": "a", "authenticationExecutions": ` +
			`[{"flowAlias": "b", "requirement": "REQUIRED"}]}, {"alias": "b", ` +
			`"authenticationExecutions": [{"flowAlias": "b", "requirement": "REQUIRED"}]}]`,
			[]string{"authorize", "device"},
			"browserFlow: the authentication flow b contains itself"},
		{nestedFlows(10), []string{"authorize", "device"},
			"browserFlow: the authentication flow f10 expands to more than 1000 flows"},
		{levels(loginForm, "1"), nil, ""},
		{levels(loginForm, "1", otpForm, "2", "auth-password-form", "5"), nil, ""},
		{levels(loginForm, "2", otpForm, "1"), wantLogin, "levels of authentication as in"},
		{levels(loginForm, "1", otpForm, "1"), wantLogin, "levels of authentication as in"},
		{levels(loginForm, "0"), wantLogin, "levels of authentication as in"},
		{levels(loginForm, ""), wantLogin, "levels of authentication as in"},
		{levels(loginForm, "99999999999999999999"), wantLogin, "levels of authentication as in"},
		{levels(otpForm, "1"), wantLogin, "levels of authentication as in"},
		{levels(loginForm, "1", loginForm, "2"), wantLogin, "levels of authentication as in"},
		{levels(loginForm, "1", "webauthn-authenticator", "2"), wantLogin,
			"REQUIRED webauthn-authenticator"},
		{realmFlow("clientAuthenticationFlow"), slices.Concat(tokenRequests, []string{"device"}),
			"clientAuthenticationFlow: mine is not supported"},
		{clientFlow("browser"), []string{"authorize", "device"},
			"client app: authenticationFlowBindingOverrides: browser is not supported"},
		{clientFlow("direct_grant"), []string{"password", "userinfo", "introspect"},
			"client app: authenticationFlowBindingOverrides: direct_grant is not supported"},
		{`"clientPolicies": {"policies": [{"name": "strict", "enabled": true}]}`,
			slices.Concat(tokenRequests,
				[]string{"authorize", "device",
					"logout"}), "the client policy strict is not supported"},
		{`"components": {"org.keycloak.storage.UserStorageProvider": [{"providerId": "ldap", ` +
			`"config": {"editMode": ["READ_ONLY"]}}]}`, []string{"unknown user"},
			"user federation is not supported"},
		{`"userFederationProviders": [{"providerName": "ldap"}]`, []string{"unknown user"},
			"user federation is not supported"},

		{`"defaultSignatureAlgorithm": "none"`, slices.Concat(tokenRequests, []string{"authorize"}),
			"defaultSignatureAlgorithm: none isn't a signature algorithm"},
		{`"attributes": {"defaultSignatureAlgorithm": "none"}`,
			slices.Concat(tokenRequests,
				[]string{"authorize"}), "defaultSignatureAlgorithm: none isn't a signature " +
				"algorithm"},
		{attribute("access.token.lifespan", "soon"),
			slices.Concat(tokenRequests, []string{"authorize"}), "access.token.lifespan"},
		{attribute("user.info.response.signature.alg", "RS256"), []string{"userinfo"},
			"user.info.response.signature.alg"},
		{attribute("user.info.encrypted.response.alg", "RSA-OAEP"), []string{"userinfo"},
			"user.info.encrypted.response.alg"},
		{attribute("id.token.encrypted.response.alg", "RSA-OAEP"),
			[]string{"password", "authorize", "userinfo",
				"introspect"}, "id.token.encrypted.response.alg"},
		{attribute("id.token.signed.response.alg", "XX1"),
			[]string{"password", "authorize", "userinfo",
				"introspect"}, "id.token.signed.response.alg"},
		{attribute("access.token.signed.response.alg", "XX1"),
			slices.Concat(tokenRequests,
				[]string{"authorize"}), "access.token.signed.response.alg"},
		{attribute("logout.token.signed.response.alg", "XX1"), []string{"logout"},
			"logout.token.signed.response.alg"},
		{attribute("request.object.required", "request or request_uri"),
			[]string{"authorize", "device"}, "request.object.required"},
		{attribute("require.pushed.authorization.requests", "true"),
			[]string{"authorize", "device"}, "require.pushed.authorization.requests"},
		{attribute("tls.client.certificate.bound.access.tokens", "true"),
			slices.Concat(tokenRequests,
				[]string{"authorize"}), "tls.client.certificate.bound.access.tokens"},
		{attribute("dpop.bound.access.tokens", "true"),
			slices.Concat(tokenRequests, []string{"authorize"}), "dpop.bound.access.tokens"},
		{attribute("exclude.session.state.from.auth.response", "true"),
			[]string{"authorize", "device"}, "exclude.session.state.from.auth.response"},
		{attribute("exclude.issuer.from.auth.response", "true"), []string{"authorize", "device"},
			"exclude.issuer.from.auth.response"},
		{attribute("allow.oidc.params.in.redirect.uris", "true"), []string{"authorize", "device"},
			"allow.oidc.params.in.redirect.uris"},
		{attribute("logout.confirmation.enabled", "true"), []string{"logout"},
			"logout.confirmation.enabled"},
		{attribute("allow.token.introspection.without.audience.check", "true"),
			[]string{"introspect"}, "allow.token.introspection.without.audience.check"},
		{attribute("client.introspection.response.allow.jwt.claim.enabled", "true"),
			[]string{"introspect"}, "client.introspection.response.allow.jwt.claim.enabled"},
		{attribute("allow.userinfo.with.lightweight.access.token", "true"), []string{"userinfo"},
			"allow.userinfo.with.lightweight.access.token"},
		{attribute("client.secret.authentication.allowed.method", "client_secret_basic"),
			slices.Concat(tokenRequests,
				[]string{"device"}), "client.secret.authentication.allowed.method"},
		// No effect: Keycloak uses it only for SAML.
		{attribute("acr.uri.map", `{"urn:x":"1"}`), nil, ""},
		{attribute("default.acr.values", "2"), nil, ""},
		{attribute("minimum.acr.value", "2"), nil, ""},
		{attribute("logout.confirmation.enabled", "false"), nil, ""},

		{mapper("oidc-foo-mapper", `"userinfo.token.claim": "true"`), []string{"userinfo"},
			"protocolMapper oidc-foo-mapper is not supported: it isn't built into Keycloak"},
		{mapper("oidc-foo-mapper", `"id.token.claim": "true", "userinfo.token.claim": "false"`),
			[]string{"password", "authorize", "userinfo", "introspect"}, "oidc-foo-mapper"},
		{mapper("oidc-foo-mapper", `"introspection.token.claim": "true"`), []string{"introspect"},
			"oidc-foo-mapper"},
		{mapper("oidc-foo-mapper", `"access.token.claim": "true"`),
			slices.Concat(tokenRequests, []string{"authorize"}), "oidc-foo-mapper"},
		{mapper("oidc-nonce-backwards-compatible-mapper", ``), []string{"authorize", "device"},
			"oidc-nonce-backwards-compatible-mapper"},
		{mapper("oidc-sha256-pairwise-sub-mapper", ``),
			slices.Concat(tokenRequests,
				[]string{"authorize", "device", "logout"}), "oidc-sha256-pairwise-sub-mapper"},
	} {
		file := `{"realm": "shop", "enabled": true, ` + tt.fields
		if !strings.Contains(tt.fields, `"clients"`) {
			file += `, "clients": [{` + appFields +
				`, "attributes": {"oauth2.device.authorization.grant.enabled": "true"}}]`
		}
		file += `, "users": [{"username": "ann", "enabled": true, "email": "ann@example.com", ` +
			`"firstName": "A", "lastName": "N", "credentials": [{"type": "password", "value": ` +
			`"pw"}]}]}`
		kc := keycloaktest.New(t)
		r, err := kc.Import([]byte(file))
		if err != nil {
			t.Errorf("Import of %s returns %v, want no error", tt.fields, err)
			continue
		}
		got := unsupportedRequests(t, r)
		for name, message := range got {
			if !slices.Contains(tt.wantUnsupported, name) {
				t.Errorf("%s: %s fails with %s, want success", tt.fields, name, message)
			} else if message != "" && !strings.Contains(message, tt.wantMessage) {
				t.Errorf("%s: %s fails with %q, want %q", tt.fields, name, message, tt.wantMessage)
			}
		}
		for _, name := range tt.wantUnsupported {
			if _, ok := got[name]; !ok {
				t.Errorf("%s: %s succeeds, want an error", tt.fields, name)
			}
		}
	}
}

// appFields has the first fields of a client that has all grants enabled.
const appFields = `"clientId": "app", "secret": "s", "directAccessGrantsEnabled": true, ` +
	`"serviceAccountsEnabled": true, "redirectUris": ["http://localhost:8000/*"]`

var noRedirectClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
	return http.ErrUseLastResponse
}}

// unsupportedRequests sends a request of each kind to a realm. It returns the error messages of
// those that fail with not_in_keycloaktest, by the kind of request. If it gets no token, the result
// also has the kinds that need a token, with an empty message.
func unsupportedRequests(t *testing.T, r *keycloaktest.Realm) map[string]string {
	t.Helper()
	messages := map[string]string{}
	// sendAndRecord sends a request and returns the body of the response. It adds the error message
	// of an unsupported request to messages.
	sendAndRecord := func(name string, send func() (*http.Response, error)) string {
		resp, err := send()
		if err != nil {
			t.Fatal(err)
		}
		redirect, err := url.QueryUnescape(resp.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(redirect, "error=not_in_keycloaktest") {
			messages[name] = redirect
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusNotImplemented &&
			strings.Contains(string(body), "not_in_keycloaktest") {
			messages[name] = strings.ReplaceAll(string(body), `\"`, `"`)
		}
		return string(body)
	}
	post := func(endpoint string, pairs ...string) func() (*http.Response, error) {
		values := url.Values{"client_id": {"app"}, "client_secret": {"s"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return func() (*http.Response, error) {
			return http.PostForm(r.EndpointURL(endpoint), values)
		}
	}
	tokens := sendAndRecord("password",
		post("/token", "grant_type", "password", "username", "ann", "password", "pw", "scope",
			"openid"))
	sendAndRecord("unknown user",
		post("/token", "grant_type", "password", "username", "bob", "password", "pw", "scope",
			"email"))
	if message := messages["unknown user"]; message != "" &&
		(messages["password"] != "" || strings.Contains(message, "client")) {
		delete(messages, "unknown user") // it fails for another reason
	}
	sendAndRecord("client_credentials", post("/token", "grant_type", "client_credentials"))
	sendAndRecord("device", post("/auth/device"))
	sendAndRecord("authorize", func() (*http.Response, error) {
		return noRedirectClient.Get(r.EndpointURL("/auth") +
			"?client_id=app&response_type=code&scope=openid&redirect_uri=" +
			url.QueryEscape("http://localhost:8000/x"))
	})
	sendAndRecord("logout", func() (*http.Response, error) {
		return http.Get(r.EndpointURL("/logout") + "?client_id=app")
	})
	_, rest, _ := strings.Cut(tokens, `"access_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if token == "" {
		messages["userinfo"], messages["introspect"] = "", ""
		return messages
	}
	sendAndRecord("introspect", post("/token/introspect", "token", token))
	sendAndRecord("userinfo", func() (*http.Response, error) {
		request, err := http.NewRequest(http.MethodGet, r.EndpointURL("/userinfo"), nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		return http.DefaultClient.Do(request)
	})
	return messages
}

// SignIn doesn't authenticate the client, so it works for a client whose authentication method
// isn't supported. It returns an error if the tokens need an unsupported feature.
func TestUnsupported_clientAuthenticator(t *testing.T) {
	t.Parallel()
	r, err := keycloaktest.New(t).Import(
		[]byte(
			`{"realm":"r","enabled":true,"users":[{"username":"ann","enabled":true,"email":"ann@example.com","firstName":"A","lastName":"N"}],"clients":[
		{"clientId":"signed","clientAuthenticatorType":"client-jwt"}, {"clientId":"bound","secret":"s","attributes":{"dpop.bound.access.tokens":"true"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SignIn("signed", "ann"); err != nil {
		t.Errorf("SignIn of a client with client-jwt returns %v, want no error", err)
	}
	if _, err := r.SignIn("bound", "ann"); err == nil ||
		!strings.Contains(err.Error(), "dpop.bound.access.tokens") {
		t.Errorf("SignIn of a client with DPoP returns %v, want dpop.bound.access.tokens", err)
	}
}
