package settings

import (
	"strconv"
	"strings"
	"time"

	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/store/redisstore"
	"github.com/cloakql/cloakql/throttle"
)

// A group is a section of the reference.
type group struct {
	title    string
	doc      string // paragraphs, separated by an empty line
	settings []setting
}

// groups defines all settings. Their destinations are in raw.
func (raw *rawSettings) groups() []group {
	server := &raw.Server
	client, tokens, graphQL, limit := &server.Client, &server.Tokens, &server.GraphQL,
		&server.Limits
	attempts, attemptDefaults := &server.Attempts, throttle.Defaults()
	return []group{
		{
			title: "Server and Keycloak",
			doc: "If Keycloak's certificate comes from a certificate authority of your own, set " +
				"`SSL_CERT_FILE` to a PEM file with the authority's certificate, as for any Go " +
				"program.",
			settings: []setting{{
				name: "RUNTIME_ENV", defaultValue: "local", dest: anyValue(&raw.runtimeEnv),
				fieldNames: "Config.Local",
				doc: "Where the server runs. `local` is a developer's machine: the server " +
					"listens on a loopback address, allows introspection, and explains errors " +
					"to clients. Every other value is production, even an empty one. " +
					"`RUNTIME_ENV` also chooses the settings file, so set it in the " +
					"environment: in a file, it has no effect.",
			}, {
				name: "ADDR", dest: anyValue(&raw.Addr),
				defaultText: "`127.0.0.1:8000`; in production `:8000`",
				doc: "The address to listen on, as `host:port`. While `RUNTIME_ENV` is `local`, " +
					"it has to be a loopback address.",
			}, {
				name: "KEYCLOAK_SERVER_URL", dest: checkedValue(&raw.serverURL, checkServerURL),
				fieldNames: "NewRealm's serverURL",
				requiredText: "the address of Keycloak, such as http://localhost:8080 (on a " +
					"developer's machine, go run ./cmd/cloakql-dev needs no Keycloak)",
				doc: "The URL at which this server reaches Keycloak, with the path prefix if " +
					"there is one: `http://localhost:8080/auth`.",
			}, {
				name: "KEYCLOAK_REALM_NAME", dest: checkedValue(&raw.realmName, checkRealmName),
				fieldNames:   "NewRealm's name",
				requiredText: "the name of the realm, as in Keycloak's admin console",
				doc:          "The name of the realm.",
			}, {
				name: "KEYCLOAK_CLIENT_ID", dest: anyValue(&client.ClientID),
				fieldNames:   "ClientConfig.ClientID, BackchannelLogoutConfig.ClientIDs",
				requiredText: "the client ID, as in Keycloak's admin console",
				doc: "The ID of a confidential client of the realm. Only `login` needs the " +
					"client's direct access grants.",
			}, {
				name: secretName, dest: anyValue(&client.ClientSecret),
				fieldNames: "ClientConfig.ClientSecret",
				requiredText: "the secret on the client's Credentials tab, or " + secretName +
					"_FILE with the path " +
					"of a file that holds it",
				alternative: secretName + "_FILE",
				doc: "The client's secret, from the client's Credentials tab. In a settings " +
					"file, put a secret that holds a `$` in single quotes.",
			}, {
				name: secretName + "_FILE", dest: anyValue(&raw.secretFile), defaultText: "none",
				doc: "The path of a file that holds the client's secret, instead of `" +
					secretName + "`.",
			}, {
				name: "KEYCLOAK_ISSUER", dest: listOf(&raw.issuers, "issuers"),
				fieldNames:  "Issuer.Names",
				defaultText: "`<KEYCLOAK_SERVER_URL>/realms/<KEYCLOAK_REALM_NAME>`",
				doc: "The accepted issuers (`iss`) of access tokens, separated by commas. Set " +
					"it if Keycloak's public URL isn't `KEYCLOAK_SERVER_URL`. When the server " +
					"starts, the log names the realm's issuer.",
			}, {
				name: "KEYCLOAK_AUDIENCE", dest: listOf(&tokens.Audience, "audiences"),
				fieldNames:  "VerifierConfig.Audience",
				defaultText: "`KEYCLOAK_CLIENT_ID`",
				doc: "The accepted audiences (`aud`) of access tokens, separated by commas. " +
					"While it is unset, a token that was issued to `KEYCLOAK_CLIENT_ID` is " +
					"accepted too, with any audience. Set it as soon as all clients whose " +
					"tokens should be accepted have an audience mapper: docs/operating.md, " +
					"Whose tokens are accepted.",
			}, {
				name:       "KEYCLOAK_AUTHORIZED_PARTIES",
				dest:       listOf(&tokens.AuthorizedParties, "client IDs"),
				fieldNames: "VerifierConfig.AuthorizedParties", defaultText: "any client",
				doc: "The clients (`azp`) whose access tokens are accepted, separated by commas. " +
					"`KEYCLOAK_CLIENT_ID` is always one of them.",
			}, {
				name: "KEYCLOAK_TIMEOUT", defaultValue: format(keycloak.DefaultTimeout),
				dest:       inRange(&client.Timeout, time.Second, time.Minute),
				fieldNames: "ClientConfig.Timeout",
				doc:        "The time limit for one call to Keycloak.",
			}, {
				name: "LOGIN_SCOPE", defaultValue: keycloak.DefaultLoginScope,
				dest:       checkedValue(&client.LoginScope, checkScope),
				fieldNames: "ClientConfig.LoginScope",
				doc:        "The scopes that `login` requests, separated by spaces.",
			}, {
				name: "REFRESH_GRACE", defaultValue: format(keycloak.DefaultRefreshGrace),
				dest: zeroOrInRange(&client.RefreshGrace, time.Second, time.Minute),
				doc: "For this long after a refresh token is used, using it again returns the " +
					"same response, so that two browser tabs can refresh at the same time. The " +
					"time ends early when the new refresh token is used. 0 turns it off.",
			}, {
				name: "REFRESH_GRACE_NETWORK", defaultValue: "same",
				dest:       oneOf(&raw.refreshGraceNetwork, "same", "any"),
				fieldNames: "ClientConfig.RefreshGraceAnyNetwork",
				doc: "Who may use a refresh token again within `REFRESH_GRACE`: `same` is " +
					"callers " +
					"in the network that used it first (IPv4 /24, IPv6 /48), `any` is everyone, " +
					"including a thief in another network. Use `any` if people's addresses " +
					"change that quickly.",
			}, {
				name: "TOKEN_MAX_BYTES", defaultValue: strconv.Itoa(keycloak.DefaultTokenMaxBytes),
				dest:       inRange(&tokens.MaxBytes, 4096, 65536),
				fieldNames: "VerifierConfig.MaxBytes",
				doc:        "The maximum length of an access token, in bytes.",
			}, {
				name:         "TOKEN_CACHE_BYTES",
				defaultValue: strconv.Itoa(keycloak.DefaultTokenCacheBytes),
				dest:         zeroOrInRange(&tokens.CacheBytes, 1<<20, 1<<30),
				fieldNames:   "VerifierConfig.CacheBytes",
				doc: "The memory for verified tokens, in bytes: about 3 kB per token, and the " +
					"responses cached with it (`ANSWER_CACHE`). For a cached token, only the " +
					"times and the key are checked again. 0 switches the cache off.",
			}, {
				name: "ANSWER_CACHE", defaultValue: "on",
				dest:       oneOf(&raw.answerCache, "on", "off"),
				fieldNames: "Config.DisableAnswerCache",
				doc: "Whether the server caches the responses to queries of `me`, and sends them " +
					"again while the token is valid: `on` or `off`. A token's responses take at " +
					"most 16 KiB, within `TOKEN_CACHE_BYTES`.",
			}, {
				name: "BACKCHANNEL_LOGOUT", defaultValue: "on",
				dest:       oneOf(&raw.backchannelLogout, "on", "off"),
				fieldNames: "Config.DisableBackchannelLogout",
				doc: "Whether Keycloak may send logout tokens to `/backchannel-logout`: `on` or " +
					"`off`. When a session ends, its access tokens are then refused at once. Set " +
					"the client's Backchannel logout URL in Keycloak: docs/operating.md, Tokens " +
					"in circulation.",
			}, {
				name: "REVOCATION_CHECK", defaultValue: "off",
				dest:       oneOf(&raw.revocationCheck, "off", "sample", "always"),
				fieldNames: "Config.SessionCheck",
				doc: "Whether the server asks Keycloak if the sessions in use are still active, " +
					"because Keycloak doesn't announce that a user was disabled, for example. " +
					"With `sample`, it asks in the background, and refuses the session from the " +
					"next request on. With `always`, the request waits for the answer, and fails " +
					"with `SERVICE_UNAVAILABLE` if Keycloak can't be asked. See " +
					"docs/operating.md, Tokens in circulation.",
			}, {
				name:         "REVOCATION_CHECK_INTERVAL",
				defaultValue: format(keycloak.DefaultCheckInterval),
				dest:         inRange(&raw.revocationInterval, time.Second, time.Hour),
				fieldNames:   "SessionCheckConfig.Interval",
				doc: "How long Keycloak's answer counts, for `REVOCATION_CHECK`: a disabled user " +
					"is refused after this time and one call to Keycloak, at most.",
			}, {
				name: "TOKEN_ALGORITHMS", dest: eachItem(&tokens.Algorithms, parseAlgorithm),
				fieldNames: "VerifierConfig.Algorithms", defaultText: "all of them",
				doc: "The accepted signature algorithms of access tokens, separated by commas: " +
					"some of `" +
					strings.Join(keycloak.Algorithms(), "`, `") +
					"`. In any case, a token has to be signed with the algorithm of its key.",
			}, {
				name: "KEYS_MAX_AGE", defaultValue: format(keycloak.DefaultKeysMaxAge),
				dest: inRange(&server.Keys.MaxAge, time.Minute, 7*24*time.Hour),
				doc:  "How long cached keys stay in use when Keycloak can't be reached.",
			}, {
				name: "REQUEST_TIMEOUT", defaultValue: format(graphqlhttp.DefaultTimeout),
				dest: inRange(&graphQL.Timeout, time.Second, 2*time.Minute),
				doc: "The time limit for one request. It has to be longer than " +
					"`KEYCLOAK_TIMEOUT`.",
			}, {
				name: "CORS_ORIGINS", dest: eachItem(&server.HTTP.CORSOrigins, parseOrigin),
				defaultText: "none; on a developer's machine, every page of this machine",
				doc: "The origins whose pages may call this server from a browser, separated by " +
					"commas. An origin may have one wildcard: `*` by itself, the whole first " +
					"label " +
					"(`https://*.example.com`), or the port (`http://localhost:*`). Allowed " +
					"pages may send any header. Cookies aren't involved: tokens travel in a " +
					"header.",
			}, {
				name: "ALLOWED_HOSTS", dest: eachItem(&server.HTTP.AllowedHosts, parseHost),
				fieldNames:  "HTTPConfig.AllowedHosts",
				defaultText: "any name; on a developer's machine, the names of this machine",
				doc: "The host names that requests may use for this server, separated by " +
					"commas: `api.example.com,*.example.org`. A request for another name gets " +
					"403; in production, `/healthz` and `/readyz` accept any name. While " +
					"`RUNTIME_ENV` is `local`, `localhost`, `*.localhost`, `127.0.0.0/8` and " +
					"`[::1]` are always allowed, and a request with a forwarding header " +
					"(`X-Forwarded-*`, `Forwarded`) is refused unless it comes from one of the " +
					"`TRUSTED_PROXIES`.",
			}, {
				name: "FEDERATION", defaultValue: "false", dest: anyValue(&server.Federation),
				fieldNames: "Config.Federation",
				doc: "Whether the schema is a subgraph of Apollo Federation 2: `true` or " +
					"`false`. " +
					"See docs/operating.md, Behind a federation gateway.",
			}, {
				name: "FEDERATION_ROLE", dest: anyValue(&server.FederationRole),
				fieldNames: "Config.FederationRole", defaultText: "nobody",
				doc: "The realm role whose users may refer to other users through the gateway. " +
					"They get the `id` that they asked for, and nothing else.",
			}, {
				name: "CONSOLE", defaultValue: "auto",
				dest: oneOf(&raw.console, "auto", "on", "off"),
				doc: "Whether the console, a GraphQL IDE with a sign-in, is served at `/`: `on`, " +
					"`off`, or `auto`, which is `on` while `RUNTIME_ENV` is `local`.",
			}},
		},
		{
			title: "Attempts",
			doc: "A limit is `burst/interval`: `10/1m` allows ten attempts at once and adds one " +
				"per minute. The burst is 1 to 2000, the interval 5ms to 24h. `ADDRESS_LIMIT` " +
				"counts all attempts. The other limits count only failures; for what counts as a " +
				"failure, see docs/operating.md, Attempts. Over a limit, requests get " +
				"`RATE_LIMITED` without a call to Keycloak. Unless `STORE` is set, each process " +
				"counts for itself, in memory. How the limits work together with those of " +
				"Keycloak: docs/operating.md, Fitting Keycloak's brute-force protection.",
			settings: []setting{{
				name: "TRUSTED_PROXIES", dest: anyValue(&server.HTTP.Proxies),
				fieldNames: "HTTPConfig.Proxies, AddressConfig.Trusted", defaultText: "none",
				doc: "The addresses and networks of your reverse proxies, separated by commas: " +
					"`10.0.0.0/8,192.0.2.1`. Their `X-Forwarded-For` names the client; the " +
					"header from anyone else is ignored. Name the proxies, not networks with " +
					"clients in them.",
			}, {
				name: "KEYCLOAK_FORWARD_ADDRESS", defaultValue: "false",
				dest: anyValue(&client.ForwardAddress),
				doc: "Whether to tell Keycloak the client's address in `X-Forwarded-For`, for " +
					"its events and its brute-force protection: `true` or `false`. Keycloak has " +
					"to trust this server (`proxy-headers=xforwarded`, `proxy-trusted-addresses`).",
			}, {
				name: "LOGIN_ACCOUNT_LIMIT", defaultValue: formatRate(attemptDefaults.Account),
				dest: rateLimit(&attempts.Account),
				doc: "The limit on failed sign-ins with one username from one network (IPv4 " +
					"/24, IPv6 /48). For all networks together, burst and rate are five times " +
					"as high.",
			}, {
				name:         "LOGIN_ACCOUNT_SLOW_LIMIT",
				defaultValue: formatRate(attemptDefaults.AccountSlow),
				dest:         rateLimit(&attempts.AccountSlow),
				doc: "A second limit on failed sign-ins with one username from one network, " +
					"against slow guessing. The default allows 116 guesses on the first day " +
					"and 96 on each further one. For all networks together, burst and rate are " +
					"five times as high.",
			}, {
				name: "LOGIN_ADDRESS_LIMIT", defaultValue: formatRate(attemptDefaults.Address),
				dest: rateLimit(&attempts.Address),
				doc: "The limit on failed sign-ins from one address (IPv4, or IPv6 /64), for " +
					"all usernames together. For the address's network (IPv4 /24, IPv6 /48), " +
					"burst and rate are five times as high. The burst has to be at least " +
					"`MAX_LOGINS`.",
			}, {
				name: "REFRESH_TOKEN_LIMIT", defaultValue: formatRate(attemptDefaults.Token),
				dest: rateLimit(&attempts.Token),
				doc:  "The limit on failed uses of one refresh token from one address.",
			}, {
				name:         "REFRESH_ADDRESS_LIMIT",
				defaultValue: formatRate(attemptDefaults.TokenAddress),
				dest:         rateLimit(&attempts.TokenAddress),
				doc: "The limit on made-up refresh tokens from one address: tokens that the " +
					"realm never issued.",
			}, {
				name: "ADDRESS_LIMIT", defaultValue: formatRate(attemptDefaults.Attempts),
				dest: rateLimit(&attempts.Attempts),
				doc: "The limit on all attempts from one address, successful or not. Sign-ins, " +
					"refreshes and sign-outs are counted separately. Raise it if a server of " +
					"yours calls on behalf of its clients and sends no `X-Forwarded-For`.",
			}, {
				name: "LOGIN_REFUSAL_PAUSE", defaultValue: format(keycloak.DefaultRefusalPause),
				dest: inRange(&client.RefusalPause, 0, 10*time.Second),
				doc: "How long the next sign-in of an account waits after a refused one. It " +
					"should be longer than Keycloak's Quick login check. 0 is no pause.",
			}, {
				name: "MAX_LOGINS", defaultValue: strconv.Itoa(keycloak.DefaultMaxCalls),
				dest: inRange(&client.MaxLogins, 1, 2000),
				doc: "The maximum number of sign-ins in flight. Another sign-in gets `BUSY`. " +
					"One network (IPv4 /24, IPv6 /48) may use a quarter of the maximum; " +
					"another sign-in from it gets `RATE_LIMITED`.",
			}, {
				name: "MAX_REFRESHES", defaultValue: strconv.Itoa(keycloak.DefaultMaxCalls),
				dest: inRange(&client.MaxRefreshes, 1, 10000),
				doc: "The maximum number of refreshes in flight. Further refreshes " +
					"fail as for `MAX_LOGINS`.",
			}, {
				name: "MAX_LOGOUTS", defaultValue: strconv.Itoa(keycloak.DefaultMaxCalls),
				dest: inRange(&client.MaxLogouts, 1, 10000),
				doc: "The maximum number of sign-outs in flight. Further sign-outs " +
					"fail as for `MAX_LOGINS`.",
			}},
		},
		{
			title: "Several processes",
			doc: "Several processes for the same realm and client share attempts, refreshes, " +
				"sign-ins in flight, persisted queries and ended sessions through Redis, or a " +
				"compatible server such as Valkey. What happens while it is away: " +
				"docs/operating.md, Several processes.",
			settings: []setting{{
				name: storeName, dest: anyValue(&raw.storeURL),
				fieldNames: "redisstore.Config.URL", defaultText: "this process's memory",
				doc: "The URL of Redis: `redis://host:6379/0`, or `rediss://` for TLS. With " +
					"Sentinel: `redis+sentinel://host:26379?master_name=shop`. A cluster: " +
					"`redis+cluster://host:6379`. A user and a password may be in it: " +
					"`redis://user:password@host`.",
			}, {
				name: "STORE_PASSWORD_FILE", dest: anyValue(&raw.Redis.PasswordFile),
				fieldNames: "redisstore.Config.PasswordFile", defaultText: "none",
				doc: "The path of a file that holds Redis's password, instead of a password in " +
					"`STORE`. The file is read for each new connection, so the password may " +
					"change without a restart.",
			}, {
				name:         "STORE_TIMEOUT",
				defaultValue: format(redisstore.DefaultTimeout),
				dest:         inRange(&raw.Redis.Timeout, 50*time.Millisecond, time.Second),
				fieldNames:   "redisstore.Config.Timeout",
				doc: "The time limit for one call to Redis. A request may make up to five " +
					"calls.",
			}, {
				name: storeKeyName, dest: anyValue(&raw.storeKeys),
				fieldNames:  "redisstore.Config.SealSecrets",
				defaultText: "derived from `" + secretName + "`",
				doc: "The secret that responses with tokens are encrypted with before they go to " +
					"Redis, of at least 16 bytes. Several may be separated by commas: the first " +
					"encrypts, and each of them decrypts. How to change it, and the client's " +
					"secret: docs/operating.md, Several processes.",
			}, {
				name: "STORE_PREFIX", dest: anyValue(&raw.Redis.Prefix),
				fieldNames:  "redisstore.Config.Prefix",
				defaultText: "`cloakql:` and a hash of the realm's URL and `KEYCLOAK_CLIENT_ID`",
				doc: "What the names of all keys in Redis begin with, of at most 64 letters, " +
					"digits and `._:-`. Processes share only what has the same prefix. Set it " +
					"if processes reach Keycloak at different values of `KEYCLOAK_SERVER_URL`.",
			}},
		},
		{
			title: "Requests and documents",
			settings: []setting{{
				name: "GET_QUERIES", dest: anyValue(&raw.getQueries),
				defaultText: "`false`; on a developer's machine `true`",
				doc: "Whether queries may be sent by GET too: `true` or `false`. Caches in front " +
					"of the server can store those responses. If `false`, a GET gets 405. " +
					"Mutations never run by GET.",
			}, {
				name: "PERSISTED_QUERIES_BYTES", defaultValue: "1048576",
				dest: inRange(&graphQL.PersistedQueryBytes, 0, 1<<30),
				doc: "The memory for Apollo's automatic persisted queries, in bytes. Valid " +
					"documents are stored, except mutations that contain a string or number " +
					"literal. 0 turns persisted queries off.",
			}, {
				name: "TRUSTED_DOCUMENTS", dest: anyValue(&raw.trustedDocuments),
				defaultText: "none: every document may run",
				doc: "The path of a file with the operations that may run. It has the format of " +
					"Apollo's `generate-persisted-query-manifest`, Relay's compiler, GraphQL " +
					"Code " +
					"Generator (`persisted-documents.json`), gql.tada, or any other tool that " +
					"maps IDs to documents.",
			}, {
				name: "TRUSTED_DOCUMENTS_MODE", defaultValue: "enforce",
				dest: oneOf(&raw.trustedDocumentsMode, "enforce", "log"),
				doc: "What happens to an operation that isn't in `TRUSTED_DOCUMENTS`: `enforce` " +
					"refuses it, `log` runs it and marks it `untrusted` in the log.",
			}, {
				name: "DOCUMENT_CACHE_BYTES", defaultValue: strconv.Itoa(limits.DefaultCacheBytes),
				dest: inRange(&limit.CacheBytes, 0, 1<<30),
				doc: "The memory for caching parsed and validated documents, in bytes. 0 turns " +
					"the cache off.",
			}, {
				name: "MAX_BODY_BYTES", defaultValue: strconv.Itoa(graphqlhttp.DefaultMaxBodyBytes),
				dest: inRange(&graphQL.MaxBodyBytes, 1024, 1<<20),
				doc: "The maximum size of a request's body, and of its document, in bytes. A " +
					"GET's URL and headers may have 32 KiB together.",
			}, {
				name: "MAX_BODY_DEPTH", defaultValue: strconv.Itoa(graphqlhttp.DefaultMaxNesting),
				dest: inRange(&graphQL.MaxNesting, 8, 1000),
				doc:  "The maximum nesting of lists and objects in a request's JSON.",
			}, {
				name: "MAX_BODY_VALUES", defaultValue: strconv.Itoa(graphqlhttp.DefaultMaxValues),
				dest: inRange(&graphQL.MaxValues, 100, 100000),
				doc:  "The maximum number of values in a request's JSON, including nested ones.",
			}, {
				name:         "MAX_RESPONSE_BYTES",
				defaultValue: strconv.Itoa(graphqlhttp.DefaultMaxResponseBytes),
				dest:         inRange(&graphQL.MaxResponseBytes, 1024, 1<<30),
				doc:          "The maximum size of a response, in bytes.",
			}},
		},
		{
			title: "Access rules",
			doc: "The schema says who may use a field, with directives such as `@auth`. " +
				"`cloakql policy` prints these rules.",
			settings: []setting{{
				name: "INTROSPECTION", defaultValue: "local",
				dest:       checkedValue(&raw.introspection, checkIntrospection),
				fieldNames: "Config.IntrospectionRole",
				doc: "Who may query the schema. With `local`, everyone may on a developer's " +
					"machine, and introspection is off elsewhere. `off` turns it off. With " +
					"`role:NAME`, callers with the realm role NAME may.",
			}, {
				name: "AUTHZ_QUERIES", defaultValue: "partial",
				dest:       oneOf(&raw.authzQueries, "partial", "all-or-nothing"),
				fieldNames: "Config.Authz.AllOrNothing",
				doc: "What happens to a query with a denied field: with `partial`, the field is " +
					"null with an error, and the rest runs; with `all-or-nothing`, nothing runs. " +
					"A mutation with a denied field never runs.",
			}, {
				name: "AUTHZ_EXPLAIN", defaultValue: "false",
				dest: anyValue(&server.Authz.Explain), fieldNames: "Config.Authz.Explain",
				doc: "Whether the error of a denied field has the arguments of its rule in " +
					"`extensions.required`: `true` or `false`.",
			}, {
				name:        "AUTHZ_DRY_RUN",
				dest:        listOf(&server.Authz.DryRun, "types and fields"),
				defaultText: "none", fieldNames: "Config.Authz.DryRun",
				doc: "Types and fields whose rules are logged but not enforced, such as " +
					"`Note,Query.notes`. The message is `access would be denied`. `@auth` is " +
					"always enforced.",
			}},
		},
		{
			title: "What one request may cost",
			doc: "A request over one of these limits fails with `OPERATION_TOO_LARGE` before " +
				"validation; the text of each limit has the error's reason in parentheses. " +
				"*Expanded* means that each spread of a fragment counts as if the fragment " +
				"were written in its place.\n\nA growing front end may reach these limits. " +
				"Other limits have no setting: they protect the parser and are far above what " +
				"clients " +
				"send. A server of " +
				"your own can set them in `limits.Limits`.",
			settings: []setting{{
				name: "LIMIT_TOKENS", defaultValue: strconv.Itoa(limits.DefaultTokens),
				dest: inRange(&limit.Tokens, 100, 10000), doc: limitDocs["Tokens"],
			}, {
				name: "LIMIT_DEPTH", defaultValue: strconv.Itoa(limits.DefaultDepth),
				dest: inRange(&limit.Depth, 2, 50), doc: limitDocs["Depth"],
			}, {
				name: "LIMIT_FIELDS", defaultValue: strconv.Itoa(limits.DefaultFields),
				dest: inRange(&limit.Fields, 10, 10000), doc: limitDocs["Fields"],
			}, {
				name: "LIMIT_ROOT_FIELDS", defaultValue: strconv.Itoa(limits.DefaultRootFields),
				dest: inRange(&limit.RootFields, 1, 1000),
				doc: limitDocs["RootFields"] +
					" `login`, `refresh` and `logout` are allowed once each.",
			}, {
				name: "LIMIT_ALIASES", defaultValue: strconv.Itoa(limits.DefaultAliases),
				dest: inRange(&limit.Aliases, 1, 1000), doc: limitDocs["Aliases"],
			}, {
				name: "LIMIT_FRAGMENTS", defaultValue: strconv.Itoa(limits.DefaultFragments),
				dest: inRange(&limit.Fragments, 1, 500),
				doc: limitDocs["Fragments"] +
					" Clients with a fragment for each component send many.",
			}, {
				name:         "LIMIT_VARIABLE_BYTES",
				defaultValue: strconv.Itoa(limits.DefaultVariableBytes),
				dest:         inRange(&limit.VariableBytes, 1024, 1<<20),
				doc: limitDocs["VariableBytes"] +
					" `MAX_BODY_BYTES` has to be at least as large.",
			}, {
				name:         "LIMIT_VARIABLE_ITEMS",
				defaultValue: strconv.Itoa(limits.DefaultVariableItems),
				dest:         inRange(&limit.VariableItems, 10, 100000),
				doc: limitDocs["VariableItems"] +
					" `MAX_BODY_VALUES` has to be at least as large.",
			}, {
				name:         "LIMIT_REPRESENTATIONS",
				defaultValue: strconv.Itoa(limits.DefaultRepresentations),
				dest:         inRange(&limit.Representations, 1, 10000),
				doc: limitDocs["Representations"] +
					" For more than about 300, raise `LIMIT_VARIABLE_ITEMS` too.",
			}},
		},
	}
}

