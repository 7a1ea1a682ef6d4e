package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	keycloakBadCredentials = `{"error":"invalid_grant","error_description":"Invalid user ` +
		`credentials"}`
	keycloakDisabled   = `{"error":"invalid_grant","error_description":"Account disabled"}`
	badCredentialsBody = `{"errors":[{"message":"Username or password is ` +
		`incorrect!","path":["login"],"locations":[{"line":1,"column":50}],"extensions":{"code":"INVALID_CREDENTIALS"}}],"data":null}` + "\n"
)

// For each reason to reject a sign-in, Keycloak itself returns the expected response, and the
// server the expected code. Failures that clients must not be able to tell apart have equal
// responses, byte for byte.
func TestLogin_rejected(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, object{"bruteForceProtected": true, "failureFactor": 3})
	s, oldKeycloak := r.serve(t), sharedKeycloak.isBefore26_6(t)
	for _, tt := range []struct {
		name         string
		user         object // nil for an unknown user
		password     string
		lockFirst    bool   // lock the account first, with wrong passwords sent to Keycloak itself
		keycloakBody string // Keycloak's response to the same sign-in
		code         string
		wantGeneric  bool // the server's response must be badCredentialsBody
	}{
		{"wrong password", object{}, "wrong", false, keycloakBadCredentials, "INVALID_CREDENTIALS",
			true},
		{"unknown user", nil, "secret", false, keycloakBadCredentials, "INVALID_CREDENTIALS", true},
		{"locked, right password", object{}, "secret", true, keycloakBadCredentials,
			"INVALID_CREDENTIALS", true},
		{"disabled, wrong password", object{"enabled": false}, "wrong", false,
			keycloakBadCredentials, "INVALID_CREDENTIALS", true},
		{"one-time code missing",
			object{"credentials": otpCredentials("secret",
				"otp-secret-of-a-test")}, "secret", false, keycloakBadCredentials,
			"INVALID_CREDENTIALS", true},
		{"disabled, right password", object{"enabled": false}, "secret", false, keycloakDisabled,
			"ACCOUNT_DISABLED", false},
		{"required action, right password", object{"requiredActions": []string{"UPDATE_PASSWORD"}},
			"secret", false,
			`{"error":"invalid_grant","error_description":"Account is not fully set up"}`,
			"ACCOUNT_NOT_READY", false},
		{"required action, wrong password", object{"requiredActions": []string{"UPDATE_PASSWORD"}},
			"wrong", false, keycloakBadCredentials, "INVALID_CREDENTIALS", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, id := "nobody-of-this-name", ""
			if tt.user != nil {
				name, id = r.newUser(t, tt.user)
			}
			// Keycloak counts a failed sign-in on another thread. Until it has, it rejects the
			// account's next sign-in without counting that one, so sign in until the user is
			// locked.
			if tt.lockFirst {
				waitUntil(t, "the user is locked", func() bool {
					r.k.token(t, r.name, "grant_type", "password", "client_id", "local-api",
						"client_secret", "local-api-secret", "username", name, "password", "wrong")
					return r.isLocked(t, id)
				})
			}
			wantStatus := http.StatusBadRequest
			if oldKeycloak {
				switch {
				case tt.name == "disabled, wrong password": // Keycloak reveals the disabled account
					tt.keycloakBody, tt.code = keycloakDisabled, "ACCOUNT_DISABLED"
					tt.wantGeneric = false
				case tt.keycloakBody == keycloakBadCredentials:
					wantStatus = http.StatusUnauthorized
				}
			}
			status, body := r.k.token(t, r.name, "grant_type", "password", "client_id", "local-api",
				"client_secret", "local-api-secret", "username", name, "password", tt.password)
			if status != wantStatus || body != tt.keycloakBody {
				t.Fatalf("login at Keycloak: got %d %s, want %d %s", status, body, wantStatus,
					tt.keycloakBody)
			}
			_, response := s.login(t, name, tt.password)
			wantCode(t, "login", response, tt.code)
			if tt.wantGeneric && response.body != badCredentialsBody {
				t.Errorf("the response differs from that to a wrong password:\n got %s\nwant %s",
					response.body, badCredentialsBody)
			}
		})
	}
}

// otto, whose account requires a one-time code, signs in with the current code.
func TestLogin_oneTimeCode(t *testing.T) {
	t.Parallel()
	s := serve(t, sharedKeycloak)
	// If an earlier run has used the current code, try the next one.
	response := s.query(t, "", loginQuery,
		object{"u": "otto", "p": "otto-password", "o": totp("otto-otp-secret-0001", time.Now())})
	if response.code() != "" {
		response = s.query(t, "", loginQuery,
			object{"u": "otto", "p": "otto-password",
				"o": totp("otto-otp-secret-0001", time.Now().Add(30*time.Second))})
	}
	wantCode(t, "login with a one-time code", response, "")
}

