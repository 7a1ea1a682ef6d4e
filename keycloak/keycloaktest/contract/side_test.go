package contract

import "time"

// object is a piece of a realm file, or any JSON object.
type object = map[string]any

// A side is a Keycloak that the suite is played on: the real one, or the stand-in. The exchanges
// talk to it over HTTP; these methods are only for what no client can do: an administrator's work,
// and time.
//
// Its methods may be called concurrently. Objects are representations of the Admin API, as they
// stand in a realm file as well; a patch names only what changes, and attributes are merged.
type side interface {
	name() string // for the summary, and for the names of subtests
	base() string // "http://localhost:8080"

	// concurrent reports whether exchanges may be played at the same time. They may not where pass
	// moves a clock that they would share.
	concurrent() bool
	now() time.Time
	pass(time.Duration)

	importRealm(object) error // a *refusal when the import is refused
	removeRealm(realm string) error
	patchRealm(realm string, patch object) error
	patchClient(at clientRef, patch object) error

	addUser(realm string, user object) (id string, err error)
	patchUser(at userRef, patch object) error
	deleteUser(userRef) error
	logoutUser(userRef) error // also sets the user's notBefore
	resetPassword(at userRef, password string) error
	grantRole(at userRef, role roleRef) error
	revokeRole(at userRef, role roleRef) error
	revokeConsent(at userRef, client string) error // also ends the client's offline sessions
	endSession(sessionRef) error

	// failures waits until n failed logins are counted, and locked until the user is locked:
	// Keycloak counts behind the answer's back.
	failures(at userRef, n int) error
	locked(userRef) error
	unlock(userRef) error

	keyProviders(realm string) ([]keyProvider, error)
	addKeyProvider(realm string, p keyProvider) (id string, err error)
	patchKeyProvider(realm string, p keyProvider) error // the one with p.id
	removeKeyProvider(realm, id string) error
}

// A refusal is an import that the side refused.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return r.body }

type userRef struct{ realm, id string }

type clientRef struct{ realm, clientID string }

// A roleRef is a realm role when client is empty.
type roleRef struct{ client, name string }

type sessionRef struct {
	realm, sid string
	offline    bool
}

// A keyProvider is a component of type org.keycloak.keys.KeyProvider; config has single values,
// such as "priority", "active", "enabled", "algorithm", "keySize", "ecdsaEllipticCurveKey".
type keyProvider struct {
	id, name string
	// rsa-generated, rsa-enc-generated, ecdsa-generated, eddsa-generated, hmac-generated,
	// aes-generated
	provider string
	config   map[string]string
}
