package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/cloakql/cloakql/store"
)

// Defaults of Config.
const (
	DefaultPrefix   = "cloakql"
	DefaultPoolSize = 32
	DefaultTimeout  = 250 * time.Millisecond
)

// Config configures a Client.
type Config struct {
	// URL says where Redis is:
	//
	//	redis://[user:password@]host[:port][/database]
	//	redis+cluster://[user:password@]host[:port][?addr=host:port&addr=...]
	//	redis+sentinel://[user:password@]host[:port][/database]?master_name=name[&addr=host:port...]
	//
	// With rediss instead of redis, the connections use TLS. The user and password of a Sentinel
	// URL are those of the Sentinels. Special characters in passwords must be percent-encoded.
	URL Secret

	// Username and the password are used instead of those in the URL. With Sentinel, they are those
	// of Redis itself. PasswordFile is the name of a file with the password. It is read for each
	// new connection, so the password may change. Only one of Password, PasswordFile and the URL
	// may have a password.
	Username     string
	Password     Secret
	PasswordFile string

	// TLS configures the connections of a rediss URL: root certificates, the client's certificate.
	// Its ServerName is used for all hosts. nil means the defaults of crypto/tls.
	TLS *tls.Config

	// SealSecrets are the secrets that results of calls are encrypted with. The first encrypts, and
	// each of them decrypts. To change the secret, first add the new one at the end of the list in
	// all processes, then move it to the front, then remove the old one. There must be at least
	// one, and each must have at least MinSealSecretBytes.
	SealSecrets []Secret

	// Prefix is part of the names of all keys. Servers with the same realm and client share one
	// prefix; others need another. It consists of letters, digits and ._:- and has at most 64 of
	// them.
	Prefix string // DefaultPrefix if empty

	MaxDocumentBytes int           // of all documents; store.DefaultDocumentBytes if 0
	MaxEvents        int           // store.DefaultMaxEvents if 0
	PoolSize         int           // maximum number of connections to a node; DefaultPoolSize if 0
	Timeout          time.Duration // of a call, with connecting; DefaultTimeout if 0

	Log *slog.Logger // slog.Default() if nil
}

// maxPasswordFileBytes limits the size of PasswordFile.
const maxPasswordFileBytes = 4 << 10

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// withDefaults returns c with the defaults for the fields that are 0.
func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.MaxDocumentBytes == 0 {
		c.MaxDocumentBytes = store.DefaultDocumentBytes
	}
	if c.MaxEvents == 0 {
		c.MaxEvents = store.DefaultMaxEvents
	}
	if c.PoolSize == 0 {
		c.PoolSize = DefaultPoolSize
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// validate returns an error that names everything that is wrong with c, except for the URL.
func (c Config) validate() error {
	var errs []error
	if !prefixPattern.MatchString(c.Prefix) {
		errs = append(errs, fmt.Errorf("the prefix %q is invalid: expected at most 64 letters, "+
			"digits and ._:-", c.Prefix))
	}
	if c.MaxDocumentBytes < store.MaxDocumentBytes+store.DocumentOverhead {
		errs = append(errs, fmt.Errorf("MaxDocumentBytes is %d: expected at least %d, for one "+
			"document", c.MaxDocumentBytes, store.MaxDocumentBytes+store.DocumentOverhead))
	}
	if c.MaxEvents < 1 || c.PoolSize < 1 || c.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("MaxEvents is %d, PoolSize %d, Timeout %v: expected at "+
			"least 1, 1 and 1ms", c.MaxEvents, c.PoolSize, c.Timeout))
	}
	if c.Password.reveal() != "" && c.PasswordFile != "" {
		errs = append(errs, errors.New("there are two passwords: one as such and one in a file"))
	}
	if c.PasswordFile != "" {
		if _, err := c.readPassword(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// readPassword returns the password of PasswordFile or Password.
func (c Config) readPassword() (string, error) {
	if c.PasswordFile == "" {
		return c.Password.reveal(), nil
	}
	info, err := os.Stat(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("the password file can't be read: %w", err)
	}
	if info.Size() > maxPasswordFileBytes {
		return "", fmt.Errorf("the password file %s has more than %d bytes", c.PasswordFile,
			maxPasswordFileBytes)
	}
	text, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("the password file can't be read: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", fmt.Errorf("the password file %s is empty", c.PasswordFile)
	}
	return password, nil
}
