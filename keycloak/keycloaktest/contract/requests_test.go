package contract

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/url"
	"sync"
)

// realmJSON returns a realm representation with these settings and clients, and with the clients
// that most scenarios need:
//
//	api     confidential, secret "api-secret", direct grants, code flow, redirects to callback
//	spa     public, direct grants, code flow
//	service confidential, secret "service-secret", service account only
//
// The realm has a signing key. Without that key, Keycloak would generate two RSA keys, which would
// take nearly all of the time of an import. If the keys matter, use generatedKeys as settings. The
// realm also has a password policy with a fast hash, because hashing takes nearly all of the time
// of a login.
func realmJSON(settings object, clients ...object) object {
	representation := merge(object{
		"enabled":        true,
		"passwordPolicy": "hashAlgorithm(pbkdf2-sha256) and hashIterations(1)",
		"clients": append([]object{
			clientJSON("api", nil),
			clientJSON("spa", object{"publicClient": true, "secret": nil}),
			clientJSON("service",
				object{"serviceAccountsEnabled": true, "directAccessGrantsEnabled": false,
					"standardFlowEnabled": false}),
		}, clients...),
		"components": object{keyProviderType: []object{
			{"name": "given", "providerId": "rsa",
				"config": object{"privateKey": []string{sharedKey().pem},
					"priority": []string{"100"}}},
			{"name": "hmac-generated-hs512", "providerId": "hmac-generated",
				"config": object{"priority": []string{"100"}, "algorithm": []string{"HS512"}}},
			{"name": "aes-generated", "providerId": "aes-generated",
				"config": object{"priority": []string{"100"}}},
		}},
	}, settings)
	maps.DeleteFunc(representation, func(_ string, value any) bool { return value == nil })
	return representation
}

// generatedKeys is the setting for realmJSON that lets Keycloak generate the keys: an RSA key for
// signing, another for encryption, and two secret keys.
var generatedKeys = object{"components": nil}

// A signingKey is an RSA key for a realm file.
type signingKey struct {
	privateKey *rsa.PrivateKey
	pem        string
}

// sharedKey returns the key that all realm files share.
var sharedKey = sync.OnceValue(newSigningKey)

func newSigningKey() signingKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return signingKey{key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
}

// clientJSON returns a client for a realm file: confidential, with the secret "<id>-secret", direct
// grants and code flow. clientFields override these fields.
func clientJSON(id string, clientFields object) object {
	return merge(object{
		"clientId": id, "enabled": true, "secret": id + "-secret",
		"directAccessGrantsEnabled": true,
		"redirectUris":              []string{callback},
	}, clientFields)
}

// mapperJSON returns a protocol mapper for a realm file.
func mapperJSON(name, mapperType string, config object) object {
	return object{"name": name, "protocol": "openid-connect", "protocolMapper": mapperType,
		"config": config}
}

// audienceMapper returns a mapper that adds a client to the audience of access tokens.
func audienceMapper(client string) object {
	return mapperJSON("audience "+client, "oidc-audience-mapper",
		object{"included.client.audience": client, "access.token.claim": "true"})
}

// token sends a request to the token endpoint.
func (s *scenario) token(r *realm, values url.Values, headers ...string) response {
	s.Helper()
	return s.post(r.endpoint("/token"), values, headers...)
}

// clientForm returns a form with a client's ID and secret.
func clientForm(client string) url.Values {
	return form(clientParams(client)...)
}

// clientParams returns a client's ID and secret as pairs of a parameter and a value.
func clientParams(client string) []string {
	return []string{"client_id", client, "client_secret", client + "-secret"}
}

// passwordGrant returns the form of a password grant with the client api. Pairs override
// parameters.
func passwordGrant(u *user, pairs ...string) url.Values {
	return withParams(withParams(clientForm("api"), "grant_type", "password",
		"username", u.username, "password", "secret"), pairs...)
}

// clientCredentialsGrant returns the form of a client credentials grant. Pairs override parameters.
func clientCredentialsGrant(client string, pairs ...string) url.Values {
	return withParams(withParams(clientForm(client), "grant_type", "client_credentials"), pairs...)
}

// refreshGrant returns the form of a refresh with the client api. Pairs override parameters.
func refreshGrant(refreshToken string, pairs ...string) url.Values {
	return withParams(withParams(clientForm("api"), "grant_type", "refresh_token",
		"refresh_token", refreshToken), pairs...)
}

// codeGrant returns the form of a code exchange with the client api. Pairs override parameters.
func codeGrant(code string, pairs ...string) url.Values {
	return withParams(
		withParams(clientForm("api"), "grant_type", "authorization_code", "code", code,
			"redirect_uri", callback), pairs...)
}

// login signs a user in with the client api and the scope openid. The login must succeed. Pairs
// override parameters.
func (s *scenario) login(u *user, pairs ...string) response {
	s.Helper()
	return s.token(u.realm, withParams(passwordGrant(u, "scope", "openid"), pairs...)).mustOK()
}

// refresh sends a refresh grant with the client api and the refresh token of a response. Pairs
// override parameters.
func (s *scenario) refresh(r *realm, tokens response, pairs ...string) response {
	s.Helper()
	return s.token(r, refreshGrant(tokens.field("refresh_token"), pairs...))
}

// basicAuth returns a client's Authorization header for HTTP Basic authentication.
func basicAuth(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}
