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

// Tokens are what a sign-in gives, as the token endpoint writes it.
type Tokens struct {
	AccessToken, RefreshToken, IDToken string
	SessionID                          string
	ExpiresIn, RefreshExpiresIn        time.Duration
	Scope                              []string
}

// SignIn begins a session of a user at a client as a password grant does, without the password and
// without HTTP: it needs neither the client's secret nor its leave for that grant, and asks for no
// one-time code, consent or required action. It fails where the realm, the client or the user is
// disabled. The scopes are those of a scope parameter; without any, it is openid.
func (r *Realm) SignIn(clientID, username string, scopes ...string) (Tokens, error) {
	if err := r.present(); err != nil {
		return Tokens{}, err
	}
	if len(scopes) == 0 {
		scopes = []string{"openid"}
	}
	issued, err := r.signIn(clientID, username, strings.Join(scopes, " "))
	if err != nil {
		return Tokens{}, err
	}
	out := issued.sign()
	return Tokens{
		AccessToken: out.AccessToken, RefreshToken: out.RefreshToken, IDToken: out.IDToken,
		SessionID:        out.SessionState,
		ExpiresIn:        seconds(int(out.ExpiresIn)),
		RefreshExpiresIn: seconds(int(out.RefreshExpiresIn)), Scope: strings.Fields(out.Scope),
	}, nil
}

func (r *Realm) signIn(clientID, username, scope string) (*issue, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, u := r.clients[clientID], r.byName(username)
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
	}
	granted, refused := r.scopesFor(c, scope, true)
	if refused != nil {
		return nil, errors.New("keycloaktest: " + refused.description)
	}
	g := &grant{realm: r, client: c, user: u, scope: granted, kind: "ro", now: r.server.Now()}
	if refused := r.begin(g); refused != nil {
		return nil, errors.New("keycloaktest: " + refused.description)
	}
	return g.issue(!c.isFalse("use.refresh.tokens")), nil
}

// A Mint describes a token to make by hand, right or wrong. The zero value is a JWT that has the
// realm's issuer, is signed with its RS256 key, and expires in five minutes.
type Mint struct {
	// Claims are the payload; they win over those that Mint writes by itself: iss, iat, exp, jti,
	// typ (Bearer). A nil value leaves the claim out, and a time.Time becomes a NumericDate.
	Claims map[string]any
	// Lifetime is from now on; 0 means five minutes, and less than 0 a token that has expired.
	Lifetime time.Duration
	// Header are members of the header; they win over alg, typ and kid. A nil value leaves the
	// member out.
	Header map[string]any
	// Algorithm is the one to sign with: any that a realm may have; empty means RS256.
	Algorithm string
	// Key signs instead of the realm's: *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey, or
	// []byte for HMAC.
	Key any
}

// Mint makes a token. It begins no session. Userinfo and introspection judge it as any token: they
// know it by the client that azp names, and by the session that sid names or, without sid, as one
// of that client's service account.
func (r *Realm) Mint(m Mint) (string, error) {
	if err := r.present(); err != nil {
		return "", err
	}
	algorithm := m.Algorithm
	if algorithm == "" {
		algorithm = "RS256"
	}
	if !slices.Contains(realmfile.SignatureAlgorithms, algorithm) {
		return "", fmt.Errorf("keycloaktest: %q is no signature algorithm of Keycloak's", algorithm)
	}
	r.mu.Lock()
	unable, k, now := r.keys.unable(algorithm), *r.keys.signing(algorithm), r.server.Now()
	r.mu.Unlock()
	if unable != "" && m.Key == nil {
		return "", errors.New("keycloaktest: " + unable)
	}
	if m.Key != nil {
		k.private = m.Key
	}
	lifetime := m.Lifetime
	if lifetime == 0 {
		lifetime = 5 * time.Minute
	}
	payload := claims{"iss": r.Issuer(), "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
		"jti": uuid.NewString(), "typ": "Bearer"}
	overlay(payload, m.Claims)
	header := claims{"alg": algorithm, "typ": "JWT", "kid": k.kid}
	overlay(header, m.Header)
	headerText, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("keycloaktest: header: %w", err)
	}
	payloadText, err := json.Marshal(payload)
	if err != nil {
		return "", fmt.Errorf("keycloaktest: claims: %w", err)
	}
	return sign(string(headerText), payloadText, &k)
}

func overlay(onto, members map[string]any) {
	for name, value := range members {
		switch value := value.(type) {
		case nil:
			delete(onto, name)
		case time.Time:
			onto[name] = value.Unix() // a NumericDate (RFC 7519 2)
		default:
			onto[name] = value
		}
	}
}
