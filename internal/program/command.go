package program

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/settings"
)

// ParseCommand returns the command that args select, or the first of commands if args is empty. A
// command may consist of a name and a flag, such as "check --live". If args request help,
// ParseCommand returns flag.ErrHelp; if they are invalid, it returns another error.
func ParseCommand(args []string, commands ...string) (string, error) {
	flags := newFlags()
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() == 0 {
		return commands[0], nil
	}
	name := flags.Arg(0)
	switch {
	case name == "help":
		return "", flag.ErrHelp
	case !slices.Contains(commands, name):
		return "", fmt.Errorf("%q is not a command", name)
	}
	options := newFlags()
	for _, command := range commands {
		if option, found := strings.CutPrefix(command, name+" --"); found {
			options.Bool(option, false, "")
		}
	}
	if err := options.Parse(flags.Args()[1:]); err != nil {
		return "", err
	}
	command := name
	options.Visit(func(f *flag.Flag) {
		if f.Value.String() == "true" {
			command += " --" + f.Name
		}
	})
	switch {
	case options.NArg() > 0:
		return "", fmt.Errorf("unexpected argument %q", options.Arg(0))
	case !slices.Contains(commands, command):
		return "", fmt.Errorf("%q: expected at most one flag", command)
	}
	return command, nil
}

// newFlags returns a FlagSet without flags that prints nothing.
func newFlags() *flag.FlagSet {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the caller prints the error
	return flags
}

// Check creates the server for config, but doesn't start it. If config is valid, Check says so on
// stdout, with the attributes that the server would log at startup. It prints warnings to stderr.
func Check(config settings.Settings, stdout, stderr io.Writer) error {
	config.Server.Log = slog.New(slog.DiscardHandler)
	closeStore, err := openStore(&config)
	if err != nil {
		return err
	}
	defer closeStore()
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

// WritePolicy writes who may use each field of CloakQL's own schema, as text or as JSON. Of the
// settings, it reads only FEDERATION; the others may be missing.
func WritePolicy(stdout io.Writer, asJSON bool, environ []string, dir string) error {
	values, err := settings.Lookup(environ, dir)
	if err != nil {
		return err
	}
	federation, err := strconv.ParseBool(cmp.Or(values.Get("FEDERATION"), "false"))
	if err != nil {
		return fmt.Errorf("FEDERATION: is %q: expected true or false", values.Get("FEDERATION"))
	}
	table, err := cloakql.Policy(cloakql.Config{Federation: federation})
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(table)
	}
	_, err = table.WriteTo(stdout)
	return err
}
