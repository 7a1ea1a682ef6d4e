package graphqlhttp

import (
	"context"
	"math"
	"reflect"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// inputCoercion is a gqlgen handler extension that holds values to GraphQL's input coercion, where
// gqlparser v2.5.37 is too generous: see Config.DisableInputCoercion.
type inputCoercion struct{ schema *ast.Schema }

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = &inputCoercion{}

// ExtensionName returns the name that gqlgen knows the extension by.
func (*inputCoercion) ExtensionName() string { return "InputCoercion" }

// Validate takes the schema. gqlgen calls it once, in Use.
func (i *inputCoercion) Validate(schema graphql.ExecutableSchema) error {
	i.schema = schema.Schema()
	return nil
}

// MutateOperationContext changes nothing. It fails with the code BAD_USER_INPUT.
func (i *inputCoercion) MutateOperationContext(_ context.Context,
	request *graphql.OperationContext) *gqlerror.Error {
	var err *gqlerror.Error
	inspect(request.Operation, visitor{value: func(value *ast.Value) {
		switch {
		case err != nil:
		case isNull(value, request.Variables):
			err = badVariable(request.Operation, value.Raw)
		case !literalFits(value):
			err = withPosition(value.Position,
				apierror.New(apierror.CodeBadUserInput, "",
					"Request malformed! A value doesn't fit the type of its argument"))
		}
	}})
	if err != nil {
		return err
	}
	for _, variable := range request.Operation.VariableDefinitions {
		value, given := request.Variables[variable.Variable]
		if given && !i.fits(variable.Type, reflect.ValueOf(value)) {
			return badVariable(request.Operation, variable.Variable)
		}
	}
	return nil
}

// isNull reports whether a value is a variable that is null, where null may not be. The validation
// lets it in when it has a default, section 5.8.5.
func isNull(value *ast.Value, variables map[string]any) bool {
	if value.Kind != ast.Variable || value.ExpectedType == nil || !value.ExpectedType.NonNull {
		return false
	}
	content, given := variables[value.Raw]
	return given && content == nil
}

// literalFits reports whether gqlparser can turn a literal into a value, of the kind that its type
// wants.
func literalFits(value *ast.Value) bool {
	switch value.Kind {
	case ast.IntValue:
		bits := 64
		if value.Definition != nil && value.Definition.Name == "Int" {
			bits = 32
		}
		n, err := strconv.ParseInt(value.Raw, 10, bits)
		// -0 as an ID
		return err == nil && (value.Definition == nil || value.Definition.Name != "ID" ||
			strconv.FormatInt(n, 10) == value.Raw)
	case ast.FloatValue:
		_, err := strconv.ParseFloat(value.Raw, 64)
		return err == nil
	case ast.ObjectValue:
		kind := value.Definition
		return kind == nil || kind.Kind == ast.InputObject ||
			kind.Kind == ast.Scalar && !kind.BuiltIn
	}
	return true
}

// fits walks a variable's value beside its type. gqlparser has seen that the two have the same
// form.
func (i *inputCoercion) fits(want *ast.Type, value reflect.Value) bool {
	for value.IsValid() && (value.Kind() == reflect.Interface || value.Kind() == reflect.Pointer) {
		value = value.Elem()
	}
	if !value.IsValid() { // null
		return true
	}
	if want.Elem != nil {
		if value.Kind() != reflect.Slice { // one item, for a list of it
			return i.fits(want.Elem, value)
		}
		for at := range value.Len() {
			if !i.fits(want.Elem, value.Index(at)) {
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
	definition := i.schema.Types[want.NamedType]
	if definition != nil && definition.Kind == ast.Enum {
		return value.Kind() == reflect.String &&
			definition.EnumValues.ForName(value.String()) != nil
	}
	if definition == nil || definition.Kind != ast.InputObject || value.Kind() != reflect.Map {
		return true
	}
	if value.MapIndex(reflect.ValueOf("__typename")).IsValid() {
		return false
	}
	for _, field := range definition.Fields {
		if member := value.MapIndex(reflect.ValueOf(field.Name)); member.IsValid() &&
			!i.fits(field.Type, member) {
			return false
		}
	}
	return true
}

func fitsInt(value reflect.Value) bool {
	return value.CanInt() && math.MinInt32 <= value.Int() && value.Int() <= math.MaxInt32
}

func fitsFloat(value reflect.Value) bool { return value.CanInt() || value.CanFloat() }
