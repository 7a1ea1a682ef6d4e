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

// A Config says what a Server is made of. Realm and Client are required; every other zero value is
// a safe default. The nested configurations belong to the packages that they come from.
type Config struct {
	// Local is for a developer's machine: introspection is on, errors explain themselves to clients
	// (extensions.detail), pages of this machine may call, and the server answers only to this
	// machine's names.
	Local bool

	Realm keycloak.Realm

	// Client is this server's client in the realm. Its Realm, Transport and Log may be left out; a
	// Realm must be the one above.
	// It may be empty where Schema is set and has no login; Tokens.Audience is required then.
	Client keycloak.ClientConfig

	// Keys is about the realm's signing keys. Without a Transport it has the client's.
	Keys keycloak.KeySetConfig

	// Tokens says whose access tokens are accepted. Without Issuers they are the realm's; an Issuer
	// without Keys has the realm's keys, and without Names the realm's. If Audience is empty, it
	// becomes the client's id, and so does AuthorizedParty unless it is set: a token for this API
	// passes, and any token that was issued to the client.
	// Set Audience to end the latter, once the realm has an audience mapper for this API.
	Tokens keycloak.VerifierConfig

	// Attempts bounds how often an account, a token and an address may try.
	Attempts throttle.Config

	HTTP HTTPConfig

	// GraphQL is GraphQL over HTTP. Its Errors must be nil: the server has its own, to which the
	// field Errors below adds rows. A local server has introspection on, whatever it says. Its
	// Observe is called after the request's line was logged.
	GraphQL graphqlhttp.Config

	// Limits bounds documents and variables. Without RootFieldMax, a request may contain
	// each of login, refresh and logout once.
	Limits limits.Limits

	// Schema makes the schema, if it isn't CloakQL's own. It is called once, by New, with what
	// login, refresh and logout need: hand it to the resolvers. Every call of it fails if Client is
	// empty. Package plugin generates such a schema; without the plugin, its directives are bound
	// by authz.Bind. Each root field must carry @public or a guard.
	Schema func(*signin.Service) (graphql.ExecutableSchema, error)

	// Guards are the names of the directives of Schema, without the @, that refuse unknown callers,
	// beside auth. Naming one is a promise: New can't see what it does, nor whether gqlgen has a
	// function for it. A field whose directive has none fails at request time.
	Guards []string

	// Errors are the product's own rows of the error table, beside CloakQL's.
	Errors []apierror.Row

	// RewriteDetail, if set, rewrites extensions.detail, which only a local server shows, and why a
	// request for another host is refused. The commands replace the names of fields by those of
	// their settings.
	RewriteDetail func(string) string

	Log *slog.Logger // slog.Default() if nil
}

// An HTTPConfig says who may call a Server, and what it serves beside GraphQL.
type HTTPConfig struct {
	// CORSOrigins are the origins whose pages may call: https://app.example.com, or with one
	// wildcard: only *, https://*.example.com, or http://localhost:*. If empty, no page may call;
	// if the server is local, every page of this machine.
	CORSOrigins []string

	// AllowedHosts are the host names that requests may use for this server, without a port:
	// api.example.com or *.example.com. If empty, they may use any name. A local server also has
	// the names of this machine, and no others if this is empty.
	AllowedHosts []string

	// Proxies are the reverse proxies whose X-Forwarded-For is believed (throttle.AddressConfig).
	Proxies []netip.Prefix

	// Console serves the GraphQL console at /.
	Console bool

	// ConsoleUsers are offered in the console's form, with their passwords, to everybody who opens
	// the page. Only a local server may have them.
	ConsoleUsers []console.User

	// Middleware, if set, wraps the handler of /graphql. The caller (identity.Require) and the
	// client's address (identity.Address) are in the request's context. To wrap everything, wrap
	// Server.Handler.
	Middleware func(http.Handler) http.Handler
}

// withDefaults fills in what follows from other fields.
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

// hasClient reports whether people can sign in. A Client with only one of both is a mistake, which
// keycloak.NewClient explains.
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

// issuers are the names in iss whose tokens are accepted.
func (c Config) issuers() []string {
	var names []string
	for _, issuer := range c.Tokens.Issuers {
		names = append(names, issuer.Names...)
	}
	return names
}

// LogValue shows what an operator may see of a Config at the start: no secret.
func (c Config) LogValue() slog.Value {
	c, _ = c.withDefaults() // what is missing is logged as missing
	attempts := throttle.Defaults()
	origins := append([]string{}, c.HTTP.CORSOrigins...)
	if c.Local && len(origins) == 0 {
		origins = append(origins, middleware.Loopback.String())
	}
	return slog.GroupValue(
		slog.Bool("local", c.Local), slog.String("realm", c.Realm.Issuer()),
		slog.String("client", c.Client.ClientID),
		// Whose tokens are good.
		slog.Any("issuers", c.issuers()), slog.Any("audience", c.Tokens.Audience),
		slog.String("authorizedParty", c.Tokens.AuthorizedParty),
		// none named is all that are safe
		slog.Any("tokenAlgorithms", append([]string{}, c.Tokens.Algorithms...)),
		slog.Any("authorizedParties", c.Tokens.AuthorizedParties),
		slog.Duration("refreshGrace", c.Client.RefreshGrace),
		slog.Bool("refreshGraceAnyNetwork", c.Client.RefreshGraceAnyNetwork),
		// Who can reach what.
		slog.Bool("console", c.HTTP.Console), slog.Bool("introspection", c.GraphQL.Introspection),
		slog.Bool("getQueries", c.GraphQL.AllowGET),
		slog.Any("corsOrigins", origins),
		slog.Any("allowedHosts", append([]string{}, c.HTTP.AllowedHosts...)),
		slog.Bool("persistedQueries", c.GraphQL.PersistedQueryBytes > 0),
		slog.String("trustedDocuments", c.trustedDocuments()),
		// Whose address an attempt counts for, and how many there may be.
		slog.Any("trustedProxies", texts(c.HTTP.Proxies)),
		slog.Bool("forwardAddress", c.Client.ForwardAddress),
		slog.String("loginAccountLimit", limitText(cmp.Or(c.Attempts.Account, attempts.Account))),
		slog.String("loginAddressLimit", limitText(cmp.Or(c.Attempts.Address, attempts.Address))),
		slog.String("loginAccountSlowLimit",
			limitText(cmp.Or(c.Attempts.AccountSlow, attempts.AccountSlow))),
		slog.Duration("loginRefusalPause", c.Client.RefusalPause),
		slog.String("addressLimit", limitText(cmp.Or(c.Attempts.Attempts, attempts.Attempts))),
		slog.String("refreshTokenLimit", limitText(cmp.Or(c.Attempts.Token, attempts.Token))),
		slog.String("refreshAddressLimit",
			limitText(cmp.Or(c.Attempts.TokenAddress, attempts.TokenAddress))))
}

// trustedDocuments is whether this server runs only the documents of its manifest: off, log or
// enforce.
func (c Config) trustedDocuments() string {
	switch {
	case c.GraphQL.Manifest == nil:
		return "off"
	case c.GraphQL.ManifestLogOnly:
		return "log"
	}
	return "enforce"
}

// texts are a list as it is written, and [] for none.
func texts[T fmt.Stringer](list []T) []string {
	texts := []string{}
	for _, one := range list {
		texts = append(texts, one.String())
	}
	return texts
}

// limitText is a limit as a setting has it.
func limitText(r throttle.Rate) string { return fmt.Sprintf("%d/%v", r.Burst, r.Every) }
