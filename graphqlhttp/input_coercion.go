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

// inputCoercion is a gqlgen extension that rejects values that GraphQL's input coercion forbids but
// gqlparser v2.5.37 accepts: see Config.DisableInputCoercion.
type inputCoercion struct{ schema *ast.Schema }

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = &inputCoercion{}

// ExtensionName returns the extension's name for gqlgen.
func (*inputCoercion) ExtensionName() string { return "InputCoercion" }

// Validate stores the schema. gqlgen calls it once, in Use.
func (c *inputCoercion) Validate(schema graphql.ExecutableSchema) error {
	c.schema = schema.Schema()
	return nil
}

// MutateOperationContext checks the operation's values; it changes nothing. Its errors have the
// code BAD_USER_INPUT.
func (c *inputCoercion) MutateOperationContext(_ context.Context,
	request *graphql.OperationContext) *gqlerror.Error {
	var err *gqlerror.Error
	v := visitor{onValue: func(value *ast.Value) {
		switch {
		case err != nil:
		case isForbiddenNull(value, request.Variables):
			err = badVariableError(request.Operation, value.Raw)
		case !literalFits(value):
			err = withPosition(value.Position,
				apierror.New(apierror.CodeBadUserInput, "",
					"Request malformed! A value doesn't fit the type of its argument"))
		}
	}}
	v.visitOperation(request.Operation)
	if err != nil {
		return err
	}
	for _, variable := range request.Operation.VariableDefinitions {
		value, ok := request.Variables[variable.Variable]
		if ok && !c.valueFits(variable.Type, reflect.ValueOf(value)) {
			return badVariableError(request.Operation, variable.Variable)
		}
	}
	return nil
}

// isForbiddenNull reports whether a value is a null variable in a non-null position. Validation
// allows a nullable variable in such a position if the variable has a default (section 5.8.5).
func isForbiddenNull(value *ast.Value, variables map[string]any) bool {
	if value.Kind != ast.Variable || value.ExpectedType == nil || !value.ExpectedType.NonNull {
		return false
	}
	variable, ok := variables[value.Raw]
	return ok && variable == nil
}

// literalFits reports whether a literal fits its type: a number must be in range, and an object
// must be where the schema has an object or a custom scalar.
func literalFits(value *ast.Value) bool {
	switch value.Kind {
	case ast.IntValue:
		bits := 64
		if value.Definition != nil && value.Definition.Name == "Int" {
			bits = 32
		}
		n, err := strconv.ParseInt(value.Raw, 10, bits)
		// gqlparser would turn an ID of -0 into 0.
		return err == nil && (value.Definition == nil || value.Definition.Name != "ID" ||
			strconv.FormatInt(n, 10) == value.Raw)
	case ast.FloatValue:
		_, err := strconv.ParseFloat(value.Raw, 64)
		return err == nil
	case ast.ObjectValue:
		definition := value.Definition
		return definition == nil || definition.Kind == ast.InputObject ||
			definition.Kind == ast.Scalar && !isSpecifiedScalar(definition.Name)
	}
	return true
}

// isSpecifiedScalar reports whether name is a scalar of the GraphQL specification. The flag BuiltIn
// is also set for the scalars of gqlgen's federation plugin, such as _Any.
func isSpecifiedScalar(name string) bool {
	switch name {
	case "Int", "Float", "String", "Boolean", "ID":
		return true
	}
	return false
}

// valueFits reports whether a variable's value fits its type. gqlparser has already checked the
// value's structure.
func (c *inputCoercion) valueFits(typ *ast.Type, value reflect.Value) bool {
	for value.IsValid() && (value.Kind() == reflect.Interface || value.Kind() == reflect.Pointer) {
		value = value.Elem()
	}
	if !value.IsValid() { // null
		return true
	}
	if typ.Elem != nil {
		if value.Kind() != reflect.Slice { // a single value stands for a list of one
			return c.valueFits(typ.Elem, value)
		}
		for i := range value.Len() {
			if !c.valueFits(typ.Elem, value.Index(i)) {
				return false
			}
		}
		return true
	}
	switch typ.NamedType {
	case "Int":
		return fitsInt(value)
	case "Float":
		return fitsFloat(value)
	}
	definition := c.schema.Types[typ.NamedType]
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
			!c.valueFits(field.Type, member) {
			return false
		}
	}
	return true
}

func fitsInt(value reflect.Value) bool {
	return value.CanInt() && math.MinInt32 <= value.Int() && value.Int() <= math.MaxInt32
}

func fitsFloat(value reflect.Value) bool { return value.CanInt() || value.CanFloat() }
