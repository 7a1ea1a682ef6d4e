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
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/console"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/internal/middleware"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/revocation"
	"github.com/cloakql/cloakql/signin"
	"github.com/cloakql/cloakql/store"
	"github.com/cloakql/cloakql/throttle"
)

// A Config configures a Server. Realm is required. Client is required too, with the exception that
// its comment describes. Every other zero value is a safe default. The nested types are documented
// in their own packages.
type Config struct {
	// Local is for a developer's machine. A local server allows introspection, explains errors to
	// clients (extensions.detail), and lets pages from this machine call the API. Unless
	// HTTP.AllowedHosts is set, it accepts only this machine's host names.
	Local bool

	Realm keycloak.Realm

	// Client is this server's client in the realm. Its Realm, Transport and Log are optional; if
	// Client.Realm is set, it must equal Realm. If Schema is set and has no login, refresh or
	// logout, Client may be empty; then Tokens.Audience is required.
	Client keycloak.ClientConfig

	// Keys configures how the realm's signing keys are fetched. Its Transport defaults to the
	// client's Transport.
	Keys keycloak.KeySetConfig

	// Tokens says which access tokens are accepted. Issuers defaults to the realm. An Issuer
	// without Keys gets the realm's keys. An Issuer without Names gets the issuer of its keys'
	// realm.
	//
	// If Audience is empty, the client ID becomes the audience, and also the AnyAudienceFor unless
	// that is set. Then the server accepts tokens for this API, and all tokens that were issued to
	// the client. Set Audience to accept only tokens for this API, once every client that calls it
	// has an audience mapper.
	Tokens keycloak.VerifierConfig

	// Revoked has the sessions that ended while their access tokens are still valid. The server
	// rejects their tokens. If Client is set, the server adds the sessions that Keycloak's
	// back-channel logout names and those that logout ends, and if Revoked is nil, New makes a set.
	// A set has the sessions of Realm only; for other realms, set Issuer.CheckRevoked. To add a
	// session yourself, call Server.EndSession.
	Revoked *revocation.Set

	// SessionCheck, if set, makes the server ask Keycloak whether the sessions in use are still
	// active, because Keycloak doesn't announce that a user was disabled, for example. It needs
	// Client. The server sets its Client, End and Now, and by default its Log.
	SessionCheck *keycloak.SessionCheckConfig

	// Store, if set, is shared with other servers for the same realm and client, so that they count
	// attempts together, make one exchange per refresh token, and learn from each other which
	// sessions ended. It sets Attempts.Store, Client.Calls, Client.Turns and GraphQL.SharedQueries
	// unless they are set. docs/operating.md says what happens while the store is unavailable. If
	// Store is nil, the server uses its own memory.
	Store *store.Store

	// DisableBackchannelLogout removes the path /backchannel-logout, to which Keycloak sends logout
	// tokens (keycloak.BackchannelLogout) if it is the Backchannel logout URL of Client.
	DisableBackchannelLogout bool

	// Attempts limits attempts per account, per token and per address.
	Attempts throttle.Config

	HTTP HTTPConfig

	// GraphQL configures GraphQL over HTTP. GraphQL.Errors must be nil, because the server sets it;
	// to add rows to the error table, use Config.Errors. On a local server, introspection is on
	// unless DisableIntrospection or IntrospectionRole is set. GraphQL.Observe is called after the
	// request has been logged.
	GraphQL graphqlhttp.Config

	// Limits bounds documents and variables. If RootFieldMax is nil, a request may contain each of
	// login, refresh and logout once.
	Limits limits.Limits

	// Schema, if set, returns the schema to serve instead of CloakQL's own. New calls it once. Its
	// argument is the service that the resolvers of login, refresh and logout call; if Client is
	// empty, all its methods return an error. Package plugin generates such a schema. Without the
	// plugin, bind the directives of the schema with authz.Bind. Each root field must carry @public
	// or a guard.
	Schema func(*signin.Service) (graphql.ExecutableSchema, error)

	// DisableAnswerCache makes the server run every operation. Otherwise, it caches the responses
	// to queries whose root fields carry @fromToken, with the caller's token in the token cache,
	// and sends them again while the token is valid. It caches no responses if HTTP.Middleware is
	// set, because the middleware may change the user. If GraphQL.Answers is set, the server uses
	// only that.
	DisableAnswerCache bool

	// Authz configures the access rules of Schema. List in Authz.Guards the application's own
	// directives that refuse unauthenticated callers: New trusts this list, since it can't see what
	// a directive does. The server sets Authz.Present and Authz.Now. It logs each Denial.
	Authz authz.Config

	// DisableIntrospection switches introspection off on a local server too. IntrospectionRole
	// switches it on, on any server, for callers with this realm role, and off for all others.
	DisableIntrospection bool
	IntrospectionRole    string

	// Federation makes CloakQL's own schema a subgraph of Apollo Federation 2: User is an entity
	// with the key id, and every caller may resolve its own User. Federation can't be set if Schema
	// is set, because gqlgen's federation plugin makes an application's schema a subgraph.
	Federation bool

	// FederationRole is the realm role of the callers that may also resolve other users. Such a
	// caller gets back the ID that it sent, and no other field of the user. If FederationRole is
	// empty, callers may resolve only their own User.
	FederationRole string

	// Errors adds the application's own rows to CloakQL's error table.
	Errors []apierror.Row

	// RewriteDetail, if set, rewrites extensions.detail, which only a local server shows, and the
	// error for a refused host name. The commands in cmd use it to replace the names of Go fields
	// with the names of settings.
	RewriteDetail func(string) string

	Log *slog.Logger // slog.Default() if nil
}

