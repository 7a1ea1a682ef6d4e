// Package testapi is a GraphQL API that uses every directive of package authz, for tests. gqlgen
// writes the code from schema.graphqls.
package testapi

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
)

//go:generate go tool gqlgen generate

// New returns the schema with resolvers that return fixed values. directives is the schema's
// DirectiveRoot.
func New(directives DirectiveRoot) graphql.ExecutableSchema {
	return NewExecutableSchema(Config{Resolvers: resolver{}, Directives: directives})
}

type resolver struct{}

func (resolver) Query() QueryResolver       { return query{} }
func (resolver) Mutation() MutationResolver { return mutation{} }

type query struct{}

type mutation struct{}

var (
	text     = "text"
	document = &Document{ID: "d", Title: &text, Audit: &text, Body: &text, Price: "1",
		Next: &Document{ID: "e", Title: &text, Audit: &text, Body: &text, Price: "2"}}
	secret = &Secret{ID: "s", Title: &text, Audit: &text, Text: &text}
	report = &Report{Memo: &text, Pages: new(3)}
)

func (query) Open(context.Context) (*string, error) { return &text, nil }

func (query) Auth(context.Context) (*string, error) { return &text, nil }

func (query) AnyRole(context.Context) (*string, error) { return &text, nil }

func (query) AllRoles(context.Context) (*string, error) { return &text, nil }

func (query) ClientRole(context.Context) (*string, error) { return &text, nil }

func (query) AnyScope(context.Context) (*string, error) { return &text, nil }

func (query) AllScopes(context.Context) (*string, error) { return &text, nil }

func (query) ScopeLists(context.Context) (*string, error) { return &text, nil }

func (query) Group(context.Context) (*string, error) { return &text, nil }

func (query) Subgroup(context.Context) (*string, error) { return &text, nil }

func (query) Organization(context.Context) (*string, error) { return &text, nil }

func (query) Claim(context.Context) (*string, error) { return &text, nil }

func (query) NotImpersonated(context.Context) (*string, error) { return &text, nil }

func (query) Strong(context.Context) (*string, error) { return &text, nil }

func (query) Recent(context.Context) (*string, error) { return &text, nil }

func (query) Both(context.Context) (*string, error) { return &text, nil }

func (query) OrganizationNotes(context.Context, string) (*string, error) { return &text, nil }

func (query) Owned(context.Context, string) (*string, error) { return &text, nil }

func (query) OwnedInput(context.Context, OwnedInput) (*string, error) { return &text, nil }

func (query) Required(context.Context) (string, error) { return text, nil }

func (query) Document(context.Context) (*Document, error) { return document, nil }

func (query) Documents(context.Context) ([]*Document, error) {
	return []*Document{document, document.Next}, nil
}

func (q query) StrictDocuments(ctx context.Context) ([]*Document, error) { return q.Documents(ctx) }

func (query) Secret(context.Context) (*Secret, error) { return secret, nil }

func (query) Node(context.Context) (Node, error) { return secret, nil }

func (query) Nodes(context.Context) ([]Node, error) { return []Node{document, secret}, nil }

func (query) Search(context.Context) ([]SearchResult, error) {
	return []SearchResult{document, secret, report}, nil
}

func (query) Level(context.Context) (*Level, error) { return new(LevelHigh), nil }

func (query) Report(context.Context) (*Report, error) { return report, nil }

func (query) Find(context.Context, *Filter, []Level) (*string, error) { return &text, nil }

func (mutation) Write(context.Context, *Filter) (*string, error) { return &text, nil }

func (mutation) Erase(context.Context) (*string, error) { return &text, nil }

func (mutation) Create(context.Context) (*Document, error) { return document, nil }

func (mutation) CreateNode(context.Context) (Node, error) { return secret, nil }
