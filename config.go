package cloakql

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/console"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/internal/middleware"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/signin"
	"github.com/cloakql/cloakql/throttle"
)

// A Config configures a Server. Realm and Client are required; every other zero value is a safe
// default. The nested types are documented in their own packages.
type Config struct {
	// Local is for a developer's machine: it turns on introspection, explains errors to clients
	// (extensions.detail), lets pages of this machine call the API, and accepts only this machine's
	// host names.
	Local bool

	Realm keycloak.Realm

	// Client is this server's client in the realm. Its Realm, Transport and Log are optional; its
	// Realm, if set, must be the one above. Client may be empty if Schema is set and has no login;
	// Tokens.Audience is then required.
	Client keycloak.ClientConfig

	// Keys configures how the realm's signing keys are fetched. Its Transport defaults to the
	// client's.
	Keys keycloak.KeySetConfig

	// Tokens says which access tokens are accepted. Issuers defaults to the realm. An Issuer's Keys
	// default to the realm's keys, and its Names to the issuer of the realm that its Keys belong
	// to. If Audience is empty, it becomes the client ID, and so does AuthorizedParty unless it is
	// set: tokens for this API are accepted, and so is any token issued to the client. Once every
	// client whose tokens should be accepted has an audience mapper, set Audience to stop accepting
	// other tokens issued to the client.
	Tokens keycloak.VerifierConfig

	// Attempts limits attempts per account, per token and per address.
	Attempts throttle.Config

	HTTP HTTPConfig

	// GraphQL configures GraphQL over HTTP. Its Errors must be nil: the server sets its own, and
	// the field Errors below adds rows to it. On a local server introspection is always on. Observe
	// is called after the request has been logged.
	GraphQL graphqlhttp.Config

	// Limits bounds documents and variables. If RootFieldMax is nil, a request may contain each of
	// login, refresh and logout once.
	Limits limits.Limits

	// Schema, if set, returns the schema to serve instead of CloakQL's own. New calls it once, with
	// the service behind login, refresh and logout for the resolvers to use. If Client is empty,
	// every call of that service fails. Package plugin generates such a schema; without the plugin,
	// bind its directives with authz.Bind. Each root field must carry @public or a guard.
	Schema func(*signin.Service) (graphql.ExecutableSchema, error)

	// Guards names the directives of Schema, without the @, that refuse unauthenticated callers, in
	// addition to auth. New trusts this list: it can't see what a directive does, or whether gqlgen
	// has a function for it. A field whose directive has no function fails at request time.
	Guards []string

	// Errors adds the application's own rows to CloakQL's error table.
	Errors []apierror.Row

	// RewriteDetail, if set, rewrites extensions.detail, which only a local server shows, and the
	// explanation of a refused host name. The commands use it to replace the names of fields with
	// those of settings.
	RewriteDetail func(string) string

	Log *slog.Logger // slog.Default() if nil
}

// An HTTPConfig says who may call a Server, and what it serves apart from GraphQL.
type HTTPConfig struct {
	// CORSOrigins are the origins whose pages may call the API: https://app.example.com, or with
	// one wildcard: * by itself, https://*.example.com, or http://localhost:*. If empty, no page
	// may call; on a local server, every page of this machine may.
	CORSOrigins []string

	// AllowedHosts are the host names that requests may use, without a port: api.example.com or
	// *.example.com. If empty, any name is accepted. A local server always accepts the names of
	// this machine, and accepts no others if AllowedHosts is empty.
	AllowedHosts []string

	// Proxies are the reverse proxies whose X-Forwarded-For is trusted (throttle.AddressConfig).
	Proxies []netip.Prefix

	// Console serves the GraphQL console at /.
	Console bool

	// ConsoleUsers are suggested in the console's sign-in form, with their passwords, to everyone
	// who opens the page. Only a local server may have them.
	ConsoleUsers []console.User

	// Middleware, if set, wraps the handler of /graphql. The caller (identity.Require) and the
	// client's address (identity.Address) are in the request's context. To wrap everything, wrap
	// Server.Handler.
	Middleware func(http.Handler) http.Handler
}

