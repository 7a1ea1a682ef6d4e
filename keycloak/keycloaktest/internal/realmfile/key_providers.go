package realmfile

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Key describes the key of a key provider in a realm file. The stand-in generates the key itself.
type Key struct {
	Provider  string // the provider's name, for errors
	Material  string // RSA, HMAC, or a curve
	Algorithm string // of JWA; Keycloak accepts one that doesn't match the material
	Use       string // sig or enc
	ID        string // empty: derived from the generated key
	Priority  int
	Passive   bool
}

// maxKeyProviders limits the providers of a realm file: generating a key takes time.
const maxKeyProviders = 20

var (
	rsaAlgorithms  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	hmacAlgorithms = []string{"HS256", "HS384", "HS512"}
)

// MaterialOf returns the Material of a key for a signature algorithm.
func MaterialOf(algorithm string) string {
	switch {
	case slices.Contains(rsaAlgorithms, algorithm):
		return "RSA"
	case slices.Contains(hmacAlgorithms, algorithm):
		return "HMAC"
	}
	return map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521",
		"EdDSA": "Ed25519"}[algorithm]
}

// keyProviders are the key providers of Keycloak 26.7.4, except java-keystore, whose keys are in a
// file on the server.
var keyProviders = map[string]struct {
	use       string   // empty: for Keycloak's own cookies and the like
	algorithm string   // the default; empty: determined by the curve
	material  string   // empty: the value of choice
	choice    string   // the setting that selects a size or a curve
	choices   []string // its values; the first is the default
	private   bool     // the file contains the private key
}{
	"rsa-generated": {use: "sig", algorithm: "RS256", material: "RSA", choice: "keySize",
		choices: rsaKeySizes},
	"rsa-enc-generated": {use: "enc", algorithm: "RSA-OAEP", material: "RSA", choice: "keySize", choices: rsaKeySizes},
	"rsa":               {use: "sig", algorithm: "RS256", material: "RSA", private: true},
	"rsa-enc":           {use: "enc", algorithm: "RSA-OAEP", material: "RSA", private: true},
	"hmac-generated": {use: "sig", algorithm: "HS256", material: "HMAC", choice: "secretSize",
		choices: []string{"128", "16", "24", "32", "64", "256", "512"}},
	"ecdsa-generated": {use: "sig", choice: "ecdsaEllipticCurveKey", choices: curves},
	"ecdh-generated": {use: "enc", algorithm: "RS256", choice: "ecdhEllipticCurveKey",
		choices: curves},
	"eddsa-generated": {use: "sig", choice: "eddsaEllipticCurveKey", choices: []string{"Ed25519", "Ed448"}},
	"aes-generated":   {choice: "secretSize", choices: []string{"32", "16", "24"}},
}

var (
	rsaKeySizes = []string{"2048", "1024", "3072", "4096"}
	curves      = []string{"P-256", "P-384", "P-521"}
)

// checkComponents reads the components of a realm file and drops them, because they hold secrets.
func (r *reader) checkComponents(at *path, file *Realm) {
	profile := ""
	r.checkComponentIDs(at, file.Components)
	for _, kind := range sortedNames(file.Components) {
		components, at := file.Components[kind], at.key(kind)
		switch kind {
		case "org.keycloak.keys.KeyProvider":
			if len(components) > maxKeyProviders {
				r.problem(at, "at most %d key providers are supported", maxKeyProviders)
				continue
			}
			for i, c := range components {
				if file.Keys == nil {
					file.Keys = []Key{} // not nil: replaces Keycloak's default keys
				}
				if key, ok := r.readKey(at, at.item(i), c); ok {
					file.Keys = append(file.Keys, key)
				}
			}
		case "org.keycloak.userprofile.UserProfileProvider":
			for i, c := range components {
				if c.ProviderID != "declarative-user-profile" {
					r.problem(at.item(i).field("providerId"), "Keycloak has no such provider %q",
						c.ProviderID)
				}
				if values := c.Config["kc.user.profile.config"]; len(values) > 0 {
					profile = values[0]
				}
			}
		case "org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy":
			r.ignore(at.String())
			for i, c := range components {
				r.checkRegistrationPolicy(at.item(i), c, file)
			}
		case "org.keycloak.models.workflow.WorkflowProvider":
			r.ignore(at.String())
		case "org.keycloak.storage.UserStorageProvider":
			for i, c := range components {
				switch {
				case !slices.Contains(userStores, c.ProviderID):
					r.problem(at.item(i), "Keycloak has no user store %q", c.ProviderID)
				case c.ProviderID == "ldap":
					r.checkLDAP(at.item(i), c)
				}
				for j, mapper := range c.SubComponents["org.keycloak.storage.ldap.mappers.LDAPStorageMapper"] {
					if !slices.Contains(userStoreMappers, mapper.ProviderID) {
						r.problem(at.item(i).field("subComponents").item(j),
							"Keycloak has no mapper %q of a user store", mapper.ProviderID)
					}
				}
				if slices.Equal(c.Config["enabled"], []string{"false"}) {
					r.ignore(at.String())
				} else {
					file.federated = true
				}
			}
		default:
			r.problem(at, "not supported: the stand-in has no such components")
		}
	}
	p, err := readProfile(profile)
	if err == nil {
		err = p.check(file.ClientScopes)
	}
	if err != nil {
		r.problem(at.key("org.keycloak.userprofile.UserProfileProvider"),
			"kc.user.profile.config: %v", err)
	}
	if file.unmanaged && err == nil {
		p.Unmanaged = "ENABLED"
	}
	file.Profile, file.Components = p, nil
}

