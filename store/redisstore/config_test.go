package redisstore

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

// Open accepts the documented URLs, and connects to nothing.
func TestOpen_urls(t *testing.T) {
	for _, url := range []string{
		"redis://localhost", "redis://localhost:6380/3", "redis://:hunter2@redis.example/",
		"rediss://user:hunter2@[::1]:6379", "redis+cluster://a:1?addr=b:2&addr=c:3",
		"rediss+cluster://user:hunter2@a/0",
		"redis+sentinel://:hunter2@a:26379/1?master_name=main&addr=b:26379",
		"rediss+sentinel://a?master_name=main&username=u&password=hunter2",
	} {
		config := Config{URL: NewSecret(url), SealSecrets: []Secret{testSecret}}
		c, err := Open(config)
		if err != nil {
			t.Errorf("Open() with %s = %v", url, err)
			continue
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close() with %s = %v", url, err)
		}
	}
}

// Errors of Open say what is wrong, but don't contain the password or a part of it.
func TestOpen_errors(t *testing.T) {
	emptyFile := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(emptyFile, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	valid := func(change func(*Config)) Config {
		config := Config{URL: NewSecret("redis://localhost"), SealSecrets: []Secret{testSecret}}
		change(&config)
		return config
	}
	withURL := func(url string) Config {
		return valid(func(c *Config) { c.URL = NewSecret(url) })
	}
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{withURL(""), "the URL is invalid"},
		{withURL("hunter2"), "the URL is invalid"},
		{withURL("http://:hunter2@localhost"), "the URL is invalid"},
		{withURL("unix:///hunter2"), "the URL is invalid"},
		{withURL("redis+hunter2://localhost"), "the URL is invalid"},
		{withURL("redis+://:hunter2@localhost"), "the URL is invalid"},
		{withURL("redis://:hunter2@"), "the URL is invalid"},
		{withURL("redis://:hun/ter2@localhost"), "the URL is invalid"},
		{withURL("redis://user:12/hunter2@localhost"), "the path of the URL"},
		{withURL("redis://user:12?hunter2@localhost"), "a parameter"},
		{withURL("redis://user:12#hunter2@localhost"), "the URL is invalid"},
		{withURL("redis://:hunter2%@localhost"), "the URL is invalid"},
		{withURL("redis://:hunter2@localhost:x"), "the URL is invalid"},
		{withURL("redis://:hunter2@localhost/x"), "must be the number of a database"},
		{withURL("redis://:hunter2@localhost?max_retries=3"), "a parameter that isn't supported"},
		{withURL("rediss://:hunter2@localhost?skip_verify=true"),
			"a parameter that isn't supported"},
		{withURL("redis+cluster://:hunter2@localhost/1"), "only database 0"},
		{withURL("redis+cluster://:hunter2@localhost?addr=hunter2"), "the URL is invalid"},
		{withURL("redis+sentinel://:hunter2@localhost"), "master_name"},
		{withURL("redis://user@localhost"), "a username, but no password"},
		{valid(func(c *Config) { c.TLS = &tls.Config{} }), "isn't one of rediss"},
		{valid(func(c *Config) { c.SealSecrets = nil }), "no secret"},
		{valid(func(c *Config) {
			c.SealSecrets = []Secret{testSecret, NewSecret("hunter2")}
		}), "secret 2 to encrypt results with has 7 bytes"},
		{valid(func(c *Config) { c.Prefix = "{x}" }), `the prefix "{x}" is invalid`},
		{valid(func(c *Config) { c.MaxEvents = -1 }), "MaxEvents is -1"},
		{valid(func(c *Config) { c.MaxDocumentBytes = 1000 }), "MaxDocumentBytes is 1000"},
		{valid(func(c *Config) {
			c.URL, c.Password = NewSecret("redis://:hunter2@localhost"), NewSecret("hunter2")
		}), "one in the URL"},
		{valid(func(c *Config) {
			c.URL, c.PasswordFile = NewSecret("redis://:hunter2@localhost"), emptyFile
		}), "one in the URL"},
		{valid(func(c *Config) {
			c.Password, c.PasswordFile = NewSecret("hunter2"), emptyFile
		}), "two passwords"},
		{valid(func(c *Config) {
			c.URL, c.Username = NewSecret("redis://a:hunter2@localhost"), "b"
		}), "two usernames"},
		{valid(func(c *Config) { c.PasswordFile = emptyFile }), "is empty"},
		{valid(func(c *Config) { c.PasswordFile = emptyFile + "2" }), "can't be read"},
	} {
		c, err := Open(tt.config)
		if err == nil {
			c.Close()
			t.Errorf("Open() with %s succeeded, want an error with %q", tt.config.URL.reveal(),
				tt.want)
			continue
		}
		if got := err.Error(); !strings.Contains(got, tt.want) || strings.Contains(got, "hun") ||
			strings.Contains(got, "ter2") {
			t.Errorf("Open() with %s = %q, want an error with %q and without the password",
				tt.config.URL.reveal(), got, tt.want)
		}
	}
}

// A Config and its secrets can be printed without secrets.
func TestConfig_redacted(t *testing.T) {
	config := Config{URL: NewSecret("redis://:hunter2@localhost"), Password: NewSecret("hunter2"),
		SealSecrets: []Secret{NewSecret("hunter2")}}
	client := open(t, "redis://:hunter2@localhost", nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, value := range []any{config, &config, client, client.config} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, "hunter2") ||
				strings.Contains(got, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("%s of %T has the secret", verb, value)
			}
		}
	}
}

// The password file is read again for each connection. So the password may change.
func TestConfig_passwordFile(t *testing.T) {
	t.Parallel()
	server := redistest.Config{Password: "first"}.Start(t)
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	c := open(t, "redis://"+server.Addr(), func(config *Config) { config.PasswordFile = file })
	buckets := c.Store().Buckets
	bucket := []store.Bucket{{Key: store.Key{1}, Burst: 100, Every: 1000}}
	if _, err := buckets.Reserve(t.Context(), bucket); err != nil {
		t.Fatalf("with the first password: %v", err)
	}
	write("second")
	server.CLI("ACL", "SETUSER", "default", ">second", "<first")
	c.breaker.mu.Lock()
	c.breaker.redis.Close() // the connections end
	c.breaker.redis = c.breaker.open()
	c.breaker.mu.Unlock()
	if _, err := buckets.Reserve(t.Context(), bucket); err != nil {
		t.Errorf("with the second password in the file: %v", err)
	}
}