// If a setting of the server or of the realm is wrong, the client gets only a generic error, and
// the log names the setting to change.
func TestLogin_misconfigured(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, object{"clients": []object{
		apiClient(nil),
		apiClient(object{"clientId": "no-direct-grants", "directAccessGrantsEnabled": false}),
		apiClient(object{"clientId": "asks-consent", "consentRequired": true}),
		apiClient(object{"clientId": "switched-off", "enabled": false}),
		apiClient(object{"clientId": "only-bearer", "bearerOnly": true,
			"directAccessGrantsEnabled": false}),
	}})
	user, _ := r.newUser(t, nil)
	rolelessUser, id := r.newUser(t, nil)
	r.removeRole(t, id, "default-roles-"+r.name)
	disabledRealm := newRealm(t, sharedKeycloak, object{"enabled": false})
	httpsRealm := newRealm(t, sharedKeycloak, object{"sslRequired": "all"})

	const codeMisconfigured = "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_MISCONFIGURED"
	type row struct {
		name     string
		settings string // one per line
		username string
		code     string
		response string // Keycloak's response, as quoted in the log
		hint     string // the setting to change, as named in the log
	}
	rows := []row{
		{"wrong secret", "KEYCLOAK_CLIENT_SECRET_KEY=wrong", user, codeMisconfigured,
			`401 "unauthorized_client" "Invalid client or Invalid client credentials"`,
			"KEYCLOAK_CLIENT_SECRET_KEY"},
		{"unknown client", "KEYCLOAK_CLIENT_ID=nobody", user, codeMisconfigured,
			`401 "invalid_client" "Invalid client or Invalid client credentials"`,
			"KEYCLOAK_CLIENT_ID"},
		{"disabled client", "KEYCLOAK_CLIENT_ID=switched-off", user, codeMisconfigured,
			`401 "invalid_client" "Invalid client or Invalid client credentials"`,
			"KEYCLOAK_CLIENT_ID"},
		{"bearer-only client", "KEYCLOAK_CLIENT_ID=only-bearer", user, codeMisconfigured,
			`400 "invalid_client" "Bearer-only not allowed"`, "KEYCLOAK_CLIENT_ID"},
		{"direct grants off", "KEYCLOAK_CLIENT_ID=no-direct-grants", user,
			"LOGIN_NOT_ALLOWED/DIRECT_GRANT_DISABLED",
			`400 "unauthorized_client" "Client not allowed for direct access grants"`,
			"Direct access grants"},
		{"consent required", "KEYCLOAK_CLIENT_ID=asks-consent", user, codeMisconfigured,
			`400 "invalid_client" "Client requires user consent"`, "Consent required"},
		{"unknown scope", "LOGIN_SCOPE=openid bogus", user, codeMisconfigured,
			`400 "invalid_scope" "Invalid scopes: [12 bytes]"`, "LOGIN_SCOPE"},
		{"offline access not allowed", "LOGIN_SCOPE=openid offline_access", rolelessUser,
			codeMisconfigured, `400 "not_allowed" "Offline tokens not allowed for the user or ` +
				`client"`,
			"LOGIN_SCOPE"},
		{"unknown realm", "KEYCLOAK_REALM_NAME=nowhere", user, codeMisconfigured,
			`404 "Realm does not exist" ""`, "KEYCLOAK_REALM_NAME"},
		{"disabled realm", "KEYCLOAK_REALM_NAME=" + disabledRealm.name, user, codeMisconfigured,
			`403 "access_denied" "Realm not enabled"`, "enable the realm"},
		{"https required", "KEYCLOAK_REALM_NAME=" + httpsRealm.name, user, codeMisconfigured,
			`403 "invalid_request" "HTTPS required"`, "https URL"},
		{"wrong path prefix", "KEYCLOAK_SERVER_URL=" + sharedKeycloak.url + "/auth", user,
			codeMisconfigured, `404 "Unable to find matching target resource method" ""`,
			"KEYCLOAK_SERVER_URL"},
	}
	oldKeycloak := sharedKeycloak.isBefore26_6(t)
	if oldKeycloak {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == "bearer-only client" })
		rows[i].response = `401 "unauthorized_client" "Invalid client or Invalid client ` +
			`credentials"`
		rows[i].hint = "KEYCLOAK_CLIENT_SECRET_KEY"
	}
	if usesRealKeycloak() { // the fake has its own messages for these clients
		unsupportedRealm := newRealm(t, sharedKeycloak, object{"clients": []object{
			apiClient(object{"clientId": "basic",
				"attributes": object{
					"client.secret.authentication.allowed.method": "client_secret_basic",
				}}),
			apiClient(object{"clientId": "signed", "clientAuthenticatorType": "client-jwt"}),
			apiClient(object{"clientId": "signed-by-secret",
				"clientAuthenticatorType": "client-secret-jwt"}),
			apiClient(object{"clientId": "certificate", "clientAuthenticatorType": "client-x509"}),
			apiClient(object{"clientId": "saml", "protocol": "saml",
				"protocolMappers": []object{}}),
			apiClient(object{"clientId": "dpop",
				"attributes": object{"dpop.bound.access.tokens": "true"}}),
			apiClient(object{"clientId": "bound",
				"attributes": object{"tls.client.certificate.bound.access.tokens": "true"}}),
		}})
		user, _ := unsupportedRealm.newUser(t, nil)
		settings := "KEYCLOAK_REALM_NAME=" + unsupportedRealm.name + "\nKEYCLOAK_CLIENT_ID="
		if !oldKeycloak {
			rows = append(rows, row{"secret in a header only", settings + "basic", user,
				codeMisconfigured, `"Invalid method used to get client secret. Client requires ` +
					`method ` +
					`'client_secret_basic' to obtain client secret from the request"`,
				"Allowed authentication method"})
		}
		rows = append(rows,
			row{"client with a signed JWT", settings + "signed", user, codeMisconfigured,
				`"Parameter client_assertion_type is missing"`, "Client Authenticator"},
			row{"client with a JWT signed by its secret", settings + "signed-by-secret", user,
				codeMisconfigured, `"Parameter client_assertion_type is missing"`,
				"Client Authenticator"},
			row{"client certificate", settings + "certificate", user, codeMisconfigured,
				`401 "invalid_client"`, "Client Authenticator"},
			row{"SAML client", settings + "saml", user, codeMisconfigured,
				`"Wrong client protocol."`, "SAML"},
			row{"DPoP required", settings + "dpop", user, codeMisconfigured,
				`"DPoP proof is missing"`, "Require DPoP bound tokens"},
			row{"tokens bound to certificates", settings + "bound", user, codeMisconfigured,
				`"Client Certification missing for MTLS HoK Token Binding"`, "Mutual TLS"},
		)
		policyRealm := newRealm(t, sharedKeycloak, nil)
		policyRealm.k.callAdmin(t, http.MethodPut, "/"+policyRealm.name+"/client-policies/profiles",
			object{"profiles": []object{
				{"name": "p", "executors": []object{{"executor": "reject-ropc-grant",
					"configuration": object{"auto-configure": "false"}}}},
			}})
		policyRealm.k.callAdmin(t, http.MethodPut, "/"+policyRealm.name+"/client-policies/policies",
			object{"policies": []object{
				{"name": "p", "enabled": true,
					"conditions": []object{{"condition": "any-client", "configuration": object{}}},
					"profiles":   []string{"p"}},
			}})
		rows = append(rows, row{"client policy", "KEYCLOAK_REALM_NAME=" + policyRealm.name, user,
			"LOGIN_NOT_ALLOWED/DIRECT_GRANT_DISABLED",
			`"resource owner password credentials grant is prohibited."`, "reject-ropc-grant"})
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := r.serve(t, strings.Split(tt.settings, "\n")...)
			_, response := s.login(t, tt.username, "secret")
			wantCode(t, "login", response, tt.code)
			s.wantLog(t, tt.response)
			s.wantLog(t, tt.hint)
		})
	}
}

