// Package apierror defines the errors that clients see, for any gqlgen server. Such an error has a
// code and a reason, which are a contract, and a message for people.
//
//	presenter := &apierror.Presenter{Rows: []apierror.Row{
//		{Err: ErrOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"},
//	}}
//	server.SetErrorPresenter(presenter.Present)
//	server.SetRecoverFunc(presenter.Recover)
//
// Resolvers return the errors of packages identity and keycloak, and the application's own,
// unchanged or wrapped. A table (table.go) has a row for each error that clients should tell apart.
// Every other error becomes INTERNAL_SERVER_ERROR: it is logged with its path, and its text is
// hidden. That includes errors that a resolver makes with gqlerror.Errorf: give them a row.
//
// This package also defines the codes for requests that are rejected before any field runs
// (codes.go). Package graphqlhttp rejects such requests itself, with a message that says what is
// wrong. gqlgen's own transports call the presenter, which adds the code, and replaces messages
// that could repeat parts of the request.
package apierror
