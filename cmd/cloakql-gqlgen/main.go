// Command cloakql-gqlgen is gqlgen with package plugin. It generates the code of an application's
// GraphQL server, including CloakQL's API. Add the command to the application's module, and run it
// in the directory of gqlgen.yml or below:
//
//	go get -tool github.com/cloakql/cloakql/cmd/cloakql-gqlgen
//	go tool cloakql-gqlgen
//
// Each option of package plugin is a flag. To use other gqlgen plugins too, write your own program
// instead.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"strings"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"

	"github.com/cloakql/cloakql/plugin"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		if !errors.Is(err, errUsage) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(2)
	}
}

var errUsage = errors.New("usage")

// run generates the code. If args are wrong, it says so on stderr and returns errUsage.
func run(args []string, stderr io.Writer) error {
	var options []plugin.Option
	flags := flag.NewFlagSet("cloakql-gqlgen", flag.ContinueOnError)
	flags.SetOutput(stderr)
	filename := flags.String("config", "",
		"read the configuration from `file` instead of gqlgen.yml")
	verbose := flags.Bool("v", false, "show what gqlgen logs")
	flags.Func("rename", "give a field another name, as in `me=viewer`; may be repeated",
		appendPair(&options, plugin.Rename))
	flags.Func("rename-type", "give a type another name, as in `User=Caller`; may be repeated",
		appendPair(&options, plugin.RenameType))
	flags.Func("without", "leave out a `field`; may be repeated", func(field string) error {
		options = append(options, plugin.Without(field))
		return nil
	})
	flags.BoolFunc("keep-answers", "let the server cache the responses to me", func(string) error {
		options = append(options, plugin.KeepAnswers())
		return nil
	})
	flags.Func("schema",
		"write the whole schema to `file` instead of schema.generated.graphql next to the "+
			"generated code",
		func(file string) error {
			options = append(options, plugin.SchemaFile(file))
			return nil
		})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "cloakql-gqlgen takes no arguments, only flags: %q\n", flags.Args())
		flags.Usage()
		return errUsage
	}
	if !*verbose {
		log.SetOutput(io.Discard)
	}
	cfg, err := loadConfig(*filename)
	if err != nil {
		return err
	}
	restore := saveFiles(cfg.Exec.Filename, cfg.Model.Filename)
	if err := api.Generate(cfg, plugin.Use(options...)); err != nil {
		return errors.Join(err, restore())
	}
	return nil
}

// saveFiles reads files that exist. The function that it returns writes those that are missing
// then: gqlgen deletes its files before it reads the schema, and without them, the next run might
// stop at an error that isn't the cause.
func saveFiles(names ...string) (restore func() error) {
	contents := map[string][]byte{}
	for _, name := range names {
		if content, err := os.ReadFile(name); err == nil {
			contents[name] = content
		}
	}
	return func() error {
		var errs []error
		for name, content := range contents {
			if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, os.WriteFile(name, content, 0o644))
			}
		}
		return errors.Join(errs...)
	}
}

// loadConfig reads gqlgen's configuration from the named file. If filename is empty, it reads
// gqlgen.yml in the working directory or in a directory above.
func loadConfig(filename string) (*config.Config, error) {
	if filename != "" {
		return config.LoadConfig(filename)
	}
	cfg, err := config.LoadConfigFromDefaultLocations()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New(
			"there is no gqlgen.yml here or in a directory above: expected one, as in " +
				"docs/plugin.md")
	}
	return cfg, err
}

// appendPair returns a function for a flag whose value has the form old=new. The function appends
// the option for this value to options.
func appendPair(options *[]plugin.Option,
	option func(oldName, newName string) plugin.Option) func(string) error {
	return func(value string) error {
		oldName, newName, found := strings.Cut(value, "=")
		if !found {
			return errors.New("expected old=new")
		}
		*options = append(*options, option(oldName, newName))
		return nil
	}
}
