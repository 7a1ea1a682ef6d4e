package authz_test

import (
	"log"
	"os"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/authz"
)

// This example prints who may have each field of a schema.
func ExamplePolicy() {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: authz.Schema() + `
		type Query {
			products: [String!]! @public
			me: ID @auth
			reports: [Report!]
		}
		type Mutation {
			publish: Boolean @hasScope(anyOf: ["notes:write"])
		}
		type Report @hasRole(anyOf: ["admin"]) {
			text: String
		}`})
	table, err := authz.Policy(schema, authz.Config{})
	if err != nil {
		log.Fatal(err)
	}
	table.WriteTo(os.Stdout)
	// Output:
	// Mutation.publish  @hasScope(anyOf: ["notes:write"])
	// Query.products    @public
	// Query.me          @auth
	// Query.reports     @hasRole(anyOf: ["admin"])  from Report
	// Report.text       @hasRole(anyOf: ["admin"])  from Report
}
