package apierror_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/identity"
)

// ErrOutOfStock is an error of the application. Clients never see its text, or the text of an error
// that wraps it.
var ErrOutOfStock = errors.New("warehouse 7 has none left")

// This example is a gqlgen server whose resolvers return their errors unchanged. A table maps them
// to the errors that clients see.
func ExamplePresenter() {
	presenter := &apierror.Presenter{
		Rows: []apierror.Row{
			{Err: ErrOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"},
		},
		Log: slog.New(slog.DiscardHandler), // leave this out to use slog.Default()
	}
	if err := presenter.Validate(); err != nil {
		log.Fatal(err)
	}
	server := handler.New(newShopSchema(map[string]resolver{
		"buy": func(context.Context) error { return fmt.Errorf("reserve: %w", ErrOutOfStock) },
		"me":  func(ctx context.Context) error { _, err := identity.Require(ctx); return err },
		"ship": func(context.Context) error {
			return errors.New("dial tcp 10.0.0.7: connection refused")
		},
	}))
	server.AddTransport(transport.POST{})
	server.SetErrorPresenter(presenter.Present)
	server.SetRecoverFunc(presenter.Recover)

	for _, field := range []string{"buy", "me", "ship"} {
		body := strings.NewReader(`{"query":"{ ` + field + ` }"}`)
		request := httptest.NewRequest(http.MethodPost, "/graphql", body)
		request.Header.Set("Content-Type", "application/json")
		response := httptest.NewRecorder()
		server.ServeHTTP(response, request)
		var result struct{ Errors gqlerror.List }
		if err := json.Unmarshal(response.Body.Bytes(), &result); err != nil {
			log.Fatal(err)
		}
		fmt.Println(field, result.Errors[0].Message, result.Errors[0].Extensions)
	}
	// Output:
	// buy This is sold out map[code:OUT_OF_STOCK]
	// me Not authenticated map[code:UNAUTHENTICATED reason:TOKEN_MISSING]
	// ship Internal error map[code:INTERNAL_SERVER_ERROR]
}
