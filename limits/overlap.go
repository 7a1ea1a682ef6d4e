package limits

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// maxSteps bounds the case in which groups aren't linear: a field of an interface or union is
// compared again for each object type that is selected next to it, on every level.
const maxSteps = 50_000

// overlappingFieldsCanBeMerged is the rule of that name (GraphQL specification, October 2021,
// section 5.3.2). It groups the fields of merged selection sets by response name. All fields of a
// group must have the same shape, so each is compared with the first. Fields that can apply to the
// same object must also have the same name and arguments; their selection sets are merged in turn.
// The idea is Simon Adameit's.
func overlappingFieldsCanBeMerged(observers *core.Events, addError core.AddErrFunc) {
	m := overlap{addError: addError, visited: map[*ast.FragmentDefinition]bool{},
		reported: map[*ast.Field]bool{}}
	m.observe(observers)
}

func (m *overlap) observe(observers *core.Events) {
	observers.OnOperation(func(walker *core.Walker, operation *ast.OperationDefinition) {
		m.schema = walker.Schema
		m.merge([]ast.SelectionSet{operation.SelectionSet}, false)
	})
	observers.OnFragment(func(walker *core.Walker, fragment *ast.FragmentDefinition) {
		// A visited fragment was checked where it is spread, merged with other fields.
		if !m.visited[fragment] {
			m.schema = walker.Schema
			m.merge([]ast.SelectionSet{fragment.SelectionSet}, false)
		}
	})
}

// An overlap is the state of the rule for one document.
type overlap struct {
	schema   *ast.Schema
	addError core.AddErrFunc
	visited  map[*ast.FragmentDefinition]bool
	reported map[*ast.Field]bool // each field is reported once
	steps    int
}

// merge reports the conflicts between selection sets that are merged in the response. With
// shapeOnly, no two fields can apply to the same object.
func (m *overlap) merge(sets []ast.SelectionSet, shapeOnly bool) {
	if len(sets) == 0 {
		return
	}
	c := collector{overlap: m}
	for _, set := range sets {
		c.collect(set)
	}
	for _, fields := range c.groups {
		if m.steps > maxSteps {
			return
		}
		if shapeOnly {
			m.checkShape(fields)
			m.merge(children(fields), true)
			continue
		}
		parts := m.byConcreteType(fields)
		for _, part := range parts {
			m.checkSameField(part) // first, since its errors say more
		}
		m.checkShape(fields)
		if len(parts) > 1 {
			m.merge(children(fields), true)
		}
		for _, part := range parts {
			m.merge(children(part), false)
		}
	}
}

// report adds an error for a field, unless it has one.
func (m *overlap) report(field *ast.Field, conflict string) {
	if m.reported[field] {
		return
	}
	m.reported[field] = true
	m.addError(
		core.Message(
			`Fields "%s" conflict because %s. Use different aliases on the fields to fetch both `+
				`if this was intentional.`, field.Alias, conflict),
		core.At(field.Position),
	)
}

// step counts n steps and reports whether the number of steps is still within maxSteps. If they run
// out, it adds an error at the selection.
func (m *overlap) step(n int, selection ast.Selection) bool {
	if m.steps > maxSteps {
		return false
	}
	if m.steps += n; m.steps > maxSteps {
		m.addError(core.Message("The document merges too many fields of interfaces or unions."),
			core.At(selection.GetPosition()))
		return false
	}
	return true
}

// A collector groups fields by response name.
type collector struct {
	overlap *overlap
	groups  [][]*ast.Field // in document order
	index   map[string]int // in groups, by response name
	seen    map[*ast.FragmentDefinition]bool
}

// collect adds the fields of a selection set, including those in fragments.
func (c *collector) collect(set ast.SelectionSet) {
	for _, selection := range set {
		if !c.overlap.step(1, selection) {
			return
		}
		switch selection := selection.(type) {
		case *ast.Field:
			if selection.ObjectDefinition == nil {
				continue // of an unknown type, which another rule reports
			}
			i, found := c.index[selection.Alias]
			if !found {
				if c.index == nil {
					c.index = make(map[string]int, len(set))
				}
				i = len(c.groups)
				c.index[selection.Alias] = i
				c.groups = append(c.groups, nil)
			}
			c.groups[i] = append(c.groups[i], selection)
		case *ast.InlineFragment:
			c.collect(selection.SelectionSet)
		case *ast.FragmentSpread:
			fragment := selection.Definition
			if fragment == nil || c.seen[fragment] {
				continue
			}
			if c.seen == nil {
				c.seen = map[*ast.FragmentDefinition]bool{}
			}
			c.seen[fragment] = true
			c.overlap.visited[fragment] = true
			c.collect(fragment.SelectionSet)
		}
	}
}

