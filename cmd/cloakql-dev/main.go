// Command cloakql-dev serves CloakQL together with a fake Keycloak in the same process, for
// development. It needs no Keycloak, no network and no settings.
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

const usage = `Usage: cloakql-dev

cloakql-dev serves CloakQL together with a fake Keycloak until SIGINT or SIGTERM. It needs no
settings; "cloakql settings" describes the settings that it accepts.
`

func main() {
	// There is only one command, so ParseCommand only checks the arguments.
	switch _, err := program.ParseCommand(os.Args[1:], "serve"); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "cloakql-dev: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the process
	if err := run(ctx, os.Environ(), ".", os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, settings.TranslateFieldNames(err.Error()))
		os.Exit(1)
	}
}

// run serves until ctx is done, and writes its output to out.
func run(ctx context.Context, environ []string, dir string, out io.Writer) error {
	dev, err := newDevSetup(environ, dir)
	if err != nil {
		return err
	}
	if dev.stop != nil {
		defer dev.stop()
	}
	config, err := settings.Read(dev.environ, dir)
	if err != nil {
		if dev.settingsNote != "" {
			err = fmt.Errorf("%w\n%s", err, dev.settingsNote)
		}
		return err
	}
	config.Server.HTTP.ConsoleUsers = dev.users
	return program.Serve(ctx, config, out, func(url string) {
		if dev.printHelp != nil {
			dev.printHelp(out, url)
		}
	})
}
