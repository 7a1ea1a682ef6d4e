package graphqlhttp

import (
	"context"
	"math"
	"reflect"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Numbers is a gqlgen handler extension that holds numbers to GraphQL's input coercion (October 2021, sections
// 3.5.1 and 3.5.2) before anything runs: an Int has 32 bits and no fraction, a Float is finite.
//
//	server.Use(&graphqlhttp.Numbers{})
//
// gqlparser v2.5.37 lets a Float variable pass for Int, and any integer of 64 bits. gqlgen's generated code
// would refuse it when the field runs, in words that repeat the number, or panic. A server whose Int is a Go
// int64 on purpose does without Numbers. It fails with the code BAD_USER_INPUT, and never says the number.
type Numbers struct{ schema *ast.Schema }

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = &Numbers{}

// ExtensionName returns the name that gqlgen knows the extension by.
func (*Numbers) ExtensionName() string { return "Numbers" }

// Validate takes the schema. gqlgen calls it once, in Use.
func (n *Numbers) Validate(schema graphql.ExecutableSchema) error {
	n.schema = schema.Schema()
	return nil
}

// MutateOperationContext changes nothing. It fails with the code BAD_USER_INPUT.
func (n *Numbers) MutateOperationContext(_ context.Context, request *graphql.OperationContext) *gqlerror.Error {
	var fault *gqlerror.Error
	inspect(request.Operation, visitor{value: func(value *ast.Value) {
		if fault == nil && !literalFits(value) {
			fault = at(value.Position, coded("BAD_USER_INPUT", "", "Request malformed! A number doesn't fit its type"))
		}
	}})
	if fault != nil {
		return fault
	}
	for _, variable := range request.Operation.VariableDefinitions {
		value, given := request.Variables[variable.Variable]
		if given && !n.fits(variable.Type, reflect.ValueOf(value)) {
			return badVariable(request.Operation, variable.Variable)
		}
	}
	return nil
}

// literalFits tells whether gqlparser can turn a literal into a value, and an Int has at most 32 bits.
func literalFits(value *ast.Value) bool {
	switch value.Kind {
	case ast.IntValue:
		bits := 64
		if value.Definition != nil && value.Definition.Name == "Int" {
			bits = 32
		}
		_, err := strconv.ParseInt(value.Raw, 10, bits)
		return err == nil
	case ast.FloatValue:
		_, err := strconv.ParseFloat(value.Raw, 64)
		return err == nil
	}
	return true
}

// fits walks a variable's value beside its type. gqlparser has seen that the two have the same form.
func (n *Numbers) fits(want *ast.Type, value reflect.Value) bool {
	for value.IsValid() && (value.Kind() == reflect.Interface || value.Kind() == reflect.Pointer) {
		value = value.Elem()
	}
	if !value.IsValid() { // null
		return true
	}
	if want.Elem != nil {
		if value.Kind() != reflect.Slice { // one item, for a list of it
			return n.fits(want.Elem, value)
		}
		for i := range value.Len() {
			if !n.fits(want.Elem, value.Index(i)) {
				return false
			}
		}
		return true
	}
	switch want.NamedType {
	case "Int":
		return fitsInt(value)
	case "Float":
		return fitsFloat(value)
	}
	definition := n.schema.Types[want.NamedType]
	if definition == nil || definition.Kind != ast.InputObject || value.Kind() != reflect.Map {
		return true
	}
	for _, field := range definition.Fields {
		if member := value.MapIndex(reflect.ValueOf(field.Name)); member.IsValid() && !n.fits(field.Type, member) {
			return false
		}
	}
	return true
}

func fitsInt(value reflect.Value) bool {
	switch {
	case value.CanInt():
		return math.MinInt32 <= value.Int() && value.Int() <= math.MaxInt32
	case value.Kind() == reflect.String: // as gqlparser and gqlgen take it
		_, err := strconv.ParseInt(value.String(), 10, 32)
		return err == nil
	}
	return false
}

func fitsFloat(value reflect.Value) bool {
	if value.Kind() != reflect.String {
		return value.CanInt() || value.CanFloat()
	}
	f, err := strconv.ParseFloat(value.String(), 64)
	return err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}
