// Command cloakql serves the GraphQL face of a Keycloak realm, with settings from the environment.
//
//	cloakql [serve | check | settings | version]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/cloakql/cloakql/internal/program"
	"github.com/cloakql/cloakql/settings"
)

const usage = `Usage: cloakql [command]

cloakql serves the GraphQL face of a Keycloak realm.

Commands:
  serve      serve until SIGINT or SIGTERM; this is the default
  check      check the settings, without the network; exit with 1 if they aren't valid
  settings   print the documentation of all settings
  version    print the version

Settings come from the environment, and from .local.env or .env in the working directory.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), ".", os.Stdout, os.Stderr))
}

// run does what args say and returns the exit status: 0, 1 for a failure, or 2 for wrong usage.
func run(ctx context.Context, args, environ []string, dir string, stdout, stderr io.Writer) int {
	command, err := program.Command(args, "serve", "check", "settings", "version")
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "cloakql: %v\n\n%s", err, usage)
		return 2
	}
	switch command {
	case "settings":
		_, err = io.WriteString(stdout, settings.Reference())
	case "version":
		_, err = fmt.Fprintln(stdout, program.Version("cloakql"))
	default:
		err = withSettings(ctx, command, environ, dir, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, settings.NameIn(err.Error()))
		return 1
	}
	return 0
}

func withSettings(ctx context.Context, command string, environ []string, dir string, stdout,
	stderr io.Writer) error {
	config, err := settings.Read(environ, dir)
	if err != nil {
		return err
	}
	if command == "check" {
		return program.Check(config, stdout, stderr)
	}
	return program.Serve(ctx, config, stderr, nil)
}
