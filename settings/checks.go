package settings

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/middleware"
	"github.com/cloakql/cloakql/keycloak"
)

// checkServerURL checks KEYCLOAK_SERVER_URL. checkServerURL and checkRealmName check the two
// arguments of NewRealm separately, so that Read reports the problems of both.
func checkServerURL(serverURL string) error {
	_, err := keycloak.NewRealm(serverURL, "any")
	return err
}

// checkRealmName checks KEYCLOAK_REALM_NAME.
func checkRealmName(name string) error {
	_, err := keycloak.NewRealm("http://localhost", name)
	return err
}

// checkScope returns an error if scope is blank.
func checkScope(scope string) error {
	if strings.TrimSpace(scope) == "" {
		return errors.New(
			"expected scopes with a space between them, such as: openid profile email")
	}
	return nil
}

// parseAlgorithm checks an item of TOKEN_ALGORITHMS.
func parseAlgorithm(name string) (string, error) {
	if !slices.Contains(keycloak.Algorithms(), name) {
		return "", fmt.Errorf("holds %q: expected some of %s, with a comma between them", name,
			strings.Join(keycloak.Algorithms(), ","))
	}
	return name, nil
}

// parseOrigin parses an item of CORS_ORIGINS and returns it in the form that browsers send.
func parseOrigin(text string) (string, error) {
	origin, err := middleware.ParseOrigin(text)
	switch {
	case err == nil:
		return origin.String(), nil
	case strings.Contains(text, "@"): // a password may be in it
		return "", fmt.Errorf("holds an origin with a user or a password: expected %v", err)
	}
	return "", fmt.Errorf("holds %q: expected %v; several with a comma between them", text, err)
}

// parseHost parses an item of ALLOWED_HOSTS and returns it in its normal form.
func parseHost(text string) (string, error) {
	host, err := middleware.ParseHost(text)
	if err != nil {
		return "", fmt.Errorf("holds %q: expected %v; several with a comma between them", text, err)
	}
	return host.String(), nil
}

// checkIntrospection returns an error if text isn't a value of INTROSPECTION.
func checkIntrospection(text string) error {
	role, isRole := strings.CutPrefix(text, "role:")
	if text == "off" || text == "local" || isRole && strings.TrimSpace(role) != "" {
		return nil
	}
	return fmt.Errorf("is %q: expected local, off or role:NAME", text)
}

// finish sets the parts of the configuration that depend on several settings or on files.
func (raw *rawSettings) finish(p *problems) {
	server := &raw.Server
	server.Local = raw.runtimeEnv == "local"
	server.RewriteDetail = TranslateFieldNames
	server.Client.RefreshGraceAnyNetwork = raw.refreshGraceNetwork == "any"
	server.DisableAnswerCache = raw.answerCache == "off"
	server.DisableBackchannelLogout = raw.backchannelLogout == "off"
	if raw.revocationCheck == "sample" || raw.revocationCheck == "always" {
		server.SessionCheck = &keycloak.SessionCheckConfig{
			Wait: raw.revocationCheck == "always", Interval: raw.revocationInterval}
	}
	server.HTTP.Console = raw.console == "on" || raw.console == "auto" && server.Local
	server.GraphQL.AllowGET = server.Local
	if raw.getQueries != nil {
		server.GraphQL.AllowGET = *raw.getQueries
	}
	server.DisableIntrospection = raw.introspection == "off"
	server.IntrospectionRole, _ = strings.CutPrefix(raw.introspection, "role:")
	if server.DisableIntrospection || raw.introspection == "local" {
		server.IntrospectionRole = ""
	}
	server.Authz.AllOrNothing = raw.authzQueries == "all-or-nothing"
	server.Limits.Bytes = int(server.GraphQL.MaxBodyBytes)
	if server.Limits.CacheBytes == 0 {
		server.Limits.CacheBytes = -1 // off; 0 would mean the default
	}
	raw.finishAddr(p)
	raw.finishSecret(p)
	raw.finishRealm(p)
	raw.finishTokens(p)
	raw.finishStore(p)
	raw.finishDocuments(p)
	raw.finishAttempts(p)
	if server.GraphQL.Timeout <= server.Client.Timeout &&
		!p.hasAny("REQUEST_TIMEOUT", "KEYCLOAK_TIMEOUT") {
		p.add("REQUEST_TIMEOUT", "is %s: expected more than KEYCLOAK_TIMEOUT, which is %s",
			format(server.GraphQL.Timeout), format(server.Client.Timeout))
	}
}

// finishAddr sets the default of ADDR, and checks it.
func (raw *rawSettings) finishAddr(p *problems) {
	switch {
	case raw.Addr == "" && raw.Server.Local:
		raw.Addr = "127.0.0.1:8000"
	case raw.Addr == "":
		raw.Addr = ":8000"
	}
	host, port, err := net.SplitHostPort(raw.Addr)
	if err != nil {
		p.add("ADDR", "is %q: expected host:port, such as 127.0.0.1:8000", raw.Addr)
		return
	}
	if _, err = strconv.ParseUint(port, 10, 16); err != nil {
		p.add("ADDR",
			"is %q: expected a port of 0 to 65535 after the colon, such as 127.0.0.1:8000",
			raw.Addr)
	}
	if raw.Server.Local && !isLoopback(host) {
		p.add("ADDR",
			"is %q: expected an address that only this machine can reach, such as 127.0.0.1:8000, "+
				"while RUNTIME_ENV is local", raw.Addr)
	}
}

