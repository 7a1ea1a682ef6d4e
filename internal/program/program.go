// Package program runs a server with settings from the environment, for the commands in cmd.
package program

import (
	"context"
	"io"
	"log/slog"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/internal/librarylog"
	"github.com/cloakql/cloakql/settings"
)

// Serve serves until ctx is done, and returns nil after a graceful shutdown. The log goes to out.
// If listening isn't nil, it is called with the URL of the GraphQL endpoint once the server
// listens.
func Serve(ctx context.Context, config settings.Settings, out io.Writer,
	listening func(url string)) error {
	log := newLog(config.Server.Local, out)
	librarylog.RedirectStandard(log)
	for _, warning := range config.Warnings {
		log.Warn(warning)
	}
	config.Server.Log = log
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
	if listening != nil {
		listening(url)
	}
	return server.Run(ctx, listener)
}

// newLog returns a log that writes text if local, and JSON otherwise.
func newLog(local bool, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{ReplaceAttr: settings.TranslateLogAttr}
	if local {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}
