package keycloaktest

import (
	"strings"
)

// clientCredentialsGrant is the client credentials grant (RFC 6749 4.4): the client acts as its
// service account.
func (c *call) clientCredentialsGrant(caller *client) (*unsignedResponse, *refusal) {
	if caller.PublicClient {
		return nil, refuse(401, "unauthorized_client",
			"Public client not allowed to retrieve service account")
	}
	if !caller.ServiceAccountsEnabled || caller.serviceAccount == nil {
		return nil, refuse(401, "unauthorized_client",
			"Client not enabled to retrieve service account")
	}
	account := caller.serviceAccount
	if !account.Enabled {
		return nil, refuse(401, "invalid_request", "User '"+account.Username+"' disabled")
	}
	scope, refused := c.requestedScope(caller)
	if refused != nil {
		return nil, refused
	}
	host, _, _ := strings.Cut(c.RemoteAddr, ":")
	g := &grant{
		realm: c.realm, client: caller, user: account, scope: scope, shortcut: "cc", now: c.now,
		notes: map[string]string{"client_id": caller.ClientID, "clientId": caller.ClientID,
			"clientHost": host, "clientAddress": host},
	}
	if !caller.isTrue("client_credentials.use_refresh_token") {
		return g.issue(false), nil
	}
	if refused := c.realm.startSession(g); refused != nil {
		return nil, refused
	}
	for name, value := range g.notes {
		g.session.notes[name] = value
	}
	return g.issue(true), nil
}
