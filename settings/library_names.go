package settings

import (
	"log/slog"
	"strings"
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

// NameIn replaces the names of fields of CloakQL's packages in a text by those of the settings
// behind them.
func NameIn(text string) string { return settingNames.Replace(text) }

// NameInLog is a slog.HandlerOptions.ReplaceAttr that does the same for what the packages log.
func NameInLog(_ []string, attr slog.Attr) slog.Attr {
	switch attr.Key {
	case slog.MessageKey, "detail", "error", "reason":
		attr.Value = slog.StringValue(NameIn(attr.Value.Resolve().String()))
	}
	return attr
}
