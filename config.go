package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/cloakql/cloakql/console"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/throttle"
)

// settings are the names, the defaults and the meaning of every setting. The README has a line for
// each; a test compares the two.
type settings struct {
	RuntimeEnv      string        `env:"RUNTIME_ENV" envDefault:"local"`
	Addr            string        `env:"ADDR"`
	ServerURL       string        `env:"KEYCLOAK_SERVER_URL"`
	RealmName       string        `env:"KEYCLOAK_REALM_NAME"`
	ClientID        string        `env:"KEYCLOAK_CLIENT_ID"`
	ClientSecret    string        `env:"KEYCLOAK_CLIENT_SECRET_KEY"`
	SecretFile      string        `env:"KEYCLOAK_CLIENT_SECRET_KEY_FILE"`
	Issuer          []string      `env:"KEYCLOAK_ISSUER"`
	Audience        []string      `env:"KEYCLOAK_AUDIENCE"`
	Parties         []string      `env:"KEYCLOAK_AUTHORIZED_PARTIES"`
	KeycloakTimeout time.Duration `env:"KEYCLOAK_TIMEOUT" envDefault:"8s"`
	LoginScope      string        `env:"LOGIN_SCOPE" envDefault:"openid profile email"`
	RefreshGrace    time.Duration `env:"REFRESH_GRACE" envDefault:"10s"`
	GraceNetwork    string        `env:"REFRESH_GRACE_NETWORK" envDefault:"same"`
	TokenMaxBytes   int           `env:"TOKEN_MAX_BYTES" envDefault:"16384" range:"4096 65536"`
	TokenAlgorithms []string      `env:"TOKEN_ALGORITHMS"`
	KeysMaxAge      time.Duration `env:"KEYS_MAX_AGE" envDefault:"24h"`
	RequestTimeout  time.Duration `env:"REQUEST_TIMEOUT" envDefault:"15s"`
	CORSOrigins     []string      `env:"CORS_ORIGINS"`
	AllowedHosts    []string      `env:"ALLOWED_HOSTS"`
	Console         string        `env:"CONSOLE" envDefault:"auto"`

	TrustedProxies      []string      `env:"TRUSTED_PROXIES"`
	ForwardAddress      bool          `env:"KEYCLOAK_FORWARD_ADDRESS" envDefault:"false"`
	LoginAccountLimit   budget        `env:"LOGIN_ACCOUNT_LIMIT" envDefault:"10/1m"`
	LoginSlowLimit      budget        `env:"LOGIN_ACCOUNT_SLOW_LIMIT" envDefault:"20/15m"`
	LoginAddressLimit   budget        `env:"LOGIN_ADDRESS_LIMIT" envDefault:"100/6s"`
	RefreshTokenLimit   budget        `env:"REFRESH_TOKEN_LIMIT" envDefault:"30/10s"`
	RefreshAddressLimit budget        `env:"REFRESH_ADDRESS_LIMIT" envDefault:"100/1s"`
	AddressLimit        budget        `env:"ADDRESS_LIMIT" envDefault:"1000/200ms"`
	LoginRefusalPause   time.Duration `env:"LOGIN_REFUSAL_PAUSE" envDefault:"1500ms"`
	MaxLogins           int           `env:"MAX_LOGINS" envDefault:"64" range:"1 2000"`
	MaxRefreshes        int           `env:"MAX_REFRESHES" envDefault:"64" range:"1 10000"`
	MaxLogouts          int           `env:"MAX_LOGOUTS" envDefault:"64" range:"1 10000"`

	GetQueries            *bool  `env:"GET_QUERIES"`
	PersistedQueriesBytes int    `env:"PERSISTED_QUERIES_BYTES" envDefault:"1048576" range:"0 1073741824"`
	TrustedDocuments      string `env:"TRUSTED_DOCUMENTS"`
	TrustedDocumentsMode  string `env:"TRUSTED_DOCUMENTS_MODE" envDefault:"enforce"`
	DocumentCacheBytes    int    `env:"DOCUMENT_CACHE_BYTES" envDefault:"8388608" range:"0 1073741824"`
	MaxBodyBytes          int    `env:"MAX_BODY_BYTES" envDefault:"65536" range:"1024 1048576"`
	MaxBodyDepth          int    `env:"MAX_BODY_DEPTH" envDefault:"64" range:"8 1000"`
	MaxBodyValues         int    `env:"MAX_BODY_VALUES" envDefault:"2000" range:"100 100000"`
	MaxResponseBytes      int    `env:"MAX_RESPONSE_BYTES" envDefault:"4194304" range:"1024 1073741824"`

	Limits limitSettings `envPrefix:"LIMIT_"`
}

