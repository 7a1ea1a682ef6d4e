package keycloaktest

import (
	"fmt"
	"slices"
	"strconv"
)

// A keyPlan is a key that a realm file wants: what it says of a key provider, without the key. A
// stand-in makes its own.
type keyPlan struct {
	algorithm string
	use       string
	kid       string // empty: that of the key that is made
	priority  int
	passive   bool
}

// maxKeyProviders is how many a realm file may have: a key costs time.
const maxKeyProviders = 20

var (
	rsaAlgorithms        = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	encryptionAlgorithms = []string{"RSA-OAEP", "RSA-OAEP-256", "RSA1_5"}
	hmacAlgorithms       = []string{"HS256", "HS384", "HS512"}
	curveAlgorithms      = map[string]string{"": "ES256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
)

// checkComponents reads the components of a realm file, and drops them: there are secrets among
// them.
func (r *reader) checkComponents(at *place, file *realmRepresentation) {
	profileOf := ""
	for _, kind := range sortedNames(file.Components) {
		components, at := file.Components[kind], at.key(kind)
		switch kind {
		case "org.keycloak.keys.KeyProvider":
			if len(components) > maxKeyProviders {
				r.problem(at, "at most %d key providers are supported", maxKeyProviders)
				continue
			}
			for i, c := range components {
				if file.keys == nil {
					file.keys = []keyPlan{} // from now on, only those of the file exist
				}
				if plan, wanted := r.keyPlan(at, at.item(i), c); wanted {
					file.keys = append(file.keys, plan)
				}
			}
		case "org.keycloak.userprofile.UserProfileProvider":
			for _, c := range components {
				if values := c.Config["kc.user.profile.config"]; len(values) > 0 {
					profileOf = values[0]
				}
			}
		case "org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy":
			r.leftAside(at.String())
			for i, c := range components {
				if !slices.Contains(registrationPolicies, c.ProviderID) {
					r.problem(at.item(i), "Keycloak has no such policy %q", c.ProviderID)
				}
			}
		case "org.keycloak.storage.UserStorageProvider":
			for i, c := range components {
				switch {
				case !slices.Contains(userStores, c.ProviderID):
					r.problem(at.item(i), "Keycloak has no user store %q", c.ProviderID)
				case c.ProviderID == "ldap" && len(c.Config["editMode"]) == 0:
					r.problem(at.item(i).member("config").key("editMode"), "missing")
				}
				for j, mapper := range c.SubComponents["org.keycloak.storage.ldap.mappers.LDAPStorageMapper"] {
					if !slices.Contains(userStoreMappers, mapper.ProviderID) {
						r.problem(at.item(i).member("subComponents").item(j), "Keycloak has no mapper %q of a user store", mapper.ProviderID)
					}
				}
				if slices.Equal(c.Config["enabled"], []string{"false"}) {
					r.leftAside(at.String())
				} else {
					file.federated = true
				}
			}
		default:
			r.problem(at, "not supported: the stand-in has no such components")
		}
	}
	p, err := readProfile(profileOf)
	if err == nil {
		err = p.check(file.ClientScopes)
	}
	if err != nil {
		r.problem(at.key("org.keycloak.userprofile.UserProfileProvider"), "kc.user.profile.config: %v", err)
	}
	if file.unmanaged && err == nil {
		p.Unmanaged = "ENABLED"
	}
	file.profile, file.Components = p, nil
}

// keyPlan reads a key provider. One that is switched off, or whose key is never seen, wants no key.
func (r *reader) keyPlan(all, at *place, c componentDocument) (plan keyPlan, wanted bool) {
	name := c.Name
	if name == "" {
		name = c.ProviderID
	}
	setting := func(name, absent string) string {
		if values := c.Config[name]; len(values) > 0 && values[0] != "" {
			return values[0]
		}
		return absent
	}
	flag := func(name string) bool {
		text := setting(name, "true")
		if text != "true" && text != "false" {
			r.problem(at.member("config").key(name), "true or false is expected")
		}
		return text == "true"
	}
	for _, secret := range sortedNames(c.Config) {
		if isPrivate(secret) || secret == "certificate" || secret == "keySize" && setting(secret, "") != "2048" {
			r.leftAside(fmt.Sprintf("%s.%s", all.key(name), secret))
		}
	}
	plan = keyPlan{use: "sig", kid: setting("kid", ""), passive: !flag("active")}
	var err error
	if plan.priority, err = strconv.Atoi(setting("priority", "0")); err != nil {
		r.problem(at.member("config").key("priority"), "a whole number is expected")
	}
	allowed := rsaAlgorithms
	switch c.ProviderID {
	case "rsa-generated", "rsa":
		plan.algorithm = setting("algorithm", "RS256")
		if setting("keyUse", "SIG") == "ENC" {
			plan.use = "enc"
			if c.ProviderID == "rsa" {
				plan.algorithm, allowed = setting("algorithm", "RSA-OAEP"), encryptionAlgorithms
			}
		}
	case "rsa-enc-generated", "rsa-enc":
		plan.use, plan.algorithm, allowed = "enc", setting("algorithm", "RSA-OAEP"), encryptionAlgorithms
	case "ecdsa-generated":
		curve := setting("ecdsaEllipticCurveKey", "")
		if plan.algorithm = curveAlgorithms[curve]; plan.algorithm == "" {
			r.problem(at, "the curve %s is not supported", curve)
			return plan, false
		}
		allowed = []string{plan.algorithm}
	case "eddsa-generated":
		if curve := setting("eddsaEllipticCurveKey", "Ed25519"); curve != "Ed25519" {
			r.problem(at, "the curve %s is not supported", curve)
		}
		plan.algorithm, allowed = "EdDSA", []string{"EdDSA"}
	case "hmac-generated":
		plan.algorithm, allowed = setting("algorithm", "HS256"), hmacAlgorithms
	case "aes-generated":
		return plan, false // for what the server keeps in cookies
	default:
		r.problem(at, "key provider %s is not supported", c.ProviderID)
		return plan, false
	}
	if !slices.Contains(allowed, plan.algorithm) {
		r.problem(at, "the algorithm %s is not supported with %s", plan.algorithm, c.ProviderID)
	}
	return plan, flag("enabled")
}

// makeKeys makes the keys that the realm file wants. place is which realm of its server it is.
func (r *Realm) makeKeys(place int) {
	r.keys = keyRing{realm: r.name}
	pairs, encrypting := 0, 0
	for _, plan := range r.settings.keys {
		var k *key
		switch {
		case plan.use == "enc" && encrypting == 0:
			k = rsaKey(encryptionKey(), plan.algorithm, r.name)
			encrypting++
		case plan.use == "enc" || slices.Contains(rsaAlgorithms, plan.algorithm):
			k = rsaKey(r.server.rsaKey(place, pairs), plan.algorithm, r.name)
			pairs++
		default:
			k = newKey(plan.algorithm, r.name)
		}
		k.use, k.priority, k.passive = plan.use, plan.priority, plan.passive
		if plan.kid != "" {
			k.kid = plan.kid
		}
		r.keys.keys = append(r.keys.keys, k)
	}
}
