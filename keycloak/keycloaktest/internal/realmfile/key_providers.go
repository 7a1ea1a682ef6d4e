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

// A Key describes the key of a key provider in a realm file. The fake Keycloak generates its own
// key from this description.
type Key struct {
	Provider  string // the provider's name, for errors
	Material  string // RSA, HMAC, or a curve
	Algorithm string // a JWA name; as in Keycloak, it needn't match the material
	Use       string // sig or enc
	ID        string // the kid; empty: derived from the generated key
	Priority  int
	Passive   bool
}

// maxKeyProviders limits the key providers of a realm file, because generating a key takes time.
const maxKeyProviders = 20

var (
	rsaAlgorithms  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	hmacAlgorithms = []string{"HS256", "HS384", "HS512"}
)

// MaterialOf returns the Material of a Key for a signature algorithm.
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
// file on the Keycloak server.
var keyProviders = map[string]struct {
	use        string   // empty: Keycloak uses the key only internally, such as for cookies
	algorithm  string   // the default; empty: determined by the curve
	material   string   // empty: the value of the setting variant
	variant    string   // the setting that selects a size or a curve
	variants   []string // the values of that setting; the first is the default
	privateKey bool     // the file contains the private key
}{
	"rsa-generated": {use: "sig", algorithm: "RS256", material: "RSA", variant: "keySize",
		variants: rsaKeySizes},
	"rsa-enc-generated": {use: "enc", algorithm: "RSA-OAEP", material: "RSA", variant: "keySize",
		variants: rsaKeySizes},
	"rsa":     {use: "sig", algorithm: "RS256", material: "RSA", privateKey: true},
	"rsa-enc": {use: "enc", algorithm: "RSA-OAEP", material: "RSA", privateKey: true},
	"hmac-generated": {use: "sig", algorithm: "HS256", material: "HMAC", variant: "secretSize",
		variants: []string{"128", "16", "24", "32", "64", "256", "512"}},
	"ecdsa-generated": {use: "sig", variant: "ecdsaEllipticCurveKey", variants: curves},
	"ecdh-generated": {use: "enc", algorithm: "RS256", variant: "ecdhEllipticCurveKey",
		variants: curves},
	"eddsa-generated": {use: "sig", variant: "eddsaEllipticCurveKey",
		variants: []string{"Ed25519", "Ed448"}},
	"aes-generated": {variant: "secretSize", variants: []string{"32", "16", "24"}},
}

var (
	rsaKeySizes = []string{"2048", "1024", "3072", "4096"}
	curves      = []string{"P-256", "P-384", "P-521"}
)

// checkComponents checks the components of a realm file, and drops them because they contain
// secrets.
func (r *reader) checkComponents(path *fieldPath, realm *Realm) {
	profileConfig := ""
	r.checkComponentIDs(path, realm.Components)
	for _, providerType := range sortedNames(realm.Components) {
		components, path := realm.Components[providerType], path.key(providerType)
		switch providerType {
		case "org.keycloak.keys.KeyProvider":
			if len(components) > maxKeyProviders {
				r.report(path, "at most %d key providers are supported", maxKeyProviders)
				continue
			}
			for i, c := range components {
				if realm.Keys == nil {
					realm.Keys = []Key{} // not nil, so that there are no default keys
				}
				if key, ok := r.readKey(path, path.item(i), c); ok {
					realm.Keys = append(realm.Keys, key)
				}
			}
		case "org.keycloak.userprofile.UserProfileProvider":
			for i, c := range components {
				if c.ProviderID != "declarative-user-profile" {
					r.report(path.item(i).field("providerId"), "Keycloak has no such provider %q",
						c.ProviderID)
				}
				if values := c.Config["kc.user.profile.config"]; len(values) > 0 {
					profileConfig = values[0]
				}
			}
		case "org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy":
			r.ignore(path.String())
			for i, c := range components {
				r.checkRegistrationPolicy(path.item(i), c, realm)
			}
		case "org.keycloak.models.workflow.WorkflowProvider":
			r.ignore(path.String())
		case "org.keycloak.storage.UserStorageProvider":
			for i, c := range components {
				switch {
				case !slices.Contains(userStorageProviders, c.ProviderID):
					r.report(path.item(i), "Keycloak has no user storage provider %q", c.ProviderID)
				case c.ProviderID == "ldap":
					r.checkLDAP(path.item(i), c)
				}
				for j, mapper := range c.SubComponents["org.keycloak.storage.ldap.mappers.LDAPStorageMapper"] {
					if !slices.Contains(ldapMappers, mapper.ProviderID) {
						r.report(path.item(i).field("subComponents").item(j),
							"Keycloak has no LDAP mapper %q", mapper.ProviderID)
					}
				}
				if slices.Equal(c.Config["enabled"], []string{"false"}) {
					r.ignore(path.String())
				} else {
					realm.hasFederatedUsers = true
				}
			}
		default:
			r.report(path, "not supported: the fake has no such components")
		}
	}
	p, err := readProfile(profileConfig)
	if err == nil {
		err = p.check(realm.ClientScopes)
	}
	if err != nil {
		r.report(path.key("org.keycloak.userprofile.UserProfileProvider"),
			"kc.user.profile.config: %v", err)
	}
	if realm.allowsAnyAttribute && err == nil {
		p.UnmanagedPolicy = "ENABLED"
	}
	realm.Profile, realm.Components = p, nil
}