// finishSecret reads the client secret from its file, if there is one.
func (raw *rawSettings) finishSecret(p *problems) {
	hasSecret := raw.Server.Client.ClientSecret.Reveal() != ""
	switch {
	case hasSecret && raw.secretFile != "":
		p.add(secretName, "is set, and so is %s_FILE: keep one of the two", secretName)
		return
	case hasSecret || raw.secretFile == "":
		return
	}
	content, err := readText(raw.secretFile)
	secret := strings.TrimRight(string(content), "\r\n") // most editors add a newline
	switch {
	case errors.Is(err, errUTF16), errors.Is(err, errNotUTF8):
		p.add(secretName+"_FILE", "names a file that %v", err)
	case err != nil:
		p.add(secretName+"_FILE", "can't be read: %v", err)
	case secret == "":
		p.add(secretName+"_FILE", "names an empty file")
	}
	raw.Server.Client.ClientSecret = identity.NewSecret(secret)
}

// finishRealm sets the realm and its issuers.
func (raw *rawSettings) finishRealm(p *problems) {
	realm, err := keycloak.NewRealm(raw.serverURL, raw.realmName)
	if err != nil { // checkServerURL or checkRealmName has reported it
		return
	}
	raw.Server.Realm = realm
	if len(raw.issuers) == 0 {
		raw.issuers = []string{realm.Issuer()}
	}
	raw.Server.Tokens.Issuers = []keycloak.Issuer{{Names: raw.issuers}}
	if u, err := url.Parse(raw.serverURL); err == nil && u.Scheme == "http" &&
		!isLoopback(u.Hostname()) && !raw.Server.Local {
		raw.Warnings = append(raw.Warnings,
			"KEYCLOAK_SERVER_URL is plain http to another machine: passwords cross the network "+
				"in the clear")
	}
}

// finishTokens sets the defaults for access tokens, and checks KEYCLOAK_AUDIENCE.
func (raw *rawSettings) finishTokens(p *problems) {
	tokens, clientID := &raw.Server.Tokens, raw.Server.Client.ClientID
	if len(tokens.Audience) == 0 {
		tokens.Audience, tokens.AnyAudienceFor = []string{clientID}, clientID
	}
	if slices.Contains(tokens.Audience, "account") {
		p.add("KEYCLOAK_AUDIENCE",
			`holds "account", which is in every user's tokens: expected the name of this API`)
	}
	if len(tokens.AuthorizedParties) > 0 && !slices.Contains(tokens.AuthorizedParties, clientID) {
		// The server must accept the tokens that its own login returns.
		tokens.AuthorizedParties = append(tokens.AuthorizedParties, clientID)
	}
}

// finishDocuments reads the manifest of trusted documents.
func (raw *rawSettings) finishDocuments(p *problems) {
	if raw.trustedDocuments == "" {
		return
	}
	raw.Server.GraphQL.ManifestLogOnly = raw.trustedDocumentsMode == "log"
	file, err := openText(raw.trustedDocuments)
	switch {
	case errors.Is(err, errUTF16):
		p.add("TRUSTED_DOCUMENTS", "names a file that %v", err)
		return
	case err != nil:
		p.add("TRUSTED_DOCUMENTS", "can't be read: %v", err)
		return
	}
	defer file.Close()
	if raw.Server.GraphQL.Manifest, err = graphqlhttp.ReadManifest(file); err != nil {
		p.add("TRUSTED_DOCUMENTS", "%v", err)
	}
}

// finishAttempts checks the settings about attempts. It also replaces the value 0, which turns a
// feature off, with -1, because in a Config 0 means the default.
func (raw *rawSettings) finishAttempts(p *problems) {
	client := &raw.Server.Client
	// Sign-ins in flight count too, so a smaller burst would refuse sign-ins that MAX_LOGINS
	// allows.
	if burst := raw.Server.Attempts.Address.Burst; burst < client.MaxLogins &&
		!p.hasAny("LOGIN_ADDRESS_LIMIT", "MAX_LOGINS") {
		p.add("LOGIN_ADDRESS_LIMIT",
			"has a burst of %d: expected at least MAX_LOGINS, which is %d", burst,
			client.MaxLogins)
	}
	for _, proxy := range raw.Server.HTTP.Proxies {
		if proxy.Addr().Is4() && proxy.Bits() < 8 || proxy.Addr().Is6() && proxy.Bits() < 16 {
			raw.Warnings = append(raw.Warnings, fmt.Sprintf("TRUSTED_PROXIES holds %v, a network "+
				"that may contain clients: these can claim any address, and so evade the rate "+
				"limits. Name your proxies, not networks with clients in them", proxy))
		}
	}
	if client.RefusalPause >= client.Timeout &&
		!p.hasAny("LOGIN_REFUSAL_PAUSE", "KEYCLOAK_TIMEOUT") {
		raw.Warnings = append(raw.Warnings,
			fmt.Sprintf(
				"LOGIN_REFUSAL_PAUSE is %s, but sign-ins to the same account wait for each other "+
					"no longer than KEYCLOAK_TIMEOUT, %s: after a wrong password, the "+
					"account's next sign-in fails with BUSY. Shorten the pause, or lengthen the "+
					"timeout", format(client.RefusalPause), format(client.Timeout)))
	}
	if client.RefreshGrace == 0 {
		client.RefreshGrace = -1 // off; 0 would mean the default
	}
	if client.RefusalPause == 0 {
		client.RefusalPause = -1 // off; 0 would mean the default
	}
	if tokens := &raw.Server.Tokens; tokens.CacheBytes == 0 {
		tokens.CacheBytes = -1 // off; 0 would mean the default
	}
}

// isLoopback reports whether host is localhost or a loopback address.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