// An HTTPConfig says who may call a Server, and what the Server serves in addition to GraphQL.
type HTTPConfig struct {
	// CORSOrigins are the origins whose pages may call the API, such as https://app.example.com. An
	// origin may have one wildcard: *, https://*.example.com, or http://localhost:*. If CORSOrigins
	// is empty, a local server lets every page from this machine call the API; other servers let no
	// page call it.
	CORSOrigins []string

	// AllowedHosts are the host names that requests may use, without a port, such as
	// api.example.com or *.example.com. A local server accepts the names of this machine too. If
	// AllowedHosts is empty, a local server accepts only this machine's names, and other servers
	// accept any name.
	AllowedHosts []string

	// Proxies are the reverse proxies whose X-Forwarded-For is trusted (throttle.AddressConfig).
	Proxies []netip.Prefix

	// Console serves the GraphQL console at /.
	Console bool

	// ConsoleUsers are suggested in the console's sign-in form, with their passwords, to everyone
	// who opens the page. Only a local server may have them.
	ConsoleUsers []console.User

	// Middleware, if set, wraps the handler of /graphql. The request's context has the caller
	// (identity.Require) and the client's address (identity.Address). To wrap the handlers of all
	// paths, wrap Server.Handler.
	Middleware func(http.Handler) http.Handler
}

// withDefaults checks c, and returns it with its defaults set.
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
	case c.Federation && c.Schema != nil:
		return c, errors.New("cloakql: Config.Federation is for CloakQL's own schema: leave it " +
			"out, and use gqlgen's federation plugin for Config.Schema")
	case c.SessionCheck != nil && !c.hasClient():
		return c, errors.New("cloakql: Config.SessionCheck needs Config.Client")
	case c.FederationRole != "" && !c.Federation:
		return c, errors.New("cloakql: Config.FederationRole is set, but Config.Federation isn't")
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
	if c.Store != nil {
		c.setStore()
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
		if keySet, ok := issuer.Keys.(*keycloak.KeySet); ok {
			c.Tokens.Issuers[i].Names = []string{keySet.Realm().Issuer()}
		} else if issuer.Keys == nil {
			c.Tokens.Issuers[i].Names = []string{c.Realm.Issuer()}
		}
	}
	if len(c.Tokens.Audience) == 0 {
		c.Tokens.Audience = []string{c.Client.ClientID}
		c.Tokens.AnyAudienceFor = cmp.Or(c.Tokens.AnyAudienceFor, c.Client.ClientID)
	}
	if c.Revoked == nil && c.hasClient() {
		c.Revoked = &revocation.Set{Log: c.Log, Now: c.Tokens.Now}
	}
	c.Limits.RootFieldMax = maps.Clone(c.Limits.RootFieldMax)
	if c.Limits.RootFieldMax == nil {
		c.Limits.RootFieldMax = map[string]int{"login": 1, "refresh": 1, "logout": 1}
		if c.Federation {
			c.Limits.RootFieldMax["_service"] = 1
		}
	}
	if c.GraphQL.Errors != nil {
		return c, errors.New(
			"cloakql: Config.GraphQL.Errors must be nil: add rows to Config.Errors")
	}
	c.GraphQL.Introspection = (c.GraphQL.Introspection || c.Local) &&
		!c.DisableIntrospection && c.IntrospectionRole == ""
	return c, nil
}

// setStore sets the fields that Store sets.
func (c *Config) setStore() {
	if c.Attempts.Store == nil {
		c.Attempts.Store = c.Store.Buckets
	}
	if c.Client.Calls == nil {
		c.Client.Calls = c.Store.Calls
	}
	if c.Client.Turns == nil {
		c.Client.Turns = c.Store.Turns
	}
	if c.GraphQL.SharedQueries == nil && c.Store.Documents != nil {
		c.GraphQL.SharedQueries = &sharedQueries{documents: c.Store.Documents}
	}
}

