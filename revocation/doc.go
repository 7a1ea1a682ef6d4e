// Package revocation knows which sessions of a realm ended while their access tokens are still
// valid.
//
// Access tokens are verified without a call to Keycloak, so they outlive their session. A Set has
// the sessions and users whose tokens must be rejected. Its method Check is called for each token,
// and Add for each session that ends:
//
//	set := &revocation.Set{}
//	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
//		Issuers: []keycloak.Issuer{{Keys: keys, CheckRevoked: func(s keycloak.TokenSession) error {
//			return set.Check(revocation.Token(s))
//		}}},
//		Audience: []string{"shop-api"},
//	})
//	logout, err := keycloak.BackchannelLogout(keycloak.BackchannelLogoutConfig{
//		...
//		End: func(end keycloak.SessionEnd) { set.Add(revocation.End(end)) },
//	})
//
// A server made by cloakql.New does this itself.
package revocation
