package keycloaktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// Tokens holds the fields of a token response.
type Tokens struct {
	AccessToken, RefreshToken, IDToken string
	SessionID                          string
	ExpiresIn, RefreshExpiresIn        time.Duration
	Scope                              []string
}

// SignIn creates a session and its tokens as the password grant does, but without HTTP. It needs no
// password and no client secret, and skips one-time codes, consent and required actions. The client
// needn't have the password grant enabled. SignIn returns an error if the realm, the client or the
// user is disabled. The default scope is openid.
func (r *Realm) SignIn(clientID, username string, scopes ...string) (Tokens, error) {
	return r.signInWithoutHTTP(clientID, username, "", scopes)
}

// Impersonate is like SignIn, but as if an administrator impersonated the user. The administrator
// must be a user of the realm, too. Impersonate returns the tokens that an application gets while
// the administrator impersonates the user in Keycloak's admin console.
//
// Keycloak 26.7.4 itself adds the claim act only to the introspection response, with the
// administrator's username. Tokens have act if the client has a mapper of the type
// oidc-usersessionmodel-note-mapper for the session note IMPERSONATOR_ID or IMPERSONATOR_USERNAME;
// the clients of a [RealmSpec] have one. Tokens of Keycloak's token exchange have no act, with or
// without an actor_token. For any other form of act, use [Realm.Mint].
func (r *Realm) Impersonate(clientID, username, administrator string,
	scopes ...string) (Tokens, error) {
	if err := r.checkExists(); err == nil && administrator == "" {
		return Tokens{}, errors.New("keycloaktest: Impersonate needs an administrator")
	}
	return r.signInWithoutHTTP(clientID, username, administrator, scopes)
}

// signInWithoutHTTP signs a user in. If administrator isn't empty, that administrator impersonates
// the user.
func (r *Realm) signInWithoutHTTP(clientID, username, administrator string,
	scopes []string) (Tokens, error) {
	if err := r.checkExists(); err != nil {
		return Tokens{}, err
	}
	if len(scopes) == 0 {
		scopes = []string{"openid"}
	}
	unsignedResp, err := r.signIn(clientID, username, administrator, strings.Join(scopes, " "))
	if err != nil {
		return Tokens{}, err
	}
	resp := unsignedResp.sign()
	return Tokens{
		AccessToken: resp.AccessToken, RefreshToken: resp.RefreshToken, IDToken: resp.IDToken,
		SessionID:        resp.SessionState,
		ExpiresIn:        seconds(int(resp.ExpiresIn)),
		RefreshExpiresIn: seconds(int(resp.RefreshExpiresIn)), Scope: strings.Fields(resp.Scope),
	}, nil
}

// The session notes of an impersonated user.
const (
	impersonatorID       = "IMPERSONATOR_ID"
	impersonatorUsername = "IMPERSONATOR_USERNAME"
)

func (r *Realm) signIn(clientID, username, administrator,
	scope string) (*unsignedResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, u := r.clients[clientID], r.userByLogin(username)
	switch {
	case !r.settings.Enabled:
		return nil, fmt.Errorf("keycloaktest: realm %s is disabled", r.name)
	case c == nil:
		return nil, fmt.Errorf("keycloaktest: realm %s has no client %q", r.name, clientID)
	case u == nil:
		return nil, fmt.Errorf("keycloaktest: realm %s has no user %q", r.name, username)
	case !c.enabled:
		return nil, fmt.Errorf("keycloaktest: client %s is disabled", clientID)
	case !u.Enabled:
		return nil, fmt.Errorf("keycloaktest: user %s is disabled", username)
	case administrator != "" && r.userByLogin(administrator) == nil:
		return nil, fmt.Errorf("keycloaktest: realm %s has no user %q", r.name, administrator)
	}
	scopes, err := r.resolveScopes(c, scope, true)
	if err != nil {
		return nil, errors.New("keycloaktest: " + err.description)
	}
	g := &grant{realm: r, client: c, user: u, scope: scopes, grantTypeShortcut: "ro",
		now: r.server.Now()}
	if err := r.startSession(g); err != nil {
		return nil, errors.New("keycloaktest: " + err.description)
	}
	if administrator != "" {
		impersonator := r.userByLogin(administrator)
		g.grantTypeShortcut, g.clientSession.loa = "ac", 0 // as after single sign-on
		g.session.notes[impersonatorID] = impersonator.ID
		g.session.notes[impersonatorUsername] = impersonator.Username
	}
	return g.issue(!c.attributeIsFalse("use.refresh.tokens")), nil
}

// A TokenSpec describes a token for Mint, valid or not. The zero value describes a JWT that has the
// realm's issuer, is signed with the realm's RS256 key and expires in five minutes.
type TokenSpec struct {
	// Claims override the default claims iss, iat, exp, jti and typ (Bearer). A nil value omits a
	// claim; a time.Time becomes a NumericDate.
	Claims map[string]any
	// Lifetime is the time until the token expires; 0 means five minutes. A negative Lifetime makes
	// an expired token.
	Lifetime time.Duration
	// Header overrides the default header parameters alg, typ and kid. A nil value omits a
	// parameter.
	Header map[string]any
	// Algorithm is a signature algorithm that Keycloak supports; empty means RS256.
	Algorithm string
	// Key, if set, signs the token instead of the realm's key. It is a *rsa.PrivateKey,
	// *ecdsa.PrivateKey or ed25519.PrivateKey, or a []byte for HMAC.
	Key any
}

// Mint creates a token without creating a session. Userinfo and introspection accept the token if
// its azp claim names a client and its sid claim names a session of that client. A token without
// sid counts as a token of the client's service account.
func (r *Realm) Mint(spec TokenSpec) (string, error) {
	if err := r.checkExists(); err != nil {
		return "", err
	}
	algorithm := spec.Algorithm
	if algorithm == "" {
		algorithm = "RS256"
	}
	if !slices.Contains(realmfile.SignatureAlgorithms, algorithm) {
		return "", fmt.Errorf("keycloaktest: %q isn't a signature algorithm of Keycloak", algorithm)
	}
	r.mu.Lock()
	problem, k := r.keySet.signingProblem(algorithm), *r.keySet.signingKey(algorithm)
	now := r.server.Now()
	r.mu.Unlock()
	if problem != "" && spec.Key == nil {
		return "", errors.New("keycloaktest: " + problem)
	}
	if spec.Key != nil {
		k.privateKey = spec.Key
	}
	lifetime := spec.Lifetime
	if lifetime == 0 {
		lifetime = 5 * time.Minute
	}
	payload := claims{"iss": r.Issuer(), "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
		"jti": uuid.NewString(), "typ": "Bearer"}
	applyOverrides(payload, spec.Claims)
	header := claims{"alg": algorithm, "typ": "JWT", "kid": k.kid}
	applyOverrides(header, spec.Header)
	headerJSON, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("keycloaktest: header: %w", err)
	}
	payloadJSON, err := json.Marshal(payload)
	if err != nil {
		return "", fmt.Errorf("keycloaktest: claims: %w", err)
	}
	return sign(string(headerJSON), payloadJSON, &k)
}

// applyOverrides copies overrides into target. A nil value deletes the entry.
func applyOverrides(target, overrides map[string]any) {
	for name, value := range overrides {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case time.Time:
			target[name] = value.Unix() // a NumericDate (RFC 7519 2)
		default:
			target[name] = value
		}
	}
}
