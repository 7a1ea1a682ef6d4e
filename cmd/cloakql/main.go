// Command cloakql serves the GraphQL face of a Keycloak realm, with settings from the environment.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cloakql/cloakql/internal/program"
	"github.com/cloakql/cloakql/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	config, err := settings.Read(os.Environ(), ".")
	if err == nil {
		err = program.Serve(ctx, config, os.Stderr, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
