package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Errors never quote the URL, not even in part: after a typing error, the password may be anywhere
// in it.
var (
	errURL = errors.New("the URL is invalid: expected redis://, rediss://, or one of these with " +
		"+cluster or +sentinel, as in redis+cluster://[user:password@]host[:port]; special " +
		"characters in the password must be percent-encoded")
	errDatabase     = errors.New("the path of the URL must be the number of a database, or nothing")
	errTwoPasswords = errors.New("there are two passwords: one in the URL and one in the Config")
	errTwoUsernames = errors.New("there are two usernames: one in the URL and one in the Config")
)

// parameters lists the parameters that a URL may have. Others of go-redis would change timeouts and
// repeat calls.
var parameters = map[string][]string{
	"":         {},
	"cluster":  {"addr"},
	"sentinel": {"addr", "master_name", "username", "password"},
}

var (
	databasePattern = regexp.MustCompile(`^(/[0-9]{0,5})?$`)
)

// opener returns a function that returns a new client for the URL of c. A client that was just
// opened has no connection.
func (c Config) opener() (func() redis.UniversalClient, error) {
	u, err := url.Parse(c.URL.reveal())
	if err != nil {
		return nil, errURL
	}
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	allowedParameters, ok := parameters[kind]
	if !ok || strings.HasSuffix(u.Scheme, "+") || scheme != "redis" && scheme != "rediss" ||
		u.Hostname() == "" || u.Opaque != "" || u.Fragment != "" {
		return nil, errURL
	}
	if !databasePattern.MatchString(u.Path) {
		return nil, errDatabase
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errURL
	}
	for name := range query {
		if !slices.Contains(allowedParameters, name) {
			return nil, fmt.Errorf("the URL has a parameter that isn't supported: expected %s",
				strings.Join(append([]string{"none"}, allowedParameters...), ", "))
		}
	}
	if scheme == "redis" && c.TLS != nil {
		return nil, errors.New("TLS is configured, but the URL isn't one of rediss")
	}
	u.Scheme = scheme
	switch kind {
	case "cluster":
		return c.clusterOpener(u)
	case "sentinel":
		return c.sentinelOpener(u)
	}
	return c.singleOpener(u)
}

// singleOpener is opener for one server.
func (c Config) singleOpener(u *url.URL) (func() redis.UniversalClient, error) {
	options, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errURL
	}
	credentials, err := c.credentials(options.Username, options.Password)
	if err != nil {
		return nil, err
	}
	options = &redis.Options{
		Addr: options.Addr, DB: options.DB, CredentialsProviderContext: credentials,
		TLSConfig: c.tlsConfig(u), Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: c.Timeout, ReadTimeout: c.Timeout,
		WriteTimeout: c.Timeout, PoolTimeout: c.Timeout, ContextTimeoutEnabled: true,
		PoolSize: c.PoolSize, PipelinePoolSize: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	return func() redis.UniversalClient {
		o := *options // a client changes its options
		return redis.NewClient(&o)
	}, nil
}

// clusterOpener is opener for a cluster.
func (c Config) clusterOpener(u *url.URL) (func() redis.UniversalClient, error) {
	if strings.Trim(u.Path, "/0") != "" {
		return nil, errors.New("a cluster has only database 0")
	}
	options, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, errURL
	}
	credentials, err := c.credentials(options.Username, options.Password)
	if err != nil {
		return nil, err
	}
	options = &redis.ClusterOptions{
		Addrs: options.Addrs, CredentialsProviderContext: credentials,
		TLSConfig: c.tlsConfig(u), Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: c.Timeout, ReadTimeout: c.Timeout,
		WriteTimeout: c.Timeout, PoolTimeout: c.Timeout, ContextTimeoutEnabled: true,
		PoolSize: c.PoolSize, PipelinePoolSize: -1, DisableRoutingPolicies: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	return func() redis.UniversalClient {
		o := *options // a client changes its options
		return redis.NewClusterClient(&o)
	}, nil
}

// sentinelOpener is opener for a server that Sentinels know.
func (c Config) sentinelOpener(u *url.URL) (func() redis.UniversalClient, error) {
	options, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, errURL
	}
	if options.MasterName == "" {
		return nil, errors.New("the URL of Sentinels lacks the parameter master_name")
	}
	credentials, err := c.credentials(options.Username, options.Password)
	if err != nil {
		return nil, err
	}
	options = &redis.FailoverOptions{
		MasterName: options.MasterName, SentinelAddrs: options.SentinelAddrs,
		SentinelUsername: options.SentinelUsername, SentinelPassword: options.SentinelPassword,
		DB: options.DB, CredentialsProviderContext: credentials,
		TLSConfig: c.tlsConfig(u), Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: c.Timeout, ReadTimeout: c.Timeout,
		WriteTimeout: c.Timeout, PoolTimeout: c.Timeout, ContextTimeoutEnabled: true,
		PoolSize: c.PoolSize, PipelinePoolSize: -1,
	}
	return func() redis.UniversalClient {
		o := *options // a client changes its options
		return redis.NewFailoverClient(&o)
	}, nil
}

// tlsConfig returns the configuration of TLS, or nil if the URL's connections don't use it.
func (c Config) tlsConfig(u *url.URL) *tls.Config {
	if u.Scheme != "rediss" {
		return nil
	}
	if c.TLS == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return c.TLS.Clone()
}

// credentials returns the function that go-redis calls for each new connection. Its arguments are
// those of the URL.
func (c Config) credentials(username, password string) (
	func(context.Context) (string, string, error), error,
) {
	hasOwnPassword := c.PasswordFile != "" || c.Password.reveal() != ""
	if password != "" && hasOwnPassword {
		return nil, errTwoPasswords
	}
	if username != "" && c.Username != "" && username != c.Username {
		return nil, errTwoUsernames
	}
	if c.Username != "" {
		username = c.Username
	}
	if username != "" && password == "" && !hasOwnPassword {
		return nil, errors.New("there is a username, but no password")
	}
	return func(context.Context) (string, string, error) {
		if !hasOwnPassword {
			return username, password, nil
		}
		password, err := c.readPassword()
		return username, password, err
	}, nil
}

// name returns the URL without user, password and parameters, for store.Store.
func (c Config) name() string {
	u, err := url.Parse(c.URL.reveal())
	if err != nil { // Open has returned errURL
		return "redis"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
