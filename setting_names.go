package main

import (
	"log/slog"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// settingNames turns the names that package keycloak has for what is configured, in texts for
// operators, into the names of this server's settings. A test finds all of them.
var settingNames = strings.NewReplacer(
	"NewRealm's serverURL", "KEYCLOAK_SERVER_URL",
	"NewRealm's name", "KEYCLOAK_REALM_NAME",
	"ClientConfig.ClientID", "KEYCLOAK_CLIENT_ID",
	"ClientConfig.ClientSecret", "KEYCLOAK_CLIENT_SECRET_KEY",
	"ClientConfig.LoginScope", "LOGIN_SCOPE",
	"ClientConfig.RefreshGraceAnyNetwork", "REFRESH_GRACE_NETWORK",
	"ClientConfig.Timeout", "KEYCLOAK_TIMEOUT",
	"Issuer.Names", "KEYCLOAK_ISSUER",
	"VerifierConfig.Algorithms", "TOKEN_ALGORITHMS",
	"VerifierConfig.Audience", "KEYCLOAK_AUDIENCE",
	"VerifierConfig.AuthorizedParties", "KEYCLOAK_AUTHORIZED_PARTIES",
	"VerifierConfig.MaxBytes", "TOKEN_MAX_BYTES",
)

// nameSettings is a slog.HandlerOptions.ReplaceAttr: it names settings in what package keycloak
// logs.
func nameSettings(_ []string, attr slog.Attr) slog.Attr {
	switch attr.Key {
	case slog.MessageKey, "detail", "error", "reason":
		attr.Value = slog.StringValue(settingNames.Replace(attr.Value.Resolve().String()))
	}
	return attr
}

// nameSettingsIn names settings in the detail that errors have on a developer's machine.
func nameSettingsIn(shown *gqlerror.Error) *gqlerror.Error {
	if detail, ok := shown.Extensions["detail"].(string); ok {
		shown.Extensions["detail"] = settingNames.Replace(detail)
	}
	return shown
}
