package keycloaktest

import (
	"strings"
)

// clientCredentialsGrant is the client credentials grant (RFC 6749 4.4): the client acts as its
// service account.
func (c *call) clientCredentialsGrant(by *client) (*issue, *refusal) {
	if by.PublicClient {
		return nil, refuse(401, "unauthorized_client",
			"Public client not allowed to retrieve service account")
	}
	if !by.ServiceAccountsEnabled || by.serviceAccount == nil {
		return nil, refuse(401, "unauthorized_client",
			"Client not enabled to retrieve service account")
	}
	if !by.serviceAccount.Enabled {
		return nil, refuse(401, "invalid_request", "User '"+by.serviceAccount.Username+"' disabled")
	}
	scope, refused := c.requestedScope(by)
	if refused != nil {
		return nil, refused
	}
	host, _, _ := strings.Cut(c.RemoteAddr, ":")
	g := &grant{
		realm: c.realm, client: by, user: by.serviceAccount, scope: scope, kind: "cc", now: c.now,
		notes: map[string]string{"client_id": by.ClientID, "clientId": by.ClientID,
			"clientHost": host, "clientAddress": host},
	}
	if !by.attribute("client_credentials.use_refresh_token") {
		return g.issue(false), nil
	}
	if refused := c.realm.begin(g); refused != nil {
		return nil, refused
	}
	for name, value := range g.notes {
		g.session.notes[name] = value
	}
	return g.issue(true), nil
}
