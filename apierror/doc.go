// Package apierror defines the errors that clients see. It can be used in any gqlgen server. An
// error has a code and a reason, which are a contract, and a message for people.
//
//	presenter := &apierror.Presenter{Rows: []apierror.Row{
//		{Err: ErrOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"},
//	}}
//	server.SetErrorPresenter(presenter.Present)
//	server.SetRecoverFunc(presenter.Recover)
//
// Resolvers return errors of packages identity and keycloak and errors of the application,
// unchanged or wrapped. A table (table.go) has a row for each error that clients should tell apart.
// Every other error becomes INTERNAL_SERVER_ERROR: it is logged with its path, and its text is
// hidden. That includes errors that a resolver makes with gqlerror.Errorf. If clients should see
// such an error, make it a variable and give it a row.
//
// This package also defines the codes of requests that are rejected before any field runs
// (codes.go). If the server uses package graphqlhttp, that package rejects such requests, with a
// message that says what is wrong. If the server uses gqlgen's own transports, they call the
// presenter. The presenter adds the code, and replaces messages that could repeat parts of the
// request.
package apierror
