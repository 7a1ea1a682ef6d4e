package authz

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/identity"
)

// A reference executes an operation in a simple, slow way: for each object, it decides about each
// field from the directives in the schema.
type reference struct {
	*testExecutor
	doc  *ast.QueryDocument
	vars map[string]any
	user *identity.User // nil if anonymous

	ran     []string // the paths of the fields that should run
	denials int      // the number of denied fields
	// invalid is set if two fields with one response key have different arguments. gqlparser
	// v2.5.37 doesn't find all of these operations.
	invalid bool
}

// execute returns the data of the response to an operation.
func (r *reference) execute(operation *ast.OperationDefinition) any {
	root := r.schema.Query
	if operation.Operation == ast.Mutation {
		root = r.schema.Mutation
	}
	data, ok := r.object(root.Name, []ast.SelectionSet{operation.SelectionSet}, "")
	if !ok {
		return nil
	}
	return data
}

// A mergedField is a field of a response, merged from all selections with its response key.
type mergedField struct {
	*ast.Field // the first selection
	sets       []ast.SelectionSet
}

// collect returns the fields of an object of a type, by response key.
func (r *reference) collect(object string, sets []ast.SelectionSet) map[string]*mergedField {
	fields := map[string]*mergedField{}
	for _, set := range sets {
		r.collectInto(fields, object, set)
	}
	return fields
}

func (r *reference) collectInto(fields map[string]*mergedField, object string,
	set ast.SelectionSet) {
	for _, selection := range set {
		var directives ast.DirectiveList
		condition := object
		var inner ast.SelectionSet
		switch selection := selection.(type) {
		case *ast.Field:
			if r.skips(selection.Directives) {
				continue
			}
			if fields[selection.Alias] == nil {
				fields[selection.Alias] = &mergedField{Field: selection}
			}
			merged := fields[selection.Alias]
			r.invalid = r.invalid || argumentsText(merged.Field) != argumentsText(selection)
			merged.sets = append(merged.sets, selection.SelectionSet)
			continue
		case *ast.InlineFragment:
			directives, inner = selection.Directives, selection.SelectionSet
			if selection.TypeCondition != "" {
				condition = selection.TypeCondition
			}
		case *ast.FragmentSpread:
			fragment := r.doc.Fragments.ForName(selection.Name)
			directives, inner = selection.Directives, fragment.SelectionSet
			condition = fragment.TypeCondition
		}
		if !r.skips(directives) && slices.Contains(r.possibleTypes(condition), object) {
			r.collectInto(fields, object, inner)
		}
	}
}

// argumentsText returns the arguments of a field as text.
func argumentsText(field *ast.Field) string {
	text := ""
	for _, arg := range field.Arguments {
		text += arg.Name + ":" + arg.Value.String() + " "
	}
	return text
}

// skips reports whether @skip or @include leaves out a selection with these directives.
func (r *reference) skips(directives ast.DirectiveList) bool {
	for _, directive := range directives {
		condition := directive.Arguments[0].Value
		value := condition.Raw == "true"
		if condition.Kind == ast.Variable {
			value = r.vars[condition.Raw] == true
		}
		if value == (directive.Name == "skip") {
			return true
		}
	}
	return false
}

// object returns an object of the response, or false if it becomes null.
func (r *reference) object(object string, sets []ast.SelectionSet, path string) (any, bool) {
	values := map[string]any{}
	whole := true
	for key, field := range r.collect(object, sets) {
		if field.Name == "__typename" {
			values[key] = object
			continue
		}
		typ := r.schema.Types[object].Fields.ForName(field.Name).Type
		if r.isDenied(object, field.Field) {
			r.denials++
			values[key] = nil
			whole = whole && !typ.NonNull
			continue
		}
		path := strings.TrimPrefix(path+"."+key, ".")
		r.ran = append(r.ran, path)
		value, ok := r.value(typ, field.sets, path)
		values[key] = value
		whole = whole && ok
	}
	return values, whole
}

// value returns a value of the response, or false if the object that contains the value becomes
// null.
func (r *reference) value(typ *ast.Type, sets []ast.SelectionSet, path string) (any, bool) {
	var value any = "text"
	whole := true
	switch {
	case typ.Elem != nil:
		first, ok1 := r.value(typ.Elem, sets, path+".0")
		second, ok2 := r.value(typ.Elem, sets, path+".1")
		value, whole = []any{first, second}, ok1 && ok2
	case r.schema.Types[typ.NamedType].IsCompositeType():
		value, whole = r.object(r.objectType(typ.NamedType, path).Name, sets, path)
	}
	if !whole {
		return nil, !typ.NonNull
	}
	return value, true
}

