// Command cloakql serves a GraphQL API for a Keycloak realm, with settings from the environment.
//
//	cloakql [serve | check [--live | --ready] | policy [--json] | settings | version]
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

cloakql serves a GraphQL API for a Keycloak realm.

Commands:
  serve           serve until SIGINT or SIGTERM; this is the default
  check           check the settings, without the network
  check --live    ask the server that runs with these settings whether it is alive (/healthz)
  check --ready   ask the same server whether it can verify tokens (/readyz)
  policy          print who may have each field of the API
  policy --json   print the same as JSON
  settings        print the documentation of all settings
  version         print the version, with the commit and its date

check exits with 0 if all is well, with 1 if it isn't, and with 2 for wrong usage. With --live and
--ready, it waits for the response for 3 seconds at most.

Settings come from the environment, and from .local.env or .env in the working directory.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the process
	os.Exit(run(ctx, os.Args[1:], os.Environ(), ".", os.Stdout, os.Stderr))
}

// run runs the command in args and returns the exit status: 0 after a success, 1 after a failure,
// and 2 for wrong usage.
func run(ctx context.Context, args, environ []string, dir string, stdout, stderr io.Writer) int {
	// Without arguments, the command is serve, the first one in the list.
	command, err := program.ParseCommand(args,
		"serve", "check", "check --live", "check --ready", "policy", "policy --json",
		"settings", "version")
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
	case "policy", "policy --json":
		err = program.WritePolicy(stdout, command == "policy --json", environ, dir)
	case "version":
		_, err = fmt.Fprintln(stdout, program.Version("cloakql"))
	default:
		err = runWithSettings(ctx, command, environ, dir, stdout, stderr)
	}
	if err != nil {
		// The library's errors name fields of cloakql.Config; this command's users know settings.
		fmt.Fprintln(stderr, settings.TranslateFieldNames(err.Error()))
		return 1
	}
	return 0
}

// runWithSettings reads the settings and runs a command that needs them.
func runWithSettings(ctx context.Context, command string, environ []string, dir string, stdout,
	stderr io.Writer) error {
	config, err := settings.Read(environ, dir)
	if err != nil {
		return err
	}
	switch command {
	case "serve":
		return program.Serve(ctx, config, stderr, nil)
	case "check":
		return program.Check(config, stdout, stderr)
	case "check --live":
		return program.CheckLive(ctx, config, stdout)
	case "check --ready":
		return program.CheckReady(ctx, config, stdout)
	}
	return fmt.Errorf("cloakql: the command %q isn't implemented", command)
}
