package graphqlhttp

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// An operation is ready to run: its document is allowed, parsed and valid.
type operation struct {
	*graphql.OperationContext
	document string // as the client sent it; an extension may have rewritten RawQuery
	lookup   documentLookup
	locator  language.Locator
}

// prepare finds, parses and validates the document of a request. It records the operation in
// outcome.
func (t *httpTransport) prepare(ctx context.Context, exec graphql.GraphExecutor,
	params *graphql.RawParams, outcome *Outcome) (*operation, *rejection) {
	lookup, rej := t.documents.lookup(ctx, params)
	if rej != nil {
		return nil, rej
	}
	outcome.Untrusted = lookup.notInManifest
	o := &operation{document: params.Query, lookup: lookup}
	gqlgenOperation, errs := parse(ctx, exec, params)
	o.OperationContext = gqlgenOperation
	o.locator = language.Locator{Document: o.document, ParserInput: params.Query}
	if gqlgenOperation.Operation != nil {
		outcome.Operation = string(gqlgenOperation.Operation.Operation)
		outcome.Name = truncateName(gqlgenOperation.Operation.Name)
	}
	if len(errs) > 0 {
		return nil, &rejection{errs: t.presentRequestErrors(gqlgenOperation, errs, &o.locator)}
	}
	// Package limits rejects lone surrogates earlier, but it may not be installed.
	if err := language.CheckStrings(params.Query); err != nil {
		return nil, &rejection{errs: gqlerror.List{err}}
	}
	if err := checkSupported(gqlgenOperation); err != nil {
		err.Locations = correctLocations(err, &o.locator)
		return nil, &rejection{errs: gqlerror.List{err}}
	}
	return o, nil
}

// parse lets gqlgen parse and validate a document. If gqlparser would reject or misread valid
// GraphQL, parse rewrites the document and tries again. It tries the client's text first because
// package limits must measure that text. If package limits is installed, it rewrites the document
// itself, so the first try succeeds.
func parse(ctx context.Context, exec graphql.GraphExecutor,
	params *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	operation, errs := exec.CreateOperationContext(ctx, params)
	if len(errs) > 0 && (errs[0].Extensions["code"] != string(apierror.CodeParseFailed) ||
		language.IsLocated(errs[0])) {
		return operation, errs
	}
	if rewritten := language.Rewrite(params.Query); rewritten != params.Query {
		params.Query = rewritten
		return exec.CreateOperationContext(ctx, params)
	}
	return operation, errs
}

// checkSupported returns an error if a valid operation needs more than one response.
func checkSupported(operation *graphql.OperationContext) *gqlerror.Error {
	if operation.Operation.Operation == ast.Subscription {
		return badRequestError("Subscriptions are not served over this transport")
	}
	var err *gqlerror.Error
	v := visitor{onDirective: func(directive *ast.Directive) {
		// gqlgen sends deferred fields in later responses, and never for a mutation.
		if directive.Name == "defer" && err == nil &&
			directive.ArgumentMap(operation.Variables)["if"] != false {
			err = withPosition(directive.Position,
				badRequestError("@defer is not served: ask for the fields without it"))
		}
	}}
	v.visitOperation(operation.Operation)
	return err
}