// children returns the selection sets of fields, except for empty ones.
func children(fields []*ast.Field) []ast.SelectionSet {
	sets := make([]ast.SelectionSet, 0, len(fields))
	for _, field := range fields {
		if len(field.SelectionSet) > 0 {
			sets = append(sets, field.SelectionSet)
		}
	}
	return sets
}

// byConcreteType splits fields into parts that can apply to the same object: the fields of each
// object type, together with those of interfaces and unions. It returns nil if the steps run out.
func (m *overlap) byConcreteType(fields []*ast.Field) [][]*ast.Field {
	var concrete []string
	for _, field := range fields {
		parent := field.ObjectDefinition
		if parent.Kind == ast.Object &&
			(len(concrete) == 0 || concrete[len(concrete)-1] != parent.Name) {
			concrete = append(concrete, parent.Name)
		}
	}
	if len(concrete) < 2 {
		return [][]*ast.Field{fields}
	}
	var parts [][]*ast.Field
	index := map[string]int{}
	for _, name := range concrete {
		if _, found := index[name]; !found {
			index[name] = len(parts)
			parts = append(parts, nil)
		}
	}
	for _, field := range fields {
		if parent := field.ObjectDefinition; parent.Kind == ast.Object {
			i := index[parent.Name]
			parts[i] = append(parts[i], field)
			continue
		}
		if !m.step(len(parts), field) {
			return nil
		}
		for i := range parts {
			parts[i] = append(parts[i], field)
		}
	}
	return parts
}

// checkSameField reports fields whose name or arguments differ from those of the first.
func (m *overlap) checkSameField(fields []*ast.Field) {
	first := fields[0]
	var arguments map[string]*ast.Value
	for _, field := range fields[1:] {
		if field.Name != first.Name {
			m.report(field,
				fmt.Sprintf(`"%s" and "%s" are different fields`, first.Name, field.Name))
			continue
		}
		if arguments == nil {
			arguments = make(map[string]*ast.Value, len(first.Arguments))
			for _, argument := range first.Arguments {
				arguments[argument.Name] = argument.Value
			}
		}
		equal := len(field.Arguments) == len(first.Arguments)
		for _, argument := range field.Arguments {
			equal = equal && equalValues(arguments[argument.Name], argument.Value)
		}
		if !equal {
			m.report(field, "they have differing arguments")
		}
	}
}

// equalValues reports whether two values are equal. The order of an object's members doesn't
// matter.
func equalValues(a, b *ast.Value) bool {
	if a == nil || b == nil || a.Kind != b.Kind || a.Raw != b.Raw ||
		len(a.Children) != len(b.Children) {
		return false
	}
	var members map[string]*ast.Value
	for i, child := range b.Children {
		other := a.Children[i]
		if other.Name == child.Name { // items have no name
			if !equalValues(other.Value, child.Value) {
				return false
			}
			continue
		}
		if members == nil {
			members = make(map[string]*ast.Value, len(a.Children))
			for _, member := range a.Children {
				members[member.Name] = member.Value
			}
		}
		if !equalValues(members[child.Name], child.Value) {
			return false
		}
	}
	return true
}

// checkShape reports fields whose types conflict with that of the first.
func (m *overlap) checkShape(fields []*ast.Field) {
	first := fields[0]
	for _, field := range fields[1:] {
		if conflict := m.conflict(first, field); conflict != "" {
			m.report(field, conflict)
		}
	}
}

// conflict returns why the types of two fields conflict, or "" if they don't.
func (m *overlap) conflict(a, b *ast.Field) string {
	if a.Definition == nil || b.Definition == nil || a.Definition == b.Definition {
		return ""
	}
	for x, y := a.Definition.Type, b.Definition.Type; ; x, y = x.Elem, y.Elem {
		if x.NonNull == y.NonNull && x.Elem != nil && y.Elem != nil {
			continue
		}
		if x.NonNull == y.NonNull && x.Elem == nil && y.Elem == nil {
			s, t := m.schema.Types[x.NamedType], m.schema.Types[y.NamedType]
			if s == t || s != nil && t != nil && !s.IsLeafType() && !t.IsLeafType() {
				return ""
			}
		}
		return fmt.Sprintf(`they return conflicting types "%s" and "%s"`,
			a.Definition.Type.String(), b.Definition.Type.String())
	}
}
