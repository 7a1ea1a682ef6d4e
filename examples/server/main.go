// Command notes serves a GraphQL API for notes. Its users are the users of a Keycloak realm.
package main

import (
	"cmp"
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/settings"
	"github.com/cloakql/cloakql/signin"

	"example.com/notes/api"
	"example.com/notes/api/generated"
	"example.com/notes/notes"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	config, err := settings.Read(os.Environ(), ".")
	if err != nil {
		return err
	}
	for _, warning := range config.Warnings {
		log.Print(warning)
	}
	store, err := notes.Open(cmp.Or(os.Getenv("NOTES_FILE"), "notes.db"))
	if err != nil {
		return err
	}
	defer store.Close()
	server, err := newServer(config.Server, store)
	if err != nil {
		return err
	}
	listener, err := config.Listen()
	if err != nil {
		return err
	}
	log.Print("serving on ", listener.Addr())
	return server.Run(ctx, listener)
}

// newServer adds the notes to the server that config describes.
func newServer(config cloakql.Config, store notes.Store) (*cloakql.Server, error) {
	config.Schema = func(service *signin.Service) (graphql.ExecutableSchema, error) {
		resolver := &api.Resolver{SignIn: service, Store: store}
		return generated.NewExecutableSchema(generated.Config{Resolvers: resolver}), nil
	}
	config.Errors = []apierror.Row{
		{Err: notes.ErrFull, Code: "NOTEBOOK_FULL", Message: "You can't keep more than 100 notes"},
	}
	return cloakql.New(config)
}
