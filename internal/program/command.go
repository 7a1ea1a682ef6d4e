package program

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/settings"
)

// Command returns the one of commands that args name; without args it is the first. It fails with
// flag.ErrHelp if args ask for help, and with another error if they make no sense.
func Command(args []string, commands ...string) (string, error) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the caller prints the error
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() == 0 {
		return commands[0], nil
	}
	command := flags.Arg(0)
	if err := flags.Parse(flags.Args()[1:]); err != nil {
		return "", err
	}
	switch {
	case command == "help":
		return "", flag.ErrHelp
	case !slices.Contains(commands, command):
		return "", fmt.Errorf("%q is not a command", command)
	case flags.NArg() > 0:
		return "", fmt.Errorf("%q is an argument too many", flags.Arg(0))
	}
	return command, nil
}

// Check makes the server of config without starting it, and prints to stdout that config is valid
// and what it opens, and to whom. Warnings go to stderr.
func Check(config settings.Settings, stdout, stderr io.Writer) error {
	config.Server.Log = slog.New(slog.DiscardHandler)
	if _, err := cloakql.New(config.Server); err != nil {
		return err
	}
	for _, warning := range config.Warnings {
		fmt.Fprintln(stderr, "warning: "+warning)
	}
	fmt.Fprintf(stdout, "settings are valid, from %s\n", config.Source)
	attributes := slog.New(slog.NewTextHandler(stdout, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 &&
				slices.Contains([]string{slog.TimeKey, slog.LevelKey, slog.MessageKey}, attr.Key) {
				return slog.Attr{}
			}
			return attr
		},
	}))
	attributes.Info("", "addr", config.Addr, slog.Any("", config.Server))
	return nil
}

// Version returns a program's name with the version of its module, and of Go.
func Version(name string) string {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	return fmt.Sprintf("%s %s %s %s/%s", name, cmp.Or(version, "(devel)"), runtime.Version(),
		runtime.GOOS, runtime.GOARCH)
}
