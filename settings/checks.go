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

// checkServerURL and checkRealmName check the two parts of a realm separately, so that both can be
// reported at once.
func checkServerURL(serverURL string) error {
	_, err := keycloak.NewRealm(serverURL, "any")
	return err
}

func checkRealmName(name string) error {
	_, err := keycloak.NewRealm("http://localhost", name)
	return err
}

func checkScope(scope string) error {
	if strings.TrimSpace(scope) == "" {
		return errors.New(
			"expected scopes with a space between them, such as: openid profile email")
	}
	return nil
}

func readAlgorithm(name string) (string, error) {
	if !slices.Contains(keycloak.Algorithms(), name) {
		return "", fmt.Errorf("holds %q: expected some of %s, with a comma between them", name,
			strings.Join(keycloak.Algorithms(), ","))
	}
	return name, nil
}

func readOrigin(text string) (string, error) {
	origin, err := middleware.ParseOrigin(text)
	switch {
	case err == nil:
		return origin.String(), nil
	case strings.Contains(text, "@"): // a password may be in it
		return "", fmt.Errorf("holds an origin with a user or a password: expected %v", err)
	}
	return "", fmt.Errorf("holds %q: expected %v; several with a comma between them", text, err)
}

func readHost(text string) (string, error) {
	host, err := middleware.ParseHost(text)
	if err != nil {
		return "", fmt.Errorf("holds %q: expected %v; several with a comma between them", text, err)
	}
	return host.String(), nil
}

// finish derives the parts of the configuration that depend on several settings or on files.
func (d *draft) finish(p *problems) {
	server := &d.Server
	server.Local = d.runtimeEnv == "local"
	server.RewriteDetail = NameIn
	server.Client.RefreshGraceAnyNetwork = d.refreshGraceNetwork == "any"
	server.HTTP.Console = d.console == "on" || d.console == "auto" && server.Local
	server.GraphQL.AllowGET = server.Local
	if d.getQueries != nil {
		server.GraphQL.AllowGET = *d.getQueries
	}
	server.Limits.Bytes = int(server.GraphQL.MaxBodyBytes)
	if server.Limits.CacheBytes == 0 {
		server.Limits.CacheBytes = -1 // off; 0 would mean the default
	}
	d.finishAddr(p)
	d.finishSecret(p)
	d.finishRealm(p)
	d.finishTokens(p)
	d.finishDocuments(p)
	d.finishAttempts(p)
	if request, call := server.GraphQL.Timeout, server.Client.Timeout; request <= call &&
		!p.any("REQUEST_TIMEOUT", "KEYCLOAK_TIMEOUT") {
		p.add("REQUEST_TIMEOUT", "is %s: expected more than KEYCLOAK_TIMEOUT, which is %s",
			format(request), format(call))
	}
}

func (d *draft) finishAddr(p *problems) {
	switch {
	case d.Addr == "" && d.Server.Local:
		d.Addr = "127.0.0.1:8000"
	case d.Addr == "":
		d.Addr = ":8000"
	}
	host, port, err := net.SplitHostPort(d.Addr)
	if err != nil {
		p.add("ADDR", "is %q: expected host:port, such as 127.0.0.1:8000", d.Addr)
		return
	}
	if _, err = strconv.ParseUint(port, 10, 16); err != nil {
		p.add("ADDR",
			"is %q: expected a port of 0 to 65535 after the colon, such as 127.0.0.1:8000", d.Addr)
	}
	if d.Server.Local && !isLoopback(host) {
		p.add("ADDR",
			"is %q: expected an address that only this machine can reach, such as 127.0.0.1:8000, "+
				"while RUNTIME_ENV is local", d.Addr)
	}
}