// Config is the settings, checked. Its zero value is of no use; readConfig makes one.
type Config struct {
	Local           bool // on a developer's machine: introspection, and errors that explain themselves
	Addr            string
	Realm           keycloak.Realm
	ClientID        string
	ClientSecret    identity.Secret
	Issuers         []string
	Audience        []string
	AuthorizedParty string   // the client id while no audience is set
	Parties         []string // whose tokens are accepted, this client's among them; empty for all
	KeycloakTimeout time.Duration
	LoginScope      string
	RefreshGrace    time.Duration
	GraceAnyNetwork bool // repeat the answer of a refresh whatever network asks
	TokenMaxBytes   int
	TokenAlgorithms []string // empty for all that can be accepted
	KeysMaxAge      time.Duration
	RequestTimeout  time.Duration
	CORSOrigins     origins
	// names of this server; none for any, but on a developer's machine
	AllowedHosts []hostPattern
	Console      bool // serve the GraphQL IDE at /
	// whom its form offers; no setting, and none in a binary without the stand-in
	ConsoleUsers   []console.User
	TrustedProxies []netip.Prefix
	ForwardAddress bool // tell Keycloak the address of who signs in
	Budgets        throttle.Config
	RefusalPause   time.Duration // of a name, after a refused sign-in; negative is none
	MaxLogins      int           // under way at once
	MaxRefreshes   int
	MaxLogouts     int

	GetQueries            bool
	PersistedQueriesBytes int                   // 0 is none
	Manifest              *graphqlhttp.Manifest // nil is any document
	ManifestLogOnly       bool
	DocumentCacheBytes    int
	MaxBodyBytes          int
	MaxBodyDepth          int // of the JSON in it
	MaxBodyValues         int
	MaxResponseBytes      int
	Document              limits.Limits

	Warnings []string
}

// readConfig reads the settings from environ, whose entries are NAME=value, and from a file in dir:
// .local.env where RUNTIME_ENV is local or unset, .env where it is anything else. The environment
// wins over the file; a missing file is no fault. An empty value counts as absent, except that an
// empty RUNTIME_ENV is not local. Every fault is reported, by the name of the setting and with what
// is expected; no secret is shown.
func readConfig(environ []string, dir string) (Config, error) {
	var f faults
	var s settings
	values := readValues(environ, dir, &f)
	if err := env.ParseWithOptions(&s, env.Options{Environment: values.all}); err != nil {
		f.addParse(err)
	}
	c := s.check(&f)
	if len(f.list) > 0 {
		for _, warning := range values.unknown { // a setting that is missing may be there under another name
			f.list = append(f.list, errors.New(warning))
		}
		return Config{}, fmt.Errorf("CloakQL can't start with these settings, from %s (README, Settings):\n%w", values.source, errors.Join(f.list...))
	}
	c.Warnings = slices.Concat(c.Warnings, values.unknown, values.doubts)
	return c, nil
}

// faults collects what is wrong with the settings.
type faults struct {
	list   []error
	faulty map[string]bool // settings with a fault
	hushed map[string]bool // settings whose further faults would only follow from one already named
}

func (f *faults) add(name, format string, args ...any) {
	if f.hushed[name] {
		return
	}
	if f.faulty == nil {
		f.faulty = map[string]bool{}
	}
	f.faulty[name] = true
	f.list = append(f.list, errors.New(name+": "+fmt.Sprintf(format, args...)))
}

// addEach adds each of the errors that err joins.
func (f *faults) addEach(name string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			f.addEach(name, one)
		}
		return
	}
	f.add(name, "%s", strings.TrimPrefix(err.Error(), "keycloak: "))
}