// isDenied reports whether the user may not have a field of an object type.
func (r *reference) isDenied(object string, field *ast.Field) bool {
	definition := r.schema.Types[object].Fields.ForName(field.Name)
	lists := []ast.DirectiveList{definition.Directives}
	for _, typ := range []string{object, definition.Type.Name()} {
		lists = append(lists, r.schema.Types[typ].Directives)
		for _, super := range r.schema.Types[typ].Interfaces {
			lists = append(lists, r.schema.Types[super].Directives)
			if inherited := r.schema.Types[super].Fields.ForName(field.Name); typ == object &&
				inherited != nil {
				lists = append(lists, inherited.Directives)
			}
		}
	}
	isRoot := object == "Query" || object == "Mutation"
	if isRoot && r.user == nil { // by Config.Default
		return true
	}
	for _, list := range lists {
		if r.denies(list) {
			return true
		}
	}
	for _, arg := range field.Arguments {
		typ := definition.Arguments.ForName(arg.Name).Type
		value, ok := r.input(arg.Value)
		if ok && r.deniesInput(typ, value) {
			return true
		}
	}
	return false
}

// denies reports whether one of the rules among directives denies the user.
func (r *reference) denies(directives ast.DirectiveList) bool {
	for _, directive := range directives {
		if r.user == nil {
			return true
		}
		if directive.Name == "hasRole" {
			role := directive.Arguments[0].Value.Children[0].Value.Raw
			if !slices.Contains(r.user.RealmRoles, role) {
				return true
			}
		}
	}
	return false
}

// input returns the value that the client sends, or false if it sends none.
func (r *reference) input(value *ast.Value) (any, bool) {
	switch value.Kind {
	case ast.Variable:
		sent, ok := r.vars[value.Raw]
		return sent, ok
	case ast.ObjectValue:
		object := map[string]any{}
		for _, child := range value.Children {
			if item, ok := r.input(child.Value); ok {
				object[child.Name] = item
			}
		}
		return object, true
	case ast.ListValue:
		list := []any{}
		for _, child := range value.Children {
			item, _ := r.input(child.Value)
			list = append(list, item)
		}
		return list, true
	case ast.NullValue:
		return nil, true
	}
	return value.Raw, true
}

// deniesInput reports whether a rule on an input type, an enum or an input field denies a value.
func (r *reference) deniesInput(typ *ast.Type, value any) bool {
	var sent any // with lists and objects as encoding/json decodes them
	json.Unmarshal([]byte(toJSON(value)), &sent)
	if list, ok := sent.([]any); ok {
		if typ.Elem != nil {
			typ = typ.Elem
		}
		return slices.ContainsFunc(list, func(item any) bool { return r.deniesInput(typ, item) })
	}
	if sent == nil {
		return false
	}
	definition := r.schema.Types[typ.Name()]
	if r.denies(definition.Directives) {
		return true
	}
	if object, ok := sent.(map[string]any); ok {
		for name, item := range object {
			field := definition.Fields.ForName(name)
			if r.denies(field.Directives) || r.deniesInput(field.Type, item) {
				return true
			}
		}
	}
	return false
}

// someDenied reports whether a field is denied for at least one possible type of the objects.
func (r *reference) someDenied(objects []string, sets []ast.SelectionSet) bool {
	for _, object := range objects {
		for _, field := range r.collect(object, sets) {
			if field.Name == "__typename" {
				continue
			}
			typ := r.schema.Types[object].Fields.ForName(field.Name).Type.Name()
			if r.isDenied(object, field.Field) || r.schema.Types[typ].IsCompositeType() &&
				r.someDenied(r.possibleTypes(typ), field.sets) {
				return true
			}
		}
	}
	return false
}

// mustBeNull reports whether each of these types has a denied field that makes its objects null. If
// sameField is set, the field has to be the same for all types.
func (r *reference) mustBeNull(objects []string, sets []ast.SelectionSet, sameField bool) bool {
	count := map[string]int{} // the number of types that a field makes null, by response key
	for _, object := range objects {
		isNull := false
		for key, field := range r.collect(object, sets) {
			if field.Name == "__typename" {
				continue
			}
			typ := r.schema.Types[object].Fields.ForName(field.Name).Type
			passesNull := typ.NonNull
			for elem := typ.Elem; elem != nil; elem = elem.Elem {
				passesNull = passesNull && elem.NonNull
			}
			if typ.NonNull && r.isDenied(object, field.Field) ||
				passesNull && r.schema.Types[typ.Name()].IsCompositeType() &&
					r.mustBeNull(r.possibleTypes(typ.Name()), field.sets, sameField) {
				isNull = true
				count[key]++
			}
		}
		if !isNull {
			return false
		}
	}
	for _, n := range count {
		if n == len(objects) {
			return true
		}
	}
	return !sameField
}
