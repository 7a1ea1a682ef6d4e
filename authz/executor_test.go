package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// A testExecutor executes operations on any schema, without generated code. As in gqlgen's code,
// each field runs through the operation's ResolverMiddleware. The value of a scalar is "text", and
// a list has two items. If a field returns an interface or a union, the type of the object depends
// on the path and on typeSeed.
type testExecutor struct {
	schema   *ast.Schema
	typeSeed uint64

	ran []string // the paths of the fields that ran, such as nodes.0.id
}

var _ graphql.ExecutableSchema = (*testExecutor)(nil)

func (e *testExecutor) Schema() *ast.Schema { return e.schema }

func (*testExecutor) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (e *testExecutor) Exec(ctx context.Context) graphql.ResponseHandler {
	opCtx := graphql.GetOperationContext(ctx)
	root := e.schema.Query
	if opCtx.Operation.Operation == ast.Mutation {
		root = e.schema.Mutation
	}
	return graphql.OneShot(func() *graphql.Response {
		ctx := graphql.WithResponseContext(ctx, graphql.DefaultErrorPresenter,
			graphql.DefaultRecover)
		var data bytes.Buffer
		if object, ok := e.object(ctx, root, opCtx.Operation.SelectionSet, ""); ok {
			json.NewEncoder(&data).Encode(object)
		} else {
			data.WriteString("null")
		}
		return &graphql.Response{Data: data.Bytes(), Errors: graphql.GetErrors(ctx)}
	}())
}

// object returns an object of a type, or false if a null takes its place.
func (e *testExecutor) object(ctx context.Context, typ *ast.Definition, set ast.SelectionSet,
	path string) (map[string]any, bool) {
	satisfies := []string{typ.Name}
	for _, other := range e.schema.Types {
		if other.IsAbstractType() && slices.Contains(e.possibleTypes(other.Name), typ.Name) {
			satisfies = append(satisfies, other.Name)
		}
	}
	object := map[string]any{}
	whole := true
	for _, field := range graphql.CollectFields(graphql.GetOperationContext(ctx), set, satisfies) {
		if field.Name == "__typename" {
			object[field.Alias] = typ.Name
			continue
		}
		definition := typ.Fields.ForName(field.Name)
		path := strings.TrimPrefix(path+"."+field.Alias, ".")
		fieldCtx := graphql.WithFieldContext(ctx,
			&graphql.FieldContext{Object: typ.Name, Field: field})
		_, err := graphql.GetOperationContext(ctx).ResolverMiddleware(fieldCtx,
			func(context.Context) (any, error) {
				e.ran = append(e.ran, path)
				return nil, nil
			})
		var value any
		ok := !definition.Type.NonNull
		if err != nil {
			graphql.AddError(fieldCtx, err)
		} else {
			value, ok = e.value(fieldCtx, definition.Type, field.Selections, path)
		}
		whole = whole && ok
		object[field.Alias] = value
	}
	return object, whole
}

// value returns a value of a type, or false if a null takes the place of the object that contains
// the value.
func (e *testExecutor) value(ctx context.Context, typ *ast.Type, set ast.SelectionSet,
	path string) (any, bool) {
	if typ.Elem != nil {
		list := make([]any, 2)
		whole := true
		for i := range list {
			item, ok := e.value(ctx, typ.Elem, set, fmt.Sprint(path, ".", i))
			list[i], whole = item, whole && ok
		}
		if !whole {
			return nil, !typ.NonNull
		}
		return list, true
	}
	definition := e.schema.Types[typ.NamedType]
	if !definition.IsCompositeType() {
		return "text", true
	}
	object, ok := e.object(ctx, e.objectType(typ.NamedType, path), set, path)
	if !ok {
		return nil, !typ.NonNull
	}
	return object, true
}

// objectType returns the object type at a path, if the field there returns the type name.
func (e *testExecutor) objectType(name, path string) *ast.Definition {
	hash := fnv.New64a()
	fmt.Fprint(hash, e.typeSeed, path)
	objects := e.possibleTypes(name)
	return e.schema.Types[objects[hash.Sum64()%uint64(len(objects))]]
}

// possibleTypes returns the object types that an object of a type may have, sorted.
func (e *testExecutor) possibleTypes(name string) []string {
	var names []string
	for _, definition := range e.schema.Types {
		if definition.Kind == ast.Object && (definition.Name == name ||
			slices.Contains(definition.Interfaces, name) ||
			slices.Contains(e.schema.Types[name].Types, definition.Name)) {
			names = append(names, definition.Name)
		}
	}
	slices.Sort(names)
	return names
}