// For each reason to reject a refresh token, Keycloak itself returns the expected description, and
// the server the expected reason.
func TestRefresh_rejected(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak,
		object{"clients": []object{apiClient(nil), apiClient(object{"clientId": "other"})}})
	s := r.serve(t, "REFRESH_GRACE=0")
	shortSessionRealm := newRealm(t, sharedKeycloak,
		object{"ssoSessionIdleTimeout": 2, "ssoSessionMaxLifespan": 2})
	shortSessionServer := shortSessionRealm.serve(t, "REFRESH_GRACE=0")
	login := func(t *testing.T, r realm, s *server) (tokens, string) {
		user, id := r.newUser(t, nil)
		return s.mustLogin(t, user, "secret"), id
	}
	for _, tt := range []struct {
		name        string
		token       func(t *testing.T) string
		server      *server
		description string // in Keycloak's response
		reason      string // in the server's response
	}{
		{"garbage", func(*testing.T) string { return "garbage" }, s,
			"Invalid refresh token", "INVALID"},
		{"access token", func(t *testing.T) string {
			first, _ := login(t, r, s)
			return first.AccessToken
		}, s,
			"Invalid refresh token", "INVALID"},
		{"token of another client", func(t *testing.T) string {
			user, _ := r.newUser(t, nil)
			return r.serve(t, "KEYCLOAK_CLIENT_ID=other").mustLogin(t, user, "secret").RefreshToken
		}, s, "Invalid refresh token. Token client and authorized client don't match", "INVALID"},
		{"expired", func(t *testing.T) string {
			first, _ := login(t, shortSessionRealm, shortSessionServer)
			time.Sleep(3 * time.Second)
			return first.RefreshToken
		}, shortSessionServer, "Token is not active", "EXPIRED"},
		{"session ended by an administrator", func(t *testing.T) string {
			first, id := login(t, r, s)
			r.logoutUser(t, id)
			return first.RefreshToken
		}, s, "Session not active", "SESSION_ENDED"},
		{"user disabled", func(t *testing.T) string {
			first, id := login(t, r, s)
			r.updateUser(t, id, object{"enabled": false})
			return first.RefreshToken
		}, s, "User disabled", "SESSION_ENDED"},
		{"newest token, after a reuse", func(t *testing.T) string {
			first, _ := login(t, r, s)
			status, body := r.refresh(t, first.RefreshToken)
			if status != http.StatusOK {
				t.Fatalf("refresh at Keycloak: got %d %s, want 200", status, body)
			}
			time.Sleep(2 * time.Second)
			var second struct {
				RefreshToken string `json:"refresh_token"`
			}
			json.Unmarshal([]byte(body), &second)
			r.wantRefreshRejected(t, first.RefreshToken,
				"Maximum allowed refresh token reuse exceeded")
			return second.RefreshToken
		}, s, "Session doesn't have required client", "SESSION_ENDED"},
		{"used twice", func(t *testing.T) string {
			first, _ := login(t, r, s)
			r.refresh(t, first.RefreshToken)
			time.Sleep(2 * time.Second)
			return first.RefreshToken
		}, s, "Maximum allowed refresh token reuse exceeded", "REUSED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token := tt.token(t)
			_, response := tt.server.refresh(t, token)
			wantCode(t, "refresh", response, "INVALID_REFRESH_TOKEN/"+tt.reason)
			// After REUSED, Keycloak has detached the client from the session, so it no longer
			// returns the description of a reuse. The row "newest token, after a reuse" checks that
			// description.
			tokenRealm := r
			if tt.server == shortSessionServer {
				tokenRealm = shortSessionRealm
			}
			if tt.reason != "REUSED" {
				tokenRealm.wantRefreshRejected(t, token, tt.description)
			}
		})
	}

	t.Run("offline session ended", func(t *testing.T) {
		t.Parallel()
		offlineServer := r.serve(t, "LOGIN_SCOPE=openid offline_access", "REFRESH_GRACE=0")
		first, id := login(t, r, offlineServer)
		if first.RefreshExpiresIn != 0 {
			t.Errorf("refreshExpiresIn of an offline token is %d, want null: it doesn't expire",
				first.RefreshExpiresIn)
		}
		r.revokeConsent(t, id, "local-api")
		r.wantRefreshRejected(t, first.RefreshToken, "Offline user session not found")
		_, response := offlineServer.refresh(t, first.RefreshToken)
		wantCode(t, "refresh", response, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
	})

	t.Run("tokens revoked by the realm's not-before time", func(t *testing.T) {
		t.Parallel()
		notBeforeRealm := newRealm(t, sharedKeycloak, nil)
		s := notBeforeRealm.serve(t, "REFRESH_GRACE=0")
		first, _ := login(t, notBeforeRealm, s)
		notBeforeRealm.update(t, object{"notBefore": time.Now().Unix() + 2})
		notBeforeRealm.wantRefreshRejected(t, first.RefreshToken, "Stale token")
		_, response := s.refresh(t, first.RefreshToken)
		wantCode(t, "refresh", response, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
	})

	t.Run("sign-out with garbage", func(t *testing.T) {
		t.Parallel()
		status, body := r.k.post(t, "/realms/"+r.name+"/protocol/openid-connect/logout",
			"client_id", "local-api", "client_secret", "local-api-secret", "refresh_token",
			"garbage")
		if want := `{"error":"invalid_grant","error_description":"Invalid refresh token"}`; status != 400 || body != want {
			t.Errorf("logout at Keycloak: got %d %s, want 400 %s", status, body, want)
		}
		wantCode(t, "logout", s.logout(t, "garbage"), "INVALID_REFRESH_TOKEN/INVALID")
	})
}
