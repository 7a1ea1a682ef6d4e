// Package jose parses signed tokens and key sets and verifies signatures. It follows the RFCs and
// is stricter than they require. It knows nothing about Keycloak.
//
//   - Parse parses a compact JSON Web Signature and checks its header (compact.go: RFC 7515, 7519,
//     9068).
//   - ReadKeySet reads a JSON Web Key Set and skips keys that can't be used (key_set.go: RFC 7517,
//     7518). jwkset constructs the keys.
//   - Verify verifies a signature (signature.go: RFC 7518, 8037, 8725). It first calls UsableWith,
//     which checks that the key is strong enough and fits the algorithm. golang-jwt does the
//     cryptography.
//
// Errors are for operators: they quote at most the beginning of a rejected value.
package jose
