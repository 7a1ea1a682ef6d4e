package limits

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// maxOverlapSteps bounds the steps of an overlapChecker. Each selection that it visits is a step.
// On every level, a field of an interface or union is visited again for each object type that is
// selected next to it, so the steps can grow exponentially with the document's depth.
const maxOverlapSteps = 50_000

// overlappingFieldsCanBeMerged is the rule of that name (GraphQL specification, October 2021,
// section 5.3.2). It groups the fields of merged selection sets by response name. All fields of a
// group must have the same shape, so each one is compared with the first. Fields that can apply to
// the same object must also have the same name and arguments; their selection sets are merged in
// turn. The algorithm is Simon Adameit's.
func overlappingFieldsCanBeMerged(observers *core.Events, addError core.AddErrFunc) {
	c := overlapChecker{addError: addError, spreadFragments: map[*ast.FragmentDefinition]bool{},
		reportedFields: map[*ast.Field]bool{}}
	c.register(observers)
}

// register makes observers call c for each operation and each fragment of a document.
func (c *overlapChecker) register(observers *core.Events) {
	observers.OnOperation(func(walker *core.Walker, operation *ast.OperationDefinition) {
		c.schema = walker.Schema
		c.checkConflicts([]ast.SelectionSet{operation.SelectionSet}, false)
	})
	observers.OnFragment(func(walker *core.Walker, fragment *ast.FragmentDefinition) {
		// A used fragment was checked where it is spread, together with the fields around it.
		if !c.spreadFragments[fragment] {
			c.schema = walker.Schema
			c.checkConflicts([]ast.SelectionSet{fragment.SelectionSet}, false)
		}
	})
}

// An overlapChecker is the state of the rule for one document.
type overlapChecker struct {
	schema          *ast.Schema
	addError        core.AddErrFunc
	spreadFragments map[*ast.FragmentDefinition]bool
	reportedFields  map[*ast.Field]bool // each field is reported once
	steps           int
}

// checkConflicts reports the conflicts between selection sets whose fields have the same place in
// the response. With shapeOnly, the sets belong to different objects, and only the shapes of their
// fields must be the same.
func (c *overlapChecker) checkConflicts(sets []ast.SelectionSet, shapeOnly bool) {
	if len(sets) == 0 {
		return
	}
	g := grouper{checker: c}
	for _, set := range sets {
		g.add(set)
	}
	for _, fields := range g.groups {
		if c.steps > maxOverlapSteps {
			return
		}
		if shapeOnly {
			c.checkShape(fields)
			c.checkConflicts(childSelections(fields), true)
			continue
		}
		typeGroups := c.groupByObjectType(fields)
		for _, typeGroup := range typeGroups {
			c.checkNamesAndArguments(typeGroup) // first, since its errors are more specific
		}
		c.checkShape(fields)
		if len(typeGroups) > 1 {
			c.checkConflicts(childSelections(fields), true)
		}
		for _, typeGroup := range typeGroups {
			c.checkConflicts(childSelections(typeGroup), false)
		}
	}
}

// report adds an error for a field, unless the field already has one.
func (c *overlapChecker) report(field *ast.Field, reason string) {
	if c.reportedFields[field] {
		return
	}
	c.reportedFields[field] = true
	c.addError(
		core.Message(
			`Fields "%s" conflict because %s. Use different aliases on the fields to fetch both `+
				`if this was intentional.`, field.Alias, reason),
		core.At(field.Position),
	)
}

// countSteps counts n steps and reports whether the total is still within maxOverlapSteps. When it
// first exceeds maxOverlapSteps, countSteps adds an error at the selection.
func (c *overlapChecker) countSteps(n int, selection ast.Selection) bool {
	if c.steps > maxOverlapSteps {
		return false
	}
	if c.steps += n; c.steps > maxOverlapSteps {
		c.addError(core.Message("The document merges too many fields of interfaces or unions."),
			core.At(selection.GetPosition()))
		return false
	}
	return true
}

// A grouper groups fields by response name.
type grouper struct {
	checker       *overlapChecker
	groups        [][]*ast.Field // in document order
	groupIndex    map[string]int // by response name
	seenFragments map[*ast.FragmentDefinition]bool
}

// add adds the fields of a selection set, including those in fragments.
func (g *grouper) add(set ast.SelectionSet) {
	for _, selection := range set {
		if !g.checker.countSteps(1, selection) {
			return
		}
		switch selection := selection.(type) {
		case *ast.Field:
			if selection.ObjectDefinition == nil {
				continue // its parent type is unknown, which another rule reports
			}
			i, ok := g.groupIndex[selection.Alias]
			if !ok {
				if g.groupIndex == nil {
					g.groupIndex = make(map[string]int, len(set))
				}
				i = len(g.groups)
				g.groupIndex[selection.Alias] = i
				g.groups = append(g.groups, nil)
			}
			g.groups[i] = append(g.groups[i], selection)
		case *ast.InlineFragment:
			g.add(selection.SelectionSet)
		case *ast.FragmentSpread:
			fragment := selection.Definition
			if fragment == nil || g.seenFragments[fragment] {
				continue
			}
			if g.seenFragments == nil {
				g.seenFragments = map[*ast.FragmentDefinition]bool{}
			}
			g.seenFragments[fragment] = true
			g.checker.spreadFragments[fragment] = true
			g.add(fragment.SelectionSet)
		}
	}
}

