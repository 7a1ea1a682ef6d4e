// Package jose reads signed tokens and key sets, and verifies signatures, by the RFCs and stricter
// than they ask. Nothing in it knows Keycloak, or would change if Keycloak changed.
//
//   - Parse reads a JSON Web Signature in the compact form and checks its header (compact.go: RFC
//     7515, 7519, 9068).
//   - ReadKeySet reads a JSON Web Key Set, and passes over the keys that can't be used (key_set.go:
//     RFC 7517, 7518). jwkset makes the keys.
//   - Verify checks a signature with a key, after UsableWith has found the key strong enough and
//     the right one for the algorithm (signature.go: RFC 7518, 8037, 8725). golang-jwt's methods do
//     the arithmetic of a signature.
//
// Errors are for operators: they show what was found, bounded and quoted.
package jose
