package keycloaktest

import (
	"strings"
)

// clientCredentialsGrant handles the client credentials grant (RFC 6749 4.4), in which the client
// acts as its service account.
func (req *request) clientCredentialsGrant(caller *client) (*unsignedResponse, *oauthError) {
	if caller.PublicClient {
		return nil, newOAuthError(401, "unauthorized_client",
			"Public client not allowed to retrieve service account")
	}
	if !caller.ServiceAccountsEnabled || caller.serviceAccount == nil {
		return nil, newOAuthError(401, "unauthorized_client",
			"Client not enabled to retrieve service account")
	}
	account := caller.serviceAccount
	if !account.Enabled {
		return nil, newOAuthError(401, "invalid_request", "User '"+account.Username+"' disabled")
	}
	scope, err := req.resolveScopes(caller)
	if err != nil {
		return nil, err
	}
	host, _, _ := strings.Cut(req.RemoteAddr, ":")
	g := &grant{
		realm: req.realm, client: caller, user: account, scope: scope, now: req.now,
		grantTypeShortcut: "cc",
		notes: map[string]string{"client_id": caller.ClientID, "clientId": caller.ClientID,
			"clientHost": host, "clientAddress": host},
	}
	if !caller.attributeIsTrue("client_credentials.use_refresh_token") {
		return g.issue(false), nil
	}
	if err := req.realm.startSession(g); err != nil {
		return nil, err
	}
	for name, value := range g.notes {
		g.session.notes[name] = value
	}
	return g.issue(true), nil
}