// any reports whether one of the settings has a fault, so that what they have to do with each other
// can't be told.
func (f *faults) any(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return f.faulty[name] || f.hushed[name]
	})
}

// hush keeps quiet about settings whose faults would follow from one that was named.
func (f *faults) hush(names ...string) {
	if f.hushed == nil {
		f.hushed = map[string]bool{}
	}
	for _, name := range names {
		f.hushed[name] = true
	}
}

// addParse puts the faults that the env library found into our words: its own show values.
func (f *faults) addParse(err error) {
	all, _ := errors.AsType[env.AggregateError](err)
	for _, fault := range all.Errors {
		parse, ok := errors.AsType[env.ParseError](fault)
		if !ok {
			f.add("settings", "%v", fault)
			continue
		}
		for _, one := range (settings{}).all() {
			if one.field.Name == parse.Name { // no two have one name
				f.add(one.name, "expected %s", expected(one.field.Type))
				f.hush(one.name) // its value is zero, which may have faults of its own
			}
		}
	}
}

// values are the settings as text, before anything is made of them.
type values struct {
	all     map[string]string
	source  string          // where they were looked for, for people
	file    string          // the name of the settings file, whether there is one or not
	inFile  map[string]bool // the settings that come from it
	unknown []string        // warnings about names that look like ours and aren't
	doubts  []string        // warnings about values
}

func readValues(environ []string, dir string, f *faults) values {
	process := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		process[name] = value
	}
	runtime, set := process["RUNTIME_ENV"]
	name := ".local.env"
	if set && runtime != "local" {
		name = ".env"
	}
	v := values{source: "the environment and " + name, file: name, inFile: map[string]bool{}}
	file, cut, err := readSettingsFile(dir, name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		v.source = "the environment alone, since there is no " + name + " here"
		if name == ".local.env" {
			v.source += " (cp .local.env.example .local.env)"
		}
	case err != nil:
		f.list = append(f.list, fmt.Errorf("%s: %w", name, err))
		f.hush("KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID", "KEYCLOAK_CLIENT_SECRET_KEY") // they may be in there
	}
	v.unknown = unknownNames(process, file)
	v.all = map[string]string{}
	maps.Copy(v.all, file)
	delete(v.all, "RUNTIME_ENV") // it has chosen the file
	maps.Copy(v.all, process)
	for name := range file {
		_, overridden := process[name]
		v.inFile[name] = !overridden
	}
	maps.DeleteFunc(v.all, func(_, value string) bool { return value == "" })
	v.clean(process, cut, f)
	if set && runtime == "" { // empty isn't local
		v.all["RUNTIME_ENV"] = "production"
	}
	return v
}

// clean takes away what stands around a value by mistake and can mean nothing: blanks, and the line
// end of a Kubernetes secret made with echo. What may change the meaning is a fault: quotes that
// docker run --env-file and Kubernetes don't take off, and a $ in the file that took a part of the
// value with it.
func (v *values) clean(process map[string]string, cut []string, f *faults) {
	const secret = "KEYCLOAK_CLIENT_SECRET_KEY"
	for _, one := range (settings{}).all() {
		value, set := v.all[one.name]
		_, inProcess := process[one.name]
		switch {
		case !inProcess && slices.Contains(cut, one.name):
			f.add(one.name, "holds a $ in %s, which stands for another setting above it in the "+
				"file, and there is none of that name: "+
				"put the value in single quotes", v.file)
			f.hush(one.name)
			continue
		case !set || one.name == "RUNTIME_ENV": // of which only one spelling is local
			continue
		case one.name == secret: // a blank may be part of it
			value = strings.TrimRight(value, "\r\n")
		case strings.TrimSpace(value) != "":
			value = strings.TrimSpace(value)
		}
		v.all[one.name] = value
		quoted := len(value) > 1 && (value[0] == '"' || value[0] == '\'') &&
			value[len(value)-1] == value[0]
		switch {
		case inProcess && quoted && one.name == secret:
			v.doubts = append(v.doubts,
				secret+" has quotes around it in the environment, which are sent to Keycloak as part of it: "+
					"unless the secret has them, leave them out (docker run --env-file and Kubernetes keep them)")
		case inProcess && quoted:
			f.add(one.name, "has quotes around its value in the environment: leave them out "+
				"(docker run --env-file and Kubernetes keep them)")
			f.hush(one.name)
		case one.name == secret && strings.TrimSpace(value) != value:
			v.doubts = append(v.doubts,
				secret+" begins or ends with a blank, which is sent to Keycloak as part of it")
		}
	}
}