// finishSecret reads the client secret from its file, if there is one.
func (d *draft) finishSecret(p *problems) {
	hasSecret := d.Server.Client.ClientSecret.Reveal() != ""
	switch {
	case hasSecret && d.secretFile != "":
		p.add(secretName, "is set, and so is %s_FILE: keep one of the two", secretName)
		return
	case hasSecret || d.secretFile == "":
		return
	}
	content, err := readText(d.secretFile)
	secret := strings.TrimRight(string(content), "\r\n") // most editors add a newline
	switch {
	case errors.Is(err, errUTF16), errors.Is(err, errNotUTF8):
		p.add(secretName+"_FILE", "names a file that %v", err)
	case err != nil:
		p.add(secretName+"_FILE", "can't be read: %v", err)
	case secret == "":
		p.add(secretName+"_FILE", "names an empty file")
	}
	d.Server.Client.ClientSecret = identity.NewSecret(secret)
}

func (d *draft) finishRealm(p *problems) {
	realm, err := keycloak.NewRealm(d.serverURL, d.realmName)
	if err != nil { // already reported
		return
	}
	d.Server.Realm = realm
	if len(d.issuers) == 0 {
		d.issuers = []string{realm.Issuer()}
	}
	d.Server.Tokens.Issuers = []keycloak.Issuer{{Names: d.issuers}}
	if u, err := url.Parse(d.serverURL); err == nil && u.Scheme == "http" &&
		!isLoopback(u.Hostname()) && !d.Server.Local {
		d.Warnings = append(d.Warnings,
			"KEYCLOAK_SERVER_URL is plain http to another machine: passwords cross the network "+
				"in the clear")
	}
}

func (d *draft) finishTokens(p *problems) {
	tokens, client := &d.Server.Tokens, d.Server.Client.ClientID
	if len(tokens.Audience) == 0 {
		tokens.Audience, tokens.AuthorizedParty = []string{client}, client
	}
	if slices.Contains(tokens.Audience, "account") {
		p.add("KEYCLOAK_AUDIENCE",
			`holds "account", which is in every user's tokens: expected the name of this API`)
	}
	if len(tokens.AuthorizedParties) > 0 && !slices.Contains(tokens.AuthorizedParties, client) {
		// login must not return a token that me refuses
		tokens.AuthorizedParties = append(tokens.AuthorizedParties, client)
	}
}

// finishDocuments reads the manifest of trusted documents.
func (d *draft) finishDocuments(p *problems) {
	if d.trustedDocuments == "" {
		return
	}
	d.Server.GraphQL.ManifestLogOnly = d.trustedDocumentsMode == "log"
	file, err := openText(d.trustedDocuments)
	switch {
	case errors.Is(err, errUTF16):
		p.add("TRUSTED_DOCUMENTS", "names a file that %v", err)
		return
	case err != nil:
		p.add("TRUSTED_DOCUMENTS", "can't be read: %v", err)
		return
	}
	defer file.Close()
	if d.Server.GraphQL.Manifest, err = graphqlhttp.ReadManifest(file); err != nil {
		p.add("TRUSTED_DOCUMENTS", "%v", err)
	}
}

func (d *draft) finishAttempts(p *problems) {
	client := &d.Server.Client
	// Sign-ins in flight count too: a smaller burst would refuse some that MAX_LOGINS
	// allows.
	if burst := d.Server.Attempts.Address.Burst; burst < client.MaxLogins &&
		!p.any("LOGIN_ADDRESS_LIMIT", "MAX_LOGINS") {
		p.add("LOGIN_ADDRESS_LIMIT",
			"has a burst of %d: expected at least MAX_LOGINS, which is %d", burst,
			client.MaxLogins)
	}
	for _, proxy := range d.Server.HTTP.Proxies {
		if proxy.Addr().Is4() && proxy.Bits() < 8 || proxy.Addr().Is6() && proxy.Bits() < 16 {
			d.Warnings = append(d.Warnings, fmt.Sprintf("TRUSTED_PROXIES holds %v, a network "+
				"that may contain clients: these can claim any address, and so evade the rate "+
				"limits. Name your proxies, not networks with clients in them", proxy))
		}
	}
	if client.RefusalPause >= client.Timeout && !p.any("LOGIN_REFUSAL_PAUSE", "KEYCLOAK_TIMEOUT") {
		d.Warnings = append(d.Warnings,
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
	if tokens := &d.Server.Tokens; tokens.CacheBytes == 0 {
		tokens.CacheBytes = -1 // off; 0 would mean the default
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