// hasClient reports whether Client has an ID or a secret. If only one of them is set, hasClient
// returns true, so that keycloak.NewClient reports the missing one.
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

// isOfRealm reports whether issuer is Realm, and not another realm whose tokens are accepted too. A
// single issuer is Realm, also if Names has a public URL of Realm that differs from its URL here.
func (c Config) isOfRealm(issuer keycloak.Issuer) bool {
	if len(c.Tokens.Issuers) == 1 {
		return true
	}
	if keySet, ok := issuer.Keys.(*keycloak.KeySet); ok {
		return keySet.Realm() == c.Realm
	}
	return slices.Contains(issuer.Names, c.Realm.Issuer())
}

// servesBackchannelLogout reports whether the server accepts logout tokens.
func (c Config) servesBackchannelLogout() bool {
	return c.hasClient() && !c.DisableBackchannelLogout
}

// issuerNames returns the accepted values of the iss claim.
func (c Config) issuerNames() []string {
	var names []string
	for _, issuer := range c.Tokens.Issuers {
		names = append(names, issuer.Names...)
	}
	return names
}

// LogValue returns the configuration for the log at startup, without secrets.
func (c Config) LogValue() slog.Value {
	c, _ = c.withDefaults() // an incomplete Config is logged without some defaults
	defaults := throttle.Defaults()
	origins := append([]string{}, c.HTTP.CORSOrigins...)
	if c.Local && len(origins) == 0 {
		origins = append(origins, middleware.Loopback.String())
	}
	return slog.GroupValue(
		slog.Bool("local", c.Local), slog.String("realm", c.Realm.Issuer()),
		slog.String("client", c.Client.ClientID), slog.String("store", c.storeName()),
		// Accepted tokens.
		slog.Any("issuers", c.issuerNames()), slog.Any("audience", c.Tokens.Audience),
		slog.String("anyAudienceFor", c.Tokens.AnyAudienceFor),
		// empty means every safe algorithm
		slog.Any("tokenAlgorithms", append([]string{}, c.Tokens.Algorithms...)),
		slog.Any("authorizedParties", c.Tokens.AuthorizedParties),
		slog.Duration("refreshGrace", c.Client.RefreshGrace),
		slog.Bool("refreshGraceAnyNetwork", c.Client.RefreshGraceAnyNetwork),
		slog.Bool("backchannelLogout", c.servesBackchannelLogout()),
		slog.String("sessionCheck", c.sessionCheckMode()),
		// Exposure.
		slog.Bool("console", c.HTTP.Console), slog.Bool("introspection", c.GraphQL.Introspection),
		slog.String("introspectionRole", c.IntrospectionRole),
		slog.Bool("getQueries", c.GraphQL.AllowGET),
		slog.Any("corsOrigins", origins),
		slog.Any("allowedHosts", append([]string{}, c.HTTP.AllowedHosts...)),
		slog.Bool("persistedQueries", c.GraphQL.PersistedQueryBytes > 0),
		slog.String("trustedDocuments", c.trustedDocumentsMode()),
		slog.Int("tokenCacheBytes",
			max(0, cmp.Or(c.Tokens.CacheBytes, keycloak.DefaultTokenCacheBytes))),
		slog.Bool("answerCache", c.keepsAnswers() && c.Tokens.CacheBytes >= 0),
		slog.Bool("federation", c.Federation), slog.String("federationRole", c.FederationRole),
		// Rate limits, and where the addresses come from.
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

// sessionCheckMode returns how sessions in use are checked: off, sample or always.
func (c Config) sessionCheckMode() string {
	switch {
	case c.SessionCheck == nil:
		return "off"
	case c.SessionCheck.Wait:
		return "always"
	}
	return "sample"
}

// storeName returns the name of Store, or memory.
func (c Config) storeName() string {
	if c.Store == nil {
		return "memory"
	}
	return cmp.Or(c.Store.Name, "shared")
}

// trustedDocumentsMode returns how the manifest is applied: off, log or enforce.
func (c Config) trustedDocumentsMode() string {
	switch {
	case c.GraphQL.Manifest == nil:
		return "off"
	case c.GraphQL.ManifestLogOnly:
		return "log"
	}
	return "enforce"
}

// toStrings returns the result of each item's String method. It never returns nil, which would be
// logged as null.
func toStrings[T fmt.Stringer](items []T) []string {
	texts := []string{}
	for _, item := range items {
		texts = append(texts, item.String())
	}
	return texts
}

// formatRate writes a rate the way a setting does: 10/1m0s.
func formatRate(r throttle.Rate) string { return fmt.Sprintf("%d/%v", r.Burst, r.Every) }
