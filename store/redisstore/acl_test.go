package redisstore

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/internal/redistest"
)

// A user of Redis needs only the commands that the documentation of the package lists, and the keys
// with the prefix, on a single server and in a cluster.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "+cluster"} {
		server := redistest.Config{Cluster: suffix != ""}.Start(t)
		rule := []string{"ACL", "SETUSER", "cloakql", "on", ">hunter2", "~{cloakql}:*"}
		server.CLI(slices.Concat(rule, strings.Fields(leastPrivilege))...)
		u := &url.URL{Scheme: "redis" + suffix, Host: server.Addr(),
			User: url.UserPassword("cloakql", "hunter2")}
		s := open(t, u.String(), func(c *Config) { c.Prefix = DefaultPrefix }).Store()
		for _, operation := range operations {
			if err := operation.call(t.Context(), s); err != nil {
				t.Errorf("%s%s: %v", operation.name, suffix, err)
			}
		}
		leave, err := s.Turns.Take(t.Context(), onlyTurn)
		if err != nil {
			t.Errorf("Turns.Take%s: %v", suffix, err)
			continue
		}
		leave(0)
	}
}

// leastPrivilege has the rules for the commands that a user needs. They are also in doc.go.
const leastPrivilege = "+eval +evalsha +cluster|slots +del +exists +get +hdel +hget +hgetall " +
	"+hincrby +hmget +hset +hsetnx +hstrlen +pexpire +pttl +set +time +zadd +zcard +zrange " +
	"+zrangebyscore +zrem +zrevrange +zscore"
