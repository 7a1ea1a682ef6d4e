// Package apierror decides what clients see of an error, for any gqlgen server: a code and a
// reason, which are a contract, and a message for people.
//
//	presenter := &apierror.Presenter{Rows: []apierror.Row{
//		{Err: ErrOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"},
//	}}
//	server.SetErrorPresenter(presenter.Present)
//	server.SetRecoverFunc(presenter.Recover)
//
// Resolvers return the errors of packages identity and keycloak, and the product's own, unchanged
// or wrapped. A table (table.go) has a row for each error that clients should tell apart. Every
// other error becomes INTERNAL_SERVER_ERROR: it is logged with its path, and its text is hidden.
// That includes errors that a resolver makes with gqlerror.Errorf: give them a row.
//
// This package also defines the codes for requests that are rejected before any field runs
// (codes.go). Package graphqlhttp rejects such requests itself, and says what is wrong with them.
// gqlgen's own transports call the presenter, which adds the code and repeats nothing of the
// request.
package apierror