// removedSettings are names of former settings. Read warns if one of them is still set.
var removedSettings = []string{
	"LIMIT_ARGUMENTS", "LIMIT_COERCIONS", "LIMIT_DIRECTIVES", "LIMIT_DIRECTIVES_AT",
	"LIMIT_INTROSPECTION", "LIMIT_INTROSPECTION_DEPTH", "LIMIT_INTROSPECTION_ROOTS",
	"LIMIT_NAME_BYTES", "LIMIT_NESTING", "LIMIT_NUMBER_BYTES", "LIMIT_OPERATIONS", "LIMIT_PAIRS",
	"LIMIT_SPREADS", "LIMIT_STRING_BYTES", "LIMIT_VALUES", "LIMIT_VALUE_BYTES", "LIMIT_VALUE_DEPTH",
	"LIMIT_VARIABLES", "LIMIT_VARIABLE_DEPTH",
}

// settings returns all settings, in the order of the reference.
func (raw *rawSettings) settings() (list []setting) {
	for _, g := range raw.groups() {
		list = append(list, g.settings...)
	}
	return list
}

// settingNames has the names of all settings, in the order of the reference.
var settingNames = func() (names []string) {
	for _, s := range new(rawSettings).settings() {
		names = append(names, s.name)
	}
	return names
}()