// check turns the settings into a Config, and says what is wrong with each.
func (s settings) check(f *faults) Config {
	c := Config{
		Local:           s.RuntimeEnv == "local",
		Addr:            s.Addr,
		ClientID:        s.ClientID,
		ClientSecret:    identity.NewSecret(s.secret(f)),
		Issuers:         trimmed(s.Issuer),
		Audience:        trimmed(s.Audience),
		Parties:         trimmed(s.Parties),
		KeycloakTimeout: s.KeycloakTimeout,
		LoginScope:      s.LoginScope,
		RefreshGrace:    s.RefreshGrace,
		GraceAnyNetwork: s.GraceNetwork == "any",
		TokenMaxBytes:   s.TokenMaxBytes,
		TokenAlgorithms: trimmed(s.TokenAlgorithms),
		KeysMaxAge:      s.KeysMaxAge,
		RequestTimeout:  s.RequestTimeout,
		ForwardAddress:  s.ForwardAddress,
		RefusalPause:    s.LoginRefusalPause,
		MaxLogins:       s.MaxLogins,
		MaxRefreshes:    s.MaxRefreshes,
		MaxLogouts:      s.MaxLogouts,

		GetQueries:            s.RuntimeEnv == "local",
		PersistedQueriesBytes: s.PersistedQueriesBytes,
		DocumentCacheBytes:    s.DocumentCacheBytes,
		MaxBodyBytes:          s.MaxBodyBytes,
		MaxBodyDepth:          s.MaxBodyDepth,
		MaxBodyValues:         s.MaxBodyValues,
		MaxResponseBytes:      s.MaxResponseBytes,
		Document:              s.document(),
	}
	if s.GetQueries != nil {
		c.GetQueries = *s.GetQueries
	}
	s.checkRanges(f)
	c.checkAddr(f)
	c.checkRealm(s, f)
	c.checkTokens(f)
	c.checkCORS(s, f)
	c.checkHosts(s, f)
	c.checkConsole(s, f)
	c.checkBudgets(s, f)
	c.checkDocuments(s, f)
	for _, d := range []struct {
		name               string
		value, least, most time.Duration
	}{
		{"KEYCLOAK_TIMEOUT", c.KeycloakTimeout, time.Second, time.Minute},
		{"REQUEST_TIMEOUT", c.RequestTimeout, time.Second, 2 * time.Minute},
		{"KEYS_MAX_AGE", c.KeysMaxAge, time.Minute, 7 * 24 * time.Hour},
	} {
		if d.value < d.least || d.value > d.most {
			f.add(d.name, "is %v: expected %v to %v", d.value, d.least, d.most)
		}
	}
	if c.RefreshGrace != 0 && (c.RefreshGrace < time.Second || c.RefreshGrace > time.Minute) {
		f.add("REFRESH_GRACE", "is %v: expected 0, or 1s to 1m", c.RefreshGrace)
	}
	if s.GraceNetwork != "same" && s.GraceNetwork != "any" {
		f.add("REFRESH_GRACE_NETWORK", "expected same or any")
	}
	if c.RefusalPause < 0 || c.RefusalPause > 10*time.Second {
		f.add("LOGIN_REFUSAL_PAUSE", "is %v: expected 0 to 10s", c.RefusalPause)
	}
	if c.RefusalPause >= c.KeycloakTimeout && !f.any("LOGIN_REFUSAL_PAUSE", "KEYCLOAK_TIMEOUT") {
		c.Warnings = append(c.Warnings, fmt.Sprintf("LOGIN_REFUSAL_PAUSE is %v, and a sign-in waits for its turn for KEYCLOAK_TIMEOUT, %v: "+
			"after one wrong password the next sign-in of the account is BUSY, its owner's too. Make the pause shorter, "+
			"or the timeout longer", c.RefusalPause, c.KeycloakTimeout))
	}
	if c.RefusalPause == 0 {
		c.RefusalPause = -1
	}
	if c.RequestTimeout <= c.KeycloakTimeout && !f.any("REQUEST_TIMEOUT", "KEYCLOAK_TIMEOUT") {
		f.add("REQUEST_TIMEOUT", "is %v: expected more than KEYCLOAK_TIMEOUT, which is %v", c.RequestTimeout, c.KeycloakTimeout)
	}
	return c
}

