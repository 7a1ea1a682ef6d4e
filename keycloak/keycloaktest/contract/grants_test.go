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

// realmFile is a realm with the clients that most exchanges need; settings override, and clients
// are added.
//
//	api     confidential, secret "api-secret", direct grants, code flow, redirects to callback
//	spa     public, direct grants, code flow
//	service confidential, secret "service-secret", service account only
//
// Its signing key is given: making two RSA keys is nearly all that a realm costs; generatedKeys has
// what Keycloak makes by itself. Its passwords are hashed in no time: otherwise that is nearly all
// that a login costs.
func realmFile(settings object, clients ...object) object {
	file := merge(object{
		"enabled":        true,
		"passwordPolicy": "hashAlgorithm(pbkdf2-sha256) and hashIterations(1)",
		"clients": append([]object{
			clientFile("api", nil),
			clientFile("spa", object{"publicClient": true, "secret": nil}),
			clientFile("service",
				object{"serviceAccountsEnabled": true, "directAccessGrantsEnabled": false,
					"standardFlowEnabled": false}),
		}, clients...),
		"components": object{keyProviderType: []object{
			{"name": "given", "providerId": "rsa", "config": object{"privateKey": []string{givenKey().pem}, "priority": []string{"100"}}},
			{"name": "hmac-generated-hs512", "providerId": "hmac-generated", "config": object{"priority": []string{"100"}, "algorithm": []string{"HS512"}}},
			{"name": "aes-generated", "providerId": "aes-generated", "config": object{"priority": []string{"100"}}},
		}},
	}, settings)
	maps.DeleteFunc(file, func(_ string, value any) bool { return value == nil })
	return file
}

// generatedKeys is the setting of realmFile for a realm whose keys Keycloak generates: an RSA key
// to sign with, another to encrypt with, and two secret ones.
var generatedKeys = object{"components": nil}

// A signingKey is a key that a realm file gives to a realm.
type signingKey struct {
	private *rsa.PrivateKey
	pem     string
}

var givenKey = sync.OnceValue(newSigningKey)

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

// clientFile is a client of a realm file: confidential, with the secret "<id>-secret", direct
// grants and code flow.
func clientFile(id string, settings object) object {
	return merge(object{
		"clientId": id, "enabled": true, "secret": id + "-secret",
		"directAccessGrantsEnabled": true,
		"redirectUris":              []string{callback},
	}, settings)
}

// mapperFile is a protocol mapper of a realm file.
func mapperFile(name, kind string, config object) object {
	return object{"name": name, "protocol": "openid-connect", "protocolMapper": kind,
		"config": config}
}

// audienceMapper puts a client into the audience of access tokens.
func audienceMapper(client string) object {
	return mapperFile("audience "+client, "oidc-audience-mapper",
		object{"included.client.audience": client, "access.token.claim": "true"})
}

// token asks the token endpoint.
func (x *exchange) token(r *realm, values url.Values, headers ...string) answer {
	x.Helper()
	return x.post(r.oidc("/token"), values, headers...)
}

// secretOf is the form of a client's own authentication.
func secretOf(client string) url.Values {
	return form("client_id", client, "client_secret", client+"-secret")
}

// passwordGrant is the form of a login with the client api. Pairs override.
func passwordGrant(u *user, pairs ...string) url.Values {
	return with(with(secretOf("api"), "grant_type", "password", "username", u.username, "password",
		"secret"), pairs...)
}

// refreshGrant is the form of a refresh with the client api. Pairs override.
func refreshGrant(refreshToken string, pairs ...string) url.Values {
	return with(with(secretOf("api"), "grant_type", "refresh_token", "refresh_token", refreshToken),
		pairs...)
}

// codeGrant is the form of a code's exchange with the client api. Pairs override.
func codeGrant(code string, pairs ...string) url.Values {
	return with(with(secretOf("api"), "grant_type", "authorization_code", "code", code,
		"redirect_uri", callback), pairs...)
}

// login signs a user in with the client api and the scope openid, which must succeed. Pairs
// override.
func (x *exchange) login(u *user, pairs ...string) answer {
	x.Helper()
	return x.token(u.in, with(passwordGrant(u, "scope", "openid"), pairs...)).ok()
}

// refresh refreshes the tokens of an answer with the client api.
func (x *exchange) refresh(r *realm, last answer, pairs ...string) answer {
	x.Helper()
	return x.token(r, refreshGrant(last.field("refresh_token"), pairs...))
}

// basic is the value of an Authorization header.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}
