package graphqlhttp

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// Answers configures a cache of responses, here called answers. A cached answer is sent again
// without running the operation. An answer is cached only if the operation is a query whose root
// fields depend only on the caller and on the fields' arguments, and if the answer has no errors
// and no extensions. Its key is the exact body of a POST, or the exact query string of a GET or
// HEAD.
//
// A request whose answer is cached passes all middleware in front of this package, is reported to
// Observe, and gets its own request ID. It skips gqlgen's extensions and the resolvers. Don't use
// Answers if an extension must see every operation, or if middleware changes the user that
// resolvers see.
type Answers struct {
	// Store returns the store for the caller of a request, or nil if the caller has none. Callers
	// must not share a store, and a store must end when the caller's access token does.
	Store func(context.Context) AnswerStore
	// MayKeep reports whether the value of a root field, and of everything below it, depends on
	// nothing but the caller and the arguments.
	MayKeep func(*ast.FieldDefinition) bool
}

// An AnswerStore keeps the answers to one caller's requests. It must be bounded and safe for
// concurrent use.
type AnswerStore interface {
	// Get returns the answer to a request, or nil.
	Get(request []byte) any
	// Put keeps an answer of size bytes if there is room. It must copy request.
	Put(request []byte, answer any, size int)
}

// A keptAnswer is an answer in an AnswerStore. It is immutable.
type keptAnswer struct {
	body [1][]byte // one piece, for response.body

	// These fields are as in Outcome.
	operation string
	name      string
	untrusted bool
}

// store returns the store of the request's caller, or nil.
func (a *Answers) store(ctx context.Context) AnswerStore {
	if a == nil {
		return nil
	}
	return a.Store(ctx)
}

// keptResponse returns the response that store has for a request, and records the operation in
// outcome. The store may be nil.
func keptResponse(store AnswerStore, request []byte, media mediaType, outcome *Outcome) (
	resp response, ok bool) {
	if store == nil {
		return response{}, false
	}
	answer, ok := store.Get(request).(*keptAnswer)
	if !ok {
		return response{}, false
	}
	outcome.Operation, outcome.Name = answer.operation, answer.name
	outcome.Untrusted = answer.untrusted
	return response{media: media, status: http.StatusOK, body: answer.body[:]}, true
}

// keep stores the response to an operation if the response may be sent again. The store may be nil.
func (a *Answers) keep(store AnswerStore, request []byte, operation *operation,
	result *graphql.Response, resp response, outcome *Outcome) {
	if store == nil || len(resp.errs) > 0 || len(result.Extensions) > 0 || !a.mayKeep(operation) {
		return
	}
	body := bytes.Join(resp.body, nil)
	store.Put(request, &keptAnswer{
		body: [1][]byte{body}, operation: outcome.Operation,
		name:      strings.Clone(outcome.Name), // a copy, not a part of the document
		untrusted: outcome.Untrusted,
	}, len(body)+len(outcome.Name))
}

// mayKeep reports whether the answer to an operation depends on nothing but the caller and the
// request, and whether the operation has no effect.
func (a *Answers) mayKeep(operation *operation) bool {
	if operation.Operation.Operation != ast.Query ||
		operation.lookup.storeKey != nil { // each such request stores its document
		return false
	}
	ok := true
	v := visitor{onDirective: func(directive *ast.Directive) {
		// A directive of the schema's own calls a function, which may depend on anything.
		ok = ok && (directive.Name == "skip" || directive.Name == "include")
	}}
	v.visitOperation(operation.Operation)
	return ok && a.mayKeepFields(operation.Operation.SelectionSet)
}

// mayKeepFields reports whether MayKeep holds for all root fields in set, except for __typename.
func (a *Answers) mayKeepFields(set ast.SelectionSet) bool {
	for _, selection := range set {
		ok := false
		switch selection := selection.(type) {
		case *ast.Field:
			ok = selection.Name == "__typename" ||
				selection.Definition != nil && a.MayKeep(selection.Definition)
		case *ast.InlineFragment:
			ok = a.mayKeepFields(selection.SelectionSet)
		case *ast.FragmentSpread:
			ok = selection.Definition != nil && a.mayKeepFields(selection.Definition.SelectionSet)
		}
		if !ok {
			return false
		}
	}
	return true
}