func (c *Config) checkAddr(f *faults) {
	switch {
	case c.Local && c.Addr == "":
		c.Addr = "127.0.0.1:8000"
	case c.Addr == "":
		c.Addr = ":8000"
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		f.add("ADDR", "is %q: expected host:port, such as 127.0.0.1:8000", c.Addr)
		return
	}
	if _, err = strconv.ParseUint(port, 10, 16); err != nil {
		f.add("ADDR", "is %q: expected a port of 0 to 65535 after the colon, such as "+
			"127.0.0.1:8000", c.Addr)
	}
	if c.Local && !isLoopback(host) {
		f.add("ADDR", "is %q: expected an address that this machine alone can reach, such as 127.0.0.1:8000, while RUNTIME_ENV is local", c.Addr)
	}
}

func (c *Config) checkRealm(s settings, f *faults) {
	switch {
	case s.ServerURL == "" && c.Local:
		f.add("KEYCLOAK_SERVER_URL", "is missing: expected the address of Keycloak, such as http://localhost:8080 after make keycloak; "+
			"go run -tags dev . needs no Keycloak, it brings a stand-in")
	case s.ServerURL == "":
		f.add("KEYCLOAK_SERVER_URL", "is missing: expected the address of Keycloak, such as http://localhost:8080")
	}
	if s.RealmName == "" {
		f.add("KEYCLOAK_REALM_NAME", "is missing: expected the name of the realm, as in Keycloak's admin console")
	}
	if s.ClientID == "" {
		f.add("KEYCLOAK_CLIENT_ID", "is missing: expected the client id, as in Keycloak's admin console")
	}
	// Each by itself, so that neither hides what is wrong with the other.
	if s.ServerURL != "" {
		if _, err := keycloak.NewRealm(s.ServerURL, "any"); err != nil {
			f.addEach("KEYCLOAK_SERVER_URL", err)
		}
	}
	if s.RealmName != "" {
		if _, err := keycloak.NewRealm("http://localhost", s.RealmName); err != nil {
			f.addEach("KEYCLOAK_REALM_NAME", err)
		}
	}
	realm, err := keycloak.NewRealm(s.ServerURL, s.RealmName)
	if err != nil {
		return
	}
	c.Realm = realm
	if len(c.Issuers) == 0 {
		c.Issuers = []string{realm.Issuer()}
	}
	if u, err := url.Parse(s.ServerURL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) && !c.Local {
		c.Warnings = append(c.Warnings, "KEYCLOAK_SERVER_URL is plain http to another machine: passwords cross the network in the clear")
	}
}

func (c *Config) checkTokens(f *faults) {
	if slices.Contains(c.Issuers, "") {
		f.add("KEYCLOAK_ISSUER", "expected issuers with a comma between them, and none empty")
	}
	switch {
	case len(c.Audience) == 0:
		c.Audience, c.AuthorizedParty = []string{c.ClientID}, c.ClientID
	case slices.Contains(c.Audience, ""):
		f.add("KEYCLOAK_AUDIENCE", "expected audiences with a comma between them, and none empty")
	}
	if slices.Contains(c.Audience, "account") {
		f.add("KEYCLOAK_AUDIENCE", `holds "account", which is in every user's tokens: expected the name of this API`)
	}
	switch {
	case slices.Contains(c.Parties, ""):
		f.add("KEYCLOAK_AUTHORIZED_PARTIES",
			"expected client ids with a comma between them, and none empty")
	case len(c.Parties) > 0 && !slices.Contains(c.Parties, c.ClientID):
		c.Parties = append(c.Parties, c.ClientID) // login must not give a token that me refuses
	}
	for _, name := range c.TokenAlgorithms {
		if !slices.Contains(keycloak.Algorithms(), name) {
			f.add("TOKEN_ALGORITHMS", "holds %q: expected some of %s, with a comma between them", name, strings.Join(keycloak.Algorithms(), ","))
		}
	}
	if strings.TrimSpace(c.LoginScope) == "" {
		f.add("LOGIN_SCOPE", "expected scopes with a space between them, such as: openid profile email")
	}
}

