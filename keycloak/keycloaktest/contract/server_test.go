package contract

import "time"

// An object is a JSON object, such as a part of a realm file.
type object = map[string]any

// A server is a Keycloak to run the scenarios on: a real one, or the fake. Scenarios send their
// requests over HTTP. The methods are for what a client can't do: administer realms, and let time
// pass.
//
// The methods are safe for concurrent use. Objects are representations of the Admin API, which
// realm files use, too. A patch has only the fields to change; attributes are merged.
type server interface {
	name() string    // "fake" or "keycloak"
	baseURL() string // "http://localhost:8080"

	// concurrent reports whether scenarios may run at the same time. They must run one after the
	// other if wait advances a clock that they share.
	concurrent() bool
	now() time.Time
	wait(time.Duration)

	importRealm(object) error // an *importError if the server rejects the file
	removeRealm(realm string) error
	patchRealm(realm string, patch object) error
	patchClient(ref clientRef, patch object) error

	addUser(realm string, user object) (id string, err error)
	patchUser(ref userRef, patch object) error
	deleteUser(userRef) error
	logoutUser(userRef) error // also sets the user's notBefore
	resetPassword(ref userRef, password string) error
	grantRole(ref userRef, role roleRef) error
	revokeRole(ref userRef, role roleRef) error
	revokeConsent(ref userRef, client string) error // also ends the client's offline sessions
	endSession(sessionRef) error

	// awaitFailures waits until the server has counted n failed logins, and awaitLocked waits
	// until the user is locked. Keycloak counts a failure only after it has responded.
	awaitFailures(ref userRef, n int) error
	awaitLocked(userRef) error
	unlock(userRef) error

	keyProviders(realm string) ([]keyProvider, error)
	addKeyProvider(realm string, p keyProvider) (id string, err error)
	patchKeyProvider(realm string, p keyProvider) error // the provider with p.id
	removeKeyProvider(realm, id string) error
}

// An importError is the server's error response to an import.
type importError struct {
	status int
	body   string
}

func (e *importError) Error() string { return e.body }

// A userRef refers to a user of a realm.
type userRef struct{ realm, id string }

// A clientRef refers to a client of a realm.
type clientRef struct{ realm, clientID string }

// A roleRef refers to a role of a client, or to a realm role if client is empty.
type roleRef struct{ client, name string }

// A sessionRef refers to a session of a realm.
type sessionRef struct {
	realm, sid string
	offline    bool
}

// A keyProvider is a component of type org.keycloak.keys.KeyProvider. Settings in config are
// "priority", "active", "enabled", "algorithm", "keySize", "ecdsaEllipticCurveKey" and the like.
type keyProvider struct {
	id, name string
	// provider is rsa-generated, rsa-enc-generated, ecdsa-generated, eddsa-generated,
	// hmac-generated or aes-generated.
	provider string
	config   map[string]string
}
