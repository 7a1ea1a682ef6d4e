// Package program runs a server with settings from the environment, for the commands in cmd.
package program

import (
	"context"
	"io"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/internal/librarylog"
	"github.com/cloakql/cloakql/settings"
	"github.com/cloakql/cloakql/store/redisstore"
)

// Serve serves until ctx is done. After a graceful shutdown, it returns nil. It writes the log to
// out. When the server listens, Serve calls onListen with the URL of the GraphQL endpoint, unless
// onListen is nil.
func Serve(ctx context.Context, config settings.Settings, out io.Writer,
	onListen func(url string)) error {
	log, flush := newLog(config.Server.Local, out)
	defer flush()
	defer tuneGC()()
	librarylog.RedirectStandard(log)
	for _, warning := range config.Warnings {
		log.Warn(warning)
	}
	config.Server.Log = log
	closeStore, err := openStore(&config)
	if err != nil {
		return err
	}
	defer closeStore()
	server, err := cloakql.New(config.Server)
	if err != nil {
		return err
	}
	listener, err := config.Listen()
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String() + "/graphql"
	log.Info("serving", "url", url, "version", thisBuild(), "config", config.Server)
	if onListen != nil {
		onListen(url)
	}
	return server.Run(ctx, listener)
}

// openStore sets config.Server.Store, unless there is no shared store. It doesn't connect.
func openStore(config *settings.Settings) (close func() error, err error) {
	if config.Redis.URL == (redisstore.Secret{}) {
		return func() error { return nil }, nil
	}
	redisstore.DisableLibraryLog()
	config.Redis.Log = config.Server.Log
	client, err := redisstore.Open(config.Redis)
	if err != nil {
		return nil, err
	}
	shared := client.Store()
	config.Server.Store = &shared
	return client.Close, nil
}