// secret is the client secret, from the setting or from the file that the other setting names.
func (s settings) secret(f *faults) string {
	const name = "KEYCLOAK_CLIENT_SECRET_KEY"
	switch {
	case s.ClientSecret != "" && s.SecretFile != "":
		f.add(name, "is set, and so is %s_FILE: keep one of the two", name)
		return ""
	case s.ClientSecret != "":
		return s.ClientSecret
	case s.SecretFile == "":
		f.add(name, "is missing: expected the secret on the client's Credentials tab, or %s_FILE with the path of a file that holds it", name)
		return ""
	}
	content, err := readText(s.SecretFile)
	secret := strings.TrimRight(string(content), "\r\n") // most editors end a file with one
	switch {
	case errors.Is(err, errUTF16), errors.Is(err, errNotUTF8):
		f.add(name+"_FILE", "names a file that %v", err)
	case err != nil:
		f.add(name+"_FILE", "can't be read: %v", err)
	case secret == "":
		f.add(name+"_FILE", "names an empty file")
	}
	return secret
}

// trimmed are the items of a list without the blanks around them, each once.
func trimmed(list []string) []string {
	var out []string
	for _, item := range list {
		if item = strings.TrimSpace(item); !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// LogValue shows what an operator may see of a Config at the start.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Bool("local", c.Local), slog.String("realm", c.Realm.Issuer()),
		slog.String("client", c.ClientID),
		// Whose tokens are good.
		slog.Any("issuers", c.Issuers), slog.Any("audience", c.Audience),
		slog.String("authorizedParty", c.AuthorizedParty),
		// none named is all that are safe
		slog.Any("tokenAlgorithms", append([]string{}, c.TokenAlgorithms...)),
		slog.Any("authorizedParties", c.Parties), slog.Duration("refreshGrace", c.RefreshGrace),
		slog.Bool("refreshGraceAnyNetwork", c.GraceAnyNetwork),
		// Who can reach what.
		slog.Bool("console", c.Console), slog.Bool("introspection", c.Local),
		slog.Bool("getQueries", c.GetQueries),
		slog.Any("corsOrigins", texts(c.CORSOrigins)),
		slog.Any("allowedHosts", texts(c.AllowedHosts)),
		slog.Bool("persistedQueries", c.PersistedQueriesBytes > 0),
		slog.String("trustedDocuments", c.trustedDocuments()),
		// Whose address an attempt counts for, and how many there may be.
		slog.Any("trustedProxies", texts(c.TrustedProxies)),
		slog.Bool("forwardAddress", c.ForwardAddress),
		slog.String("loginAccountLimit", limitText(c.Budgets.Account)),
		slog.String("loginAddressLimit", limitText(c.Budgets.Address)),
		slog.String("loginAccountSlowLimit", limitText(c.Budgets.AccountSlow)),
		slog.Duration("loginRefusalPause", c.RefusalPause),
		slog.String("addressLimit", limitText(c.Budgets.Attempts)),
		slog.String("refreshTokenLimit", limitText(c.Budgets.Token)),
		slog.String("refreshAddressLimit", limitText(c.Budgets.TokenAddress)))
}

// trustedDocuments is whether this server runs only the documents of its manifest: off, log or
// enforce.
func (c Config) trustedDocuments() string {
	switch {
	case c.Manifest == nil:
		return "off"
	case c.ManifestLogOnly:
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

// limitText is a budget as a setting has it.
func limitText(r throttle.Rate) string { return fmt.Sprintf("%d/%v", r.Burst, r.Every) }