// readKey reads a key provider. It returns false if the provider is disabled or has a key that
// clients never see.
func (r *reader) readKey(providers, at *path, c Component) (key Key, ok bool) {
	provider, known := keyProviders[c.ProviderID]
	if !known {
		r.problem(at, "key provider %s is not supported", c.ProviderID)
		return key, false
	}
	name := cmp.Or(c.Name, c.ProviderID)
	setting := func(name, fallback string) string {
		values := c.Config[name]
		if len(values) > 1 {
			r.problem(at.field("config").key(name), "a single value is expected")
		}
		if len(values) == 0 {
			return fallback
		}
		return values[0]
	}
	for _, secret := range sortedNames(c.Config) {
		if isPrivate(secret) || secret == "certificate" ||
			secret == "keySize" && setting(secret, "") != "2048" {
			r.ignore(fmt.Sprintf("%s.%s", providers.key(name), secret))
		}
	}
	active, enabled := r.flag(at, c, "active", true), r.flag(at, c, "enabled", true)
	priority, err := strconv.ParseInt(setting("priority", "0"), 10, 64)
	if err != nil {
		r.problem(at.field("config").key("priority"), "a whole number is expected")
	}
	choice := ""
	if provider.choice != "" {
		choice = setting(provider.choice, provider.choices[0])
		if !slices.Contains(provider.choices, choice) {
			r.problem(at.field("config").key(provider.choice), "%q: one of %s is expected", choice,
				strings.Join(provider.choices, ", "))
		}
	}
	if provider.private && !isPrivateKey(setting("privateKey", "")) {
		r.problem(at.field("config").key("privateKey"), "a private key is expected")
	}
	if provider.use == "" {
		return key, false
	}
	key = Key{
		Provider: name, Use: provider.use, ID: setting("kid", ""), Priority: int(priority),
		Passive:  !active,
		Material: cmp.Or(provider.material, choice), Algorithm: provider.algorithm,
	}
	if key.Material == "RSA" && setting("keyUse", "") == "ENC" {
		key.Use, key.Algorithm = "enc", "RSA-OAEP"
	}
	switch c.ProviderID {
	case "ecdsa-generated", "eddsa-generated": // the algorithm in the file is ignored
		key.Algorithm = map[string]string{"P-256": "ES256", "P-384": "ES384",
			"P-521": "ES512"}[choice]
		key.Algorithm = cmp.Or(key.Algorithm, "EdDSA")
	case "ecdh-generated":
		key.Algorithm = setting("ecdhAlgorithm", key.Algorithm)
	default:
		key.Algorithm = setting("algorithm", key.Algorithm)
	}
	return key, enabled
}

// flag returns a Boolean setting of a component.
func (r *reader) flag(at *path, c Component, name string, fallback bool) bool {
	values := c.Config[name]
	if len(values) == 0 {
		return fallback
	}
	if values[0] != "true" && values[0] != "false" || len(values) > 1 {
		r.problem(at.field("config").key(name), "true or false is expected")
	}
	return values[0] == "true"
}

// isPrivateKey reports whether text is a private key, in PEM or in base64.
func isPrivateKey(text string) bool {
	der, err := base64.StdEncoding.DecodeString(
		strings.Join(strings.Fields(pemLine.ReplaceAllString(text, "")), ""))
	if err != nil {
		return false
	}
	_, pkcs8 := x509.ParsePKCS8PrivateKey(der)
	_, pkcs1 := x509.ParsePKCS1PrivateKey(der)
	_, sec1 := x509.ParseECPrivateKey(der)
	return pkcs8 == nil || pkcs1 == nil || sec1 == nil
}

var pemLine = regexp.MustCompile(`-----[A-Z ]+-----`)

// SignatureAlgorithms are the algorithms that a realm or a client may choose for its tokens.
var SignatureAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	"HS256", "HS384", "HS512",
}
