// Command testserver serves the API of package testapi for a Keycloak realm, with the settings of
// cloakql. The tests in e2e use it to check the access rules of an application.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/internal/program"
	"github.com/cloakql/cloakql/internal/testapi"
	"github.com/cloakql/cloakql/settings"
	"github.com/cloakql/cloakql/signin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := settings.Read(os.Environ(), ".")
	if err != nil {
		return err
	}
	config.Server.Schema = func(*signin.Service) (graphql.ExecutableSchema, error) {
		return testapi.New(), nil
	}
	return program.Serve(ctx, config, os.Stderr, nil)
}
