package keycloak

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// introspectionRefusalRules are the rules for token introspection.
var introspectionRefusalRules = []refusalRule{
	{401, "invalid_client", "Client authentication failed", identity.ErrProviderMisconfigured,
		"the client secret is wrong, or it has expired: set ClientConfig.ClientSecret to the one " +
			"on the client's Credentials tab"},
	{403, "invalid_request", "Client not allowed", identity.ErrProviderMisconfigured,
		"the client is public: ClientConfig.ClientID must name a confidential client"},
}

// introspect asks Keycloak whether a token is active. It returns an error if there is no valid
// answer.
func (c *SessionChecker) introspect(token identity.Secret) (isActive bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.config.Timeout)
	defer cancel()
	client := c.config.Client
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {"access_token"}}
	client.addCredentials(form)
	resp, err := client.post(ctx, client.config.Realm.introspectionURL(), form)
	switch {
	case err != nil && ctx.Err() != nil:
		return false, c.timeoutError()
	case err != nil:
		return false, uncheckedError("%s", err.Error())
	case resp.status != http.StatusOK:
		return false, uncheckedError("%s",
			identity.Detail(refusalError(resp, introspectionRefusalRules)))
	}
	return parseIntrospection(resp)
}

// parseIntrospection parses an introspection response, RFC 7662 section 2.2.
func parseIntrospection(resp response) (isActive bool, err error) {
	var active strictjson.Value
	count := 0
	err = strictjson.VisitMembersLenient(resp.body, func(name []byte, value strictjson.Value) {
		if string(name) == "active" {
			active = value
			count++
		}
	})
	switch {
	case err == nil && count == 1 && active.Equal("true"):
		return true, nil
	case err == nil && count == 1 && active.Equal("false"):
		return false, nil
	}
	return false, uncheckedError("response 200 is not a JSON object with active%s", resp.note)
}

// checkAudience returns an error if Keycloak wouldn't tell the client whether a token is active.
// Since 26.6.2, Keycloak tells only clients in the token's audience.
func checkAudience(token identity.Secret, clientID string) error {
	parts, err := jose.DecodeCompact(token.Reveal())
	if err != nil { // impossible for a verified token
		return uncheckedError("the token can't be decoded")
	}
	var aud strictjson.Value
	err = strictjson.VisitMembersLenient(parts[1], func(name []byte, value strictjson.Value) {
		if string(name) == "aud" {
			aud = value
		}
	})
	if err != nil {
		return uncheckedError("the token's claims can't be decoded")
	}
	audience, ok := aud.Strings()
	if !ok {
		name, _ := aud.String()
		audience = []string{name}
	}
	if !slices.Contains(audience, clientID) {
		return uncheckedError("aud is %s, which lacks %s (ClientConfig.ClientID), so Keycloak "+
			"won't say whether the token is active: add a mapper of type Audience to the client "+
			"that asks for the token", aud.Quoted(), strictjson.Quote(clientID))
	}
	return nil
}
