// Package apierror decides what clients see of an error, for any gqlgen server: a code and a reason
// that are a contract, and a message for people.
//
//	presenter := &apierror.Presenter{Rows: []apierror.Row{
//		{Err: ErrOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"},
//	}}
//	server.SetErrorPresenter(presenter.Present)
//	server.SetRecoverFunc(presenter.Recover)
//
// Resolvers return the errors of packages identity and keycloak as they are, wrapped or not, and
// those of the product; the table (table.go) has a row for each that a client should tell apart.
// Every other error is INTERNAL_SERVER_ERROR: logged with its path, and hidden, whatever its text
// or type. That includes errors that a resolver makes with gqlerror.Errorf: give them a row.
//
// The codes of requests that are rejected before any field runs are constants of this package, too
// (codes.go). Package graphqlhttp answers those by itself, and says what is wrong with them.
// gqlgen's own transports ask the presenter, which gives them their codes and repeats nothing of
// the request.
package apierror
