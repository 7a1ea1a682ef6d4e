// Package testapi is a GraphQL API that uses every guard of package authz, for tests. gqlgen
// generates code from schema.graphqls and fields.graphqls.
package testapi

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
)

//go:generate go tool gqlgen generate

// New returns the executable schema. Its resolvers return fixed values. gqlgen calls no directive
// (gqlgen.yml), so authz.Install has to enforce every guard.
func New() graphql.ExecutableSchema { return NewExecutableSchema(Config{Resolvers: resolver{}}) }

// WithObserver returns a context whose operations call observe each time that they resolve an
// entity or a Card. Calls may be concurrent.
func WithObserver(ctx context.Context, observe func()) context.Context {
	return context.WithValue(ctx, observerKey{}, observe)
}

type observerKey struct{}

// notifyObserver calls the function of WithObserver, if there is one.
func notifyObserver(ctx context.Context) {
	if observe, ok := ctx.Value(observerKey{}).(func()); ok {
		observe()
	}
}

type resolver struct{}

func (resolver) Query() QueryResolver       { return query{} }
func (resolver) Mutation() MutationResolver { return mutation{} }
func (resolver) Entity() EntityResolver     { return entity{} }

type query struct{}

type mutation struct{}

type entity struct{}

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

func (entity) FindAuthEntityByID(ctx context.Context, id string) (*AuthEntity, error) {
	notifyObserver(ctx)
	return &AuthEntity{ID: id}, nil
}

func (entity) FindAnyRoleEntityByID(ctx context.Context, id string) (*AnyRoleEntity, error) {
	notifyObserver(ctx)
	return &AnyRoleEntity{ID: id}, nil
}

func (entity) FindAllRolesEntityByID(ctx context.Context, id string) (*AllRolesEntity, error) {
	notifyObserver(ctx)
	return &AllRolesEntity{ID: id}, nil
}

func (entity) FindClientRoleEntityByID(ctx context.Context, id string) (*ClientRoleEntity, error) {
	notifyObserver(ctx)
	return &ClientRoleEntity{ID: id}, nil
}

func (entity) FindAnyScopeEntityByID(ctx context.Context, id string) (*AnyScopeEntity, error) {
	notifyObserver(ctx)
	return &AnyScopeEntity{ID: id}, nil
}

func (entity) FindAllScopesEntityByID(ctx context.Context, id string) (*AllScopesEntity, error) {
	notifyObserver(ctx)
	return &AllScopesEntity{ID: id}, nil
}

func (entity) FindScopeListsEntityByID(ctx context.Context, id string) (*ScopeListsEntity, error) {
	notifyObserver(ctx)
	return &ScopeListsEntity{ID: id}, nil
}

func (entity) FindGroupEntityByID(ctx context.Context, id string) (*GroupEntity, error) {
	notifyObserver(ctx)
	return &GroupEntity{ID: id}, nil
}

func (entity) FindSubgroupEntityByID(ctx context.Context, id string) (*SubgroupEntity, error) {
	notifyObserver(ctx)
	return &SubgroupEntity{ID: id}, nil
}

func (entity) FindOrganizationEntityByID(ctx context.Context,
	id string) (*OrganizationEntity, error) {
	notifyObserver(ctx)
	return &OrganizationEntity{ID: id}, nil
}

func (entity) FindClaimEntityByID(ctx context.Context, id string) (*ClaimEntity, error) {
	notifyObserver(ctx)
	return &ClaimEntity{ID: id}, nil
}

func (entity) FindNotImpersonatedEntityByID(ctx context.Context,
	id string) (*NotImpersonatedEntity, error) {
	notifyObserver(ctx)
	return &NotImpersonatedEntity{ID: id}, nil
}

func (entity) FindStrongEntityByID(ctx context.Context, id string) (*StrongEntity, error) {
	notifyObserver(ctx)
	return &StrongEntity{ID: id}, nil
}

func (entity) FindRecentEntityByID(ctx context.Context, id string) (*RecentEntity, error) {
	notifyObserver(ctx)
	return &RecentEntity{ID: id}, nil
}

func (entity) FindBothEntityByID(ctx context.Context, id string) (*BothEntity, error) {
	notifyObserver(ctx)
	return &BothEntity{ID: id}, nil
}

func (entity) FindOrderByID(ctx context.Context, id string) (*Order, error) {
	notifyObserver(ctx)
	return &Order{ID: id, Total: &text}, nil
}