// withDefaults checks c and fills in defaults.
func (c Config) withDefaults() (Config, error) {
	if c.Realm == (keycloak.Realm{}) {
		return c, errors.New("cloakql: Config.Realm is missing: make it with keycloak.NewRealm")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	switch {
	case !c.hasClient() && c.Schema == nil:
		return c, errors.New("cloakql: Config.Client needs a ClientID and a ClientSecret")
	case c.Client.Realm != (keycloak.Realm{}) && c.Client.Realm != c.Realm:
		return c, errors.New("cloakql: Config.Client.Realm isn't Config.Realm: leave it out")
	case len(c.HTTP.ConsoleUsers) > 0 && !c.Local:
		return c, errors.New(
			"cloakql: Config.HTTP.ConsoleUsers shows passwords: only a Local server may have it")
	case !c.hasClient() && len(c.Tokens.Audience) == 0:
		return c, errors.New(
			"cloakql: Config.Tokens needs an Audience where Config.Client is empty")
	}
	if c.Client.Transport == nil {
		c.Client.Transport = keycloak.NewTransport()
	}
	if c.Keys.Transport == nil {
		c.Keys.Transport = c.Client.Transport
	}
	c.Client.Realm = c.Realm
	c.Client.RefreshGrace = cmp.Or(c.Client.RefreshGrace, keycloak.DefaultRefreshGrace)
	c.Client.RefusalPause = cmp.Or(c.Client.RefusalPause, keycloak.DefaultRefusalPause)
	for _, log := range []**slog.Logger{&c.Client.Log, &c.Keys.Log, &c.Attempts.Log} {
		if *log == nil {
			*log = c.Log
		}
	}
	if c.Tokens.Issuers = slices.Clone(c.Tokens.Issuers); len(c.Tokens.Issuers) == 0 {
		c.Tokens.Issuers = []keycloak.Issuer{{}}
	}
	for i, issuer := range c.Tokens.Issuers {
		if len(issuer.Names) > 0 {
			continue
		}
		if set, ok := issuer.Keys.(*keycloak.KeySet); ok {
			c.Tokens.Issuers[i].Names = []string{set.Realm().Issuer()}
		} else if issuer.Keys == nil {
			c.Tokens.Issuers[i].Names = []string{c.Realm.Issuer()}
		}
	}
	if len(c.Tokens.Audience) == 0 {
		c.Tokens.Audience = []string{c.Client.ClientID}
		c.Tokens.AuthorizedParty = cmp.Or(c.Tokens.AuthorizedParty, c.Client.ClientID)
	}
	c.Limits.RootFieldMax = maps.Clone(c.Limits.RootFieldMax)
	if c.Limits.RootFieldMax == nil {
		c.Limits.RootFieldMax = map[string]int{"login": 1, "refresh": 1, "logout": 1}
	}
	if c.GraphQL.Errors != nil {
		return c, errors.New(
			"cloakql: Config.GraphQL.Errors must be nil: add rows to Config.Errors")
	}
	c.GraphQL.Introspection = c.GraphQL.Introspection || c.Local
	return c, nil
}

// hasClient reports whether a Client is configured. A Client with only an ID or only a secret
// counts: keycloak.NewClient explains what is missing.
func (c Config) hasClient() bool {
	return c.Client.ClientID != "" || c.Client.ClientSecret.Reveal() != ""
}

func (c Config) requestTimeout() time.Duration {
	if c.GraphQL.Timeout > 0 {
		return c.GraphQL.Timeout
	}
	return graphqlhttp.DefaultTimeout
}

func (c Config) rewriteDetail(detail string) string {
	if c.RewriteDetail == nil {
		return detail
	}
	return c.RewriteDetail(detail)
}

// issuers returns the accepted values of the iss claim.
func (c Config) issuers() []string {
	var names []string
	for _, issuer := range c.Tokens.Issuers {
		names = append(names, issuer.Names...)
	}
	return names
}

// LogValue returns the configuration for the log at startup, without secrets.
func (c Config) LogValue() slog.Value {
	c, _ = c.withDefaults() // an incomplete Config is logged as it is
	defaults := throttle.Defaults()
	origins := append([]string{}, c.HTTP.CORSOrigins...)
	if c.Local && len(origins) == 0 {
		origins = append(origins, middleware.Loopback.String())
	}
	return slog.GroupValue(
		slog.Bool("local", c.Local), slog.String("realm", c.Realm.Issuer()),
		slog.String("client", c.Client.ClientID),
		// Accepted tokens.
		slog.Any("issuers", c.issuers()), slog.Any("audience", c.Tokens.Audience),
		slog.String("authorizedParty", c.Tokens.AuthorizedParty),
		// empty means every safe algorithm
		slog.Any("tokenAlgorithms", append([]string{}, c.Tokens.Algorithms...)),
		slog.Any("authorizedParties", c.Tokens.AuthorizedParties),
		slog.Duration("refreshGrace", c.Client.RefreshGrace),
		slog.Bool("refreshGraceAnyNetwork", c.Client.RefreshGraceAnyNetwork),
		// Exposure.
		slog.Bool("console", c.HTTP.Console), slog.Bool("introspection", c.GraphQL.Introspection),
		slog.Bool("getQueries", c.GraphQL.AllowGET),
		slog.Any("corsOrigins", origins),
		slog.Any("allowedHosts", append([]string{}, c.HTTP.AllowedHosts...)),
		slog.Bool("persistedQueries", c.GraphQL.PersistedQueryBytes > 0),
		slog.String("trustedDocuments", c.trustedDocuments()),
		// Rate limits, and the addresses they count by.
		slog.Any("trustedProxies", toStrings(c.HTTP.Proxies)),
		slog.Bool("forwardAddress", c.Client.ForwardAddress),
		slog.String("loginAccountLimit", formatRate(cmp.Or(c.Attempts.Account, defaults.Account))),
		slog.String("loginAddressLimit", formatRate(cmp.Or(c.Attempts.Address, defaults.Address))),
		slog.String("loginAccountSlowLimit",
			formatRate(cmp.Or(c.Attempts.AccountSlow, defaults.AccountSlow))),
		slog.Duration("loginRefusalPause", c.Client.RefusalPause),
		slog.String("addressLimit", formatRate(cmp.Or(c.Attempts.Attempts, defaults.Attempts))),
		slog.String("refreshTokenLimit", formatRate(cmp.Or(c.Attempts.Token, defaults.Token))),
		slog.String("refreshAddressLimit",
			formatRate(cmp.Or(c.Attempts.TokenAddress, defaults.TokenAddress))))
}

// trustedDocuments returns how the manifest is applied: off, log or enforce.
func (c Config) trustedDocuments() string {
	switch {
	case c.GraphQL.Manifest == nil:
		return "off"
	case c.GraphQL.ManifestLogOnly:
		return "log"
	}
	return "enforce"
}

// toStrings returns the String of each item. It never returns nil, which would be logged as null.
func toStrings[T fmt.Stringer](items []T) []string {
	list := []string{}
	for _, item := range items {
		list = append(list, item.String())
	}
	return list
}

// formatRate writes a rate the way a setting does: 10/1m0s.
func formatRate(r throttle.Rate) string { return fmt.Sprintf("%d/%v", r.Burst, r.Every) }
