// Package settings reads the server's settings from the environment and a file.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/limits"
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

// Settings are the settings, checked. Make them with Read.
type Settings struct {
	Server   cloakql.Config
	Addr     string   // where the program listens, as net.Listen takes it
	Warnings []string // for the log
}

// Read reads the settings from environ, whose entries are NAME=value, and from a file in dir:
// .local.env where RUNTIME_ENV is local or unset, .env where it is anything else. The environment
// wins over the file; a missing file is no fault. An empty value counts as absent, except that an
// empty RUNTIME_ENV is not local. Every fault is reported, by the name of the setting and with what
// is expected; no secret is shown.
func Read(environ []string, dir string) (Settings, error) {
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
		return Settings{}, fmt.Errorf("CloakQL can't start with these settings, from %s (README, Settings):\n%w", values.source, errors.Join(f.list...))
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

// Values are the settings as text, for programs that look at them before Read does.
type Values struct {
	Source string // where they were looked for, for people
	File   string // the name of the settings file, whether there is one or not
	values values
}

// Lookup returns the settings as text. It fails if they can't be read.
func Lookup(environ []string, dir string) (Values, error) {
	var f faults
	v := readValues(environ, dir, &f)
	return Values{Source: v.source, File: v.file, values: v}, errors.Join(f.list...)
}

// Get returns the value of a setting, or "" if it isn't set. It may be a secret.
func (v Values) Get(name string) string { return v.values.all[name] }

// InFile reports whether the value of a setting comes from the file.
func (v Values) InFile(name string) bool { return v.values.inFile[name] }

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
func (s settings) check(f *faults) Settings {
	c := Settings{
		Addr: s.Addr,
		Server: cloakql.Config{
			Local:         s.RuntimeEnv == "local",
			RewriteDetail: NameIn,
			Client: keycloak.ClientConfig{
				ClientID:               s.ClientID,
				ClientSecret:           identity.NewSecret(s.secret(f)),
				LoginScope:             s.LoginScope,
				Timeout:                s.KeycloakTimeout,
				RefreshGrace:           s.RefreshGrace,
				RefreshGraceAnyNetwork: s.GraceNetwork == "any",
				MaxLogins:              s.MaxLogins,
				MaxRefreshes:           s.MaxRefreshes,
				MaxLogouts:             s.MaxLogouts,
				RefusalPause:           s.LoginRefusalPause,
				ForwardAddress:         s.ForwardAddress,
			},
			Keys: keycloak.KeySetConfig{MaxAge: s.KeysMaxAge},
			Tokens: keycloak.VerifierConfig{
				Audience:          trimmed(s.Audience),
				AuthorizedParties: trimmed(s.Parties),
				Algorithms:        trimmed(s.TokenAlgorithms),
				MaxBytes:          s.TokenMaxBytes,
			},
			GraphQL: graphqlhttp.Transport{
				MaxBodyBytes:     int64(s.MaxBodyBytes),
				MaxNesting:       s.MaxBodyDepth,
				MaxValues:        s.MaxBodyValues,
				MaxResponseBytes: int64(s.MaxResponseBytes),
				Timeout:          s.RequestTimeout,
				DisableGET:       s.RuntimeEnv != "local",
			},
			Limits: s.document(),
		},
	}
	if s.PersistedQueriesBytes > 0 {
		c.Server.GraphQL.Documents = graphqlhttp.NewDocumentStore(int64(s.PersistedQueriesBytes))
	}
	c.Server.Limits.Cache = limits.NewCache(s.DocumentCacheBytes)
	if s.GetQueries != nil {
		c.Server.GraphQL.DisableGET = !*s.GetQueries
	}
	s.checkRanges(f)
	c.checkAddr(f)
	c.checkRealm(s, f)
	c.checkTokens(s, f)
	c.checkCORS(s, f)
	c.checkHosts(s, f)
	c.checkConsole(s, f)
	c.checkBudgets(s, f)
	c.checkDocuments(s, f)
	for _, d := range []struct {
		name               string
		value, least, most time.Duration
	}{
		{"KEYCLOAK_TIMEOUT", c.Server.Client.Timeout, time.Second, time.Minute},
		{"REQUEST_TIMEOUT", c.Server.GraphQL.Timeout, time.Second, 2 * time.Minute},
		{"KEYS_MAX_AGE", c.Server.Keys.MaxAge, time.Minute, 7 * 24 * time.Hour},
	} {
		if d.value < d.least || d.value > d.most {
			f.add(d.name, "is %v: expected %v to %v", d.value, d.least, d.most)
		}
	}
	if c.Server.Client.RefreshGrace != 0 && (c.Server.Client.RefreshGrace < time.Second || c.Server.Client.RefreshGrace > time.Minute) {
		f.add("REFRESH_GRACE", "is %v: expected 0, or 1s to 1m", c.Server.Client.RefreshGrace)
	}
	if s.GraceNetwork != "same" && s.GraceNetwork != "any" {
		f.add("REFRESH_GRACE_NETWORK", "expected same or any")
	}
	if c.Server.Client.RefusalPause < 0 || c.Server.Client.RefusalPause > 10*time.Second {
		f.add("LOGIN_REFUSAL_PAUSE", "is %v: expected 0 to 10s", c.Server.Client.RefusalPause)
	}
	if c.Server.Client.RefusalPause >= c.Server.Client.Timeout && !f.any("LOGIN_REFUSAL_PAUSE", "KEYCLOAK_TIMEOUT") {
		c.Warnings = append(c.Warnings, fmt.Sprintf("LOGIN_REFUSAL_PAUSE is %v, and a sign-in waits for its turn for KEYCLOAK_TIMEOUT, %v: "+
			"after one wrong password the next sign-in of the account is BUSY, its owner's too. Make the pause shorter, "+
			"or the timeout longer", c.Server.Client.RefusalPause, c.Server.Client.Timeout))
	}
	if c.Server.Client.RefusalPause == 0 {
		c.Server.Client.RefusalPause = -1
	}
	if c.Server.GraphQL.Timeout <= c.Server.Client.Timeout && !f.any("REQUEST_TIMEOUT", "KEYCLOAK_TIMEOUT") {
		f.add("REQUEST_TIMEOUT", "is %v: expected more than KEYCLOAK_TIMEOUT, which is %v", c.Server.GraphQL.Timeout, c.Server.Client.Timeout)
	}
	return c
}

func (c *Settings) checkAddr(f *faults) {
	switch {
	case c.Server.Local && c.Addr == "":
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
	if c.Server.Local && !isLoopback(host) {
		f.add("ADDR", "is %q: expected an address that this machine alone can reach, such as 127.0.0.1:8000, while RUNTIME_ENV is local", c.Addr)
	}
}

func (c *Settings) checkRealm(s settings, f *faults) {
	switch {
	case s.ServerURL == "" && c.Server.Local:
		f.add("KEYCLOAK_SERVER_URL", "is missing: expected the address of Keycloak, such as http://localhost:8080 after make keycloak; "+
			"go run ./cmd/cloakql-dev needs no Keycloak, it brings a stand-in")
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
	c.Server.Realm = realm
	issuers := trimmed(s.Issuer)
	if len(issuers) == 0 {
		issuers = []string{realm.Issuer()}
	}
	c.Server.Tokens.Issuers = []keycloak.Issuer{{Names: issuers}}
	if u, err := url.Parse(s.ServerURL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) && !c.Server.Local {
		c.Warnings = append(c.Warnings, "KEYCLOAK_SERVER_URL is plain http to another machine: passwords cross the network in the clear")
	}
}

func (c *Settings) checkTokens(s settings, f *faults) {
	tokens, client := &c.Server.Tokens, s.ClientID
	if slices.Contains(trimmed(s.Issuer), "") {
		f.add("KEYCLOAK_ISSUER", "expected issuers with a comma between them, and none empty")
	}
	switch {
	case len(tokens.Audience) == 0:
		tokens.Audience, tokens.AuthorizedParty = []string{client}, client
	case slices.Contains(tokens.Audience, ""):
		f.add("KEYCLOAK_AUDIENCE", "expected audiences with a comma between them, and none empty")
	}
	if slices.Contains(tokens.Audience, "account") {
		f.add("KEYCLOAK_AUDIENCE", `holds "account", which is in every user's tokens: expected the name of this API`)
	}
	switch {
	case slices.Contains(tokens.AuthorizedParties, ""):
		f.add("KEYCLOAK_AUTHORIZED_PARTIES",
			"expected client ids with a comma between them, and none empty")
	case len(tokens.AuthorizedParties) > 0 && !slices.Contains(tokens.AuthorizedParties, client):
		// login must not give a token that me refuses
		tokens.AuthorizedParties = append(tokens.AuthorizedParties, client)
	}
	for _, name := range tokens.Algorithms {
		if !slices.Contains(keycloak.Algorithms(), name) {
			f.add("TOKEN_ALGORITHMS", "holds %q: expected some of %s, with a comma between them", name, strings.Join(keycloak.Algorithms(), ","))
		}
	}
	if strings.TrimSpace(s.LoginScope) == "" {
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