// childSelections returns the selection sets of fields, except for empty ones.
func childSelections(fields []*ast.Field) []ast.SelectionSet {
	sets := make([]ast.SelectionSet, 0, len(fields))
	for _, field := range fields {
		if len(field.SelectionSet) > 0 {
			sets = append(sets, field.SelectionSet)
		}
	}
	return sets
}

// groupByObjectType returns, for each object type, the fields that can apply to an object of that
// type: the fields of the type, and the fields of interfaces and unions. If there are fewer than
// two object types, it returns all fields as one group. It returns nil if the steps run out.
func (c *overlapChecker) groupByObjectType(fields []*ast.Field) [][]*ast.Field {
	var objectTypes []string
	for _, field := range fields {
		parent := field.ObjectDefinition
		if parent.Kind == ast.Object &&
			(len(objectTypes) == 0 || objectTypes[len(objectTypes)-1] != parent.Name) {
			objectTypes = append(objectTypes, parent.Name)
		}
	}
	if len(objectTypes) < 2 {
		return [][]*ast.Field{fields}
	}
	var typeGroups [][]*ast.Field
	groupIndex := map[string]int{} // by object type
	for _, name := range objectTypes {
		if _, ok := groupIndex[name]; !ok {
			groupIndex[name] = len(typeGroups)
			typeGroups = append(typeGroups, nil)
		}
	}
	for _, field := range fields {
		if parent := field.ObjectDefinition; parent.Kind == ast.Object {
			i := groupIndex[parent.Name]
			typeGroups[i] = append(typeGroups[i], field)
			continue
		}
		if !c.countSteps(len(typeGroups), field) {
			return nil
		}
		for i := range typeGroups {
			typeGroups[i] = append(typeGroups[i], field)
		}
	}
	return typeGroups
}

// checkNamesAndArguments reports the fields that differ from the first field in their name or
// arguments.
func (c *overlapChecker) checkNamesAndArguments(fields []*ast.Field) {
	firstField := fields[0]
	var arguments map[string]*ast.Value
	for _, field := range fields[1:] {
		if field.Name != firstField.Name {
			c.report(field,
				fmt.Sprintf(`"%s" and "%s" are different fields`, firstField.Name, field.Name))
			continue
		}
		if arguments == nil {
			arguments = make(map[string]*ast.Value, len(firstField.Arguments))
			for _, argument := range firstField.Arguments {
				arguments[argument.Name] = argument.Value
			}
		}
		sameArguments := len(field.Arguments) == len(firstField.Arguments)
		for _, argument := range field.Arguments {
			sameArguments = sameArguments && equalValues(arguments[argument.Name], argument.Value)
		}
		if !sameArguments {
			c.report(field, "they have differing arguments")
		}
	}
}

// equalValues reports whether two values are equal. The order of an object's fields doesn't matter.
func equalValues(a, b *ast.Value) bool {
	if a == nil || b == nil || a.Kind != b.Kind || a.Raw != b.Raw ||
		len(a.Children) != len(b.Children) {
		return false
	}
	var fields map[string]*ast.Value
	for i, child := range b.Children {
		other := a.Children[i]
		if other.Name == child.Name { // list items have no name
			if !equalValues(other.Value, child.Value) {
				return false
			}
			continue
		}
		if fields == nil {
			fields = make(map[string]*ast.Value, len(a.Children))
			for _, field := range a.Children {
				fields[field.Name] = field.Value
			}
		}
		if !equalValues(fields[child.Name], child.Value) {
			return false
		}
	}
	return true
}

// checkShape reports the fields whose type conflicts with the first field's.
func (c *overlapChecker) checkShape(fields []*ast.Field) {
	firstField := fields[0]
	for _, field := range fields[1:] {
		if reason := c.describeTypeConflict(firstField, field); reason != "" {
			c.report(field, reason)
		}
	}
}

// describeTypeConflict describes the conflict between the types of two fields. It returns "" if
// there is none.
func (c *overlapChecker) describeTypeConflict(a, b *ast.Field) string {
	if a.Definition == nil || b.Definition == nil || a.Definition == b.Definition {
		return ""
	}
	for aType, bType := a.Definition.Type, b.Definition.Type; ; {
		if aType.NonNull == bType.NonNull && aType.Elem != nil && bType.Elem != nil {
			aType, bType = aType.Elem, bType.Elem
			continue
		}
		if aType.NonNull == bType.NonNull && aType.Elem == nil && bType.Elem == nil {
			aDef, bDef := c.schema.Types[aType.NamedType], c.schema.Types[bType.NamedType]
			if aDef == bDef ||
				aDef != nil && bDef != nil && !aDef.IsLeafType() && !bDef.IsLeafType() {
				return ""
			}
		}
		return fmt.Sprintf(`they return conflicting types "%s" and "%s"`,
			a.Definition.Type.String(), b.Definition.Type.String())
	}
}