// readKey reads a key provider. It returns false if the provider is disabled, or if Keycloak uses
// the key only internally.
func (r *reader) readKey(providers, path *fieldPath, c Component) (key Key, ok bool) {
	provider, ok := keyProviders[c.ProviderID]
	if !ok {
		r.report(path, "key provider %s is not supported", c.ProviderID)
		return key, false
	}
	name := cmp.Or(c.Name, c.ProviderID)
	// setting returns the value of a setting, or fallback if it isn't set.
	setting := func(name, fallback string) string {
		values := c.Config[name]
		if len(values) > 1 {
			r.report(path.field("config").key(name), "a single value is expected")
		}
		if len(values) == 0 {
			return fallback
		}
		return values[0]
	}
	for _, key := range sortedNames(c.Config) {
		if isSecret(key) || key == "certificate" ||
			key == "keySize" && setting(key, "") != "2048" {
			r.ignore(fmt.Sprintf("%s.%s", providers.key(name), key))
		}
	}
	active, enabled := r.parseBool(path, c, "active"), r.parseBool(path, c, "enabled")
	priority, err := strconv.ParseInt(setting("priority", "0"), 10, 64)
	if err != nil {
		r.report(path.field("config").key("priority"), "a whole number is expected")
	}
	variant := ""
	if provider.variant != "" {
		variant = setting(provider.variant, provider.variants[0])
		if !slices.Contains(provider.variants, variant) {
			r.report(path.field("config").key(provider.variant), "%q: one of %s is expected",
				variant, strings.Join(provider.variants, ", "))
		}
	}
	if provider.privateKey && !isPrivateKey(setting("privateKey", "")) {
		r.report(path.field("config").key("privateKey"), "a private key is expected")
	}
	if provider.use == "" {
		return key, false
	}
	key = Key{
		Provider: name, Use: provider.use, ID: setting("kid", ""), Priority: int(priority),
		Passive:  !active,
		Material: cmp.Or(provider.material, variant), Algorithm: provider.algorithm,
	}
	if key.Material == "RSA" && setting("keyUse", "") == "ENC" {
		key.Use, key.Algorithm = "enc", "RSA-OAEP"
	}
	switch c.ProviderID {
	case "ecdsa-generated", "eddsa-generated": // the algorithm in the file is ignored
		key.Algorithm = map[string]string{"P-256": "ES256", "P-384": "ES384",
			"P-521": "ES512"}[variant]
		key.Algorithm = cmp.Or(key.Algorithm, "EdDSA")
	case "ecdh-generated":
		key.Algorithm = setting("ecdhAlgorithm", key.Algorithm)
	default:
		key.Algorithm = setting("algorithm", key.Algorithm)
	}
	return key, enabled
}

// parseBool returns the value of a component's boolean setting, which is true by default.
func (r *reader) parseBool(path *fieldPath, c Component, name string) bool {
	r.checkBool(path, c, name)
	values := c.Config[name]
	return len(values) == 0 || values[0] == "true"
}

// checkBool reports a component's setting if its value isn't a boolean.
func (r *reader) checkBool(path *fieldPath, c Component, name string) {
	values := c.Config[name]
	if len(values) > 1 || len(values) == 1 && values[0] != "true" && values[0] != "false" {
		r.report(path.field("config").key(name), "true or false is expected")
	}
}

// isPrivateKey reports whether text is a private key in PEM or in base64-encoded DER.
func isPrivateKey(text string) bool {
	der, err := base64.StdEncoding.DecodeString(
		strings.Join(strings.Fields(pemMarkerPattern.ReplaceAllString(text, "")), ""))
	if err != nil {
		return false
	}
	_, pkcs8Err := x509.ParsePKCS8PrivateKey(der)
	_, pkcs1Err := x509.ParsePKCS1PrivateKey(der)
	_, sec1Err := x509.ParseECPrivateKey(der)
	return pkcs8Err == nil || pkcs1Err == nil || sec1Err == nil
}

var pemMarkerPattern = regexp.MustCompile(`-----[A-Z ]+-----`)

// SignatureAlgorithms are the algorithms that a realm or a client may choose for its tokens.
var SignatureAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	"HS256", "HS384", "HS512",
}
