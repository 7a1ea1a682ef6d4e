package keycloak

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

const (
	// maxNotBeforeAge is the age from which a not-before isn't reported: tokens from before it
	// have expired.
	maxNotBeforeAge = 24 * time.Hour

	// maxReportedUsers limits the users in each of the two sets of notBeforeReports, which take
	// about 2 MB together.
	maxReportedUsers = 10_000
)

// notBeforeReports remembers the not-before that was last reported for a user, so that the sign-ins
// and refreshes after it don't report it again. If there are too many users, it forgets the oldest.
// It is safe for concurrent use.
type notBeforeReports struct {
	mu                sync.Mutex // guards the fields below
	current, previous map[digest]int64
}

// isNew remembers a user's not-before, and reports whether it is later than the last one.
func (r *notBeforeReports) isNew(subject string, notBefore int64) bool {
	key := digestOf(identity.NewSecret(subject))
	r.mu.Lock()
	defer r.mu.Unlock()
	if max(r.current[key], r.previous[key]) >= notBefore {
		return false
	}
	if r.current == nil || len(r.current) >= maxReportedUsers {
		r.previous, r.current = r.current, map[digest]int64{}
	}
	r.current[key] = notBefore
	return true
}

// reportNotBefore calls SessionEnded if an administrator has revoked the user's tokens that were
// issued before a recent time. Each token response has that time, not-before-policy: the latest
// not-before of the realm, the client and the user, in Unix seconds, or 0. Keycloak accepts tokens
// that were issued in the same second. The response comes straight from Keycloak, so the signature
// of its access token need not be verified.
func (c *Client) reportNotBefore(token *identity.OpenIDToken, notBefore int64) {
	now := time.Now()
	if c.config.SessionEnded == nil || notBefore < now.Add(-maxNotBeforeAge).Unix() {
		return
	}
	parts, err := jose.DecodeCompact(token.AccessToken.Reveal())
	if err != nil {
		return
	}
	var claims struct {
		Subject  string  `json:"sub"`
		IssuedAt float64 `json:"iat"`
	}
	if json.Unmarshal(parts[1], &claims) != nil || claims.Subject == "" {
		return
	}
	// A not-before in the future revokes the new token, too. Then a later response may have a later
	// token with the same not-before. Keycloak's clock counts, so compare with its iat.
	endedAt := notBefore - 1
	if issuedAt := int64(min(max(claims.IssuedAt, 0), year10000)); endedAt >= issuedAt {
		endedAt = issuedAt
	} else if !c.notBefore.isNew(claims.Subject, notBefore) {
		return
	}
	c.config.SessionEnded(SessionEnd{Subject: claims.Subject, At: time.Unix(endedAt, 0),
		Exact: true})
}

// parseNotBefore returns the not-before-policy of a token response in Unix seconds, or 0 if it
// isn't one.
func parseNotBefore(value json.RawMessage) int64 {
	seconds, ok := strictjson.Value(value).Float()
	if !ok || !(seconds > 0 && seconds < year10000) {
		return 0
	}
	return int64(seconds)
}
