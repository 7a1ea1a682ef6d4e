package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/cloakql/cloakql/store"
)

// A Client implements the interfaces of package store. It is safe for concurrent use.
type Client struct {
	config  Config
	prefix  string // of all keys, with the hash tag
	sealer  *sealer
	breaker breaker
	losses  lossDetector

	stopped context.Context // done when Close is called
	stop    context.CancelFunc

	backgroundMu sync.Mutex     // held to start a goroutine, or to stop
	background   sync.WaitGroup // goroutines that Close waits for
}

// Open returns a Client. It doesn't connect yet: Redis may be down. The errors don't contain
// secrets.
func Open(config Config) (*Client, error) {
	config = config.withDefaults()
	open, err := config.opener()
	sealer, sealErr := newSealer(config.SealSecrets)
	if err := errors.Join(err, config.validate(), sealErr); err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	c := &Client{config: config, prefix: "{" + config.Prefix + "}:", sealer: sealer}
	c.breaker = breaker{open: open, interval: retryInterval, log: config.Log, redis: open()}
	c.stopped, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// Store returns the interfaces that the client implements.
func (c *Client) Store() store.Store {
	return store.Store{Name: c.config.name(), Buckets: buckets{c}, Calls: calls{c}, Turns: turns{c},
		Documents: documents{c}, Events: events{c}, Check: c.check}
}

// Close closes the connections. Calls fail from then on.
func (c *Client) Close() error {
	if c.stop == nil { // the zero value
		return nil
	}
	c.backgroundMu.Lock()
	c.stop()
	c.backgroundMu.Unlock()
	c.background.Wait()
	return c.breaker.close()
}

// goBackground calls f in a goroutine that Close waits for. After Close, it doesn't call f.
func (c *Client) goBackground(f func()) {
	c.backgroundMu.Lock()
	defer c.backgroundMu.Unlock()
	if c.stopped.Err() == nil {
		c.background.Go(f)
	}
}

// Stats counts calls since Open.
type Stats struct {
	Calls   int64 // that were sent to Redis
	Failed  int64 // of these, how many failed
	Refused int64 // not sent, because Redis didn't respond less than a second before
	Losses  int64 // how often Redis lost its data
}

// Stats returns the counts until now.
func (c *Client) Stats() Stats {
	stats := c.breaker.currentStats()
	stats.Losses = c.losses.count()
	return stats
}

// DisableLibraryLog stops go-redis from writing to the standard error output, in the whole process.
// It writes a line for each failed connection, which would be one a second. A Client logs what
// matters to Config.Log, at most once a minute.
func DisableLibraryLog() { logging.Disable() }

// check is store.Store's Check.
func (c *Client) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.breaker.check(time.Now())
}

// key returns the Redis key of a part of the store.
func (c *Client) key(part string) string { return c.prefix + part }
