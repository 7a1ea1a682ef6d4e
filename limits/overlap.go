package limits

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// maxSteps bounds the one case in which groups aren't linear: fields of interfaces or unions that
// are merged with those of several of their types, again for each type, and level by level.
const maxSteps = 50_000

// overlappingFieldsCanBeMerged is the rule of that name (GraphQL specification, October 2021,
// section 5.3.2) in groups: all fields of one response name in one place must have one shape, so it
// is enough to compare each with the first; those that can meet in one object must be the same
// field with the same arguments, and what is below them is one place again. The idea is Simon
// Adameit's.
func overlappingFieldsCanBeMerged(observers *core.Events, addError core.AddErrFunc) {
	m := overlap{addError: addError, visited: map[*ast.FragmentDefinition]bool{},
		reported: map[*ast.Field]bool{}}
	m.observe(observers)
}

func (m *overlap) observe(observers *core.Events) {
	observers.OnOperation(func(walker *core.Walker, operation *ast.OperationDefinition) {
		m.schema = walker.Schema
		m.place([]ast.SelectionSet{operation.SelectionSet}, false)
	})
	observers.OnFragment(func(walker *core.Walker, fragment *ast.FragmentDefinition) {
		// else an operation has seen it, in a place where it is merged with more
		if !m.visited[fragment] {
			m.schema = walker.Schema
			m.place([]ast.SelectionSet{fragment.SelectionSet}, false)
		}
	})
}

type overlap struct {
	schema   *ast.Schema
	addError core.AddErrFunc
	visited  map[*ast.FragmentDefinition]bool
	reported map[*ast.Field]bool // a conflict is reported once
	steps    int
}

// place checks all that is selected in one place of the response. With shapeOnly, the fields are
// known never to meet in one object.
func (m *overlap) place(sets []ast.SelectionSet, shapeOnly bool) {
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
			m.sameShape(fields)
			m.place(children(fields), true)
			continue
		}
		parts := m.byConcreteType(fields)
		for _, part := range parts {
			m.sameField(part) // first, since it says more
		}
		m.sameShape(fields)
		if len(parts) > 1 {
			m.place(children(fields), true)
		}
		for _, part := range parts {
			m.place(children(part), false)
		}
	}
}

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

// step counts some steps at a selection, and reports whether there are any left.
func (m *overlap) step(n int, at ast.Selection) bool {
	if m.steps > maxSteps {
		return false
	}
	if m.steps += n; m.steps > maxSteps {
		m.addError(core.Message("The document merges too many fields of interfaces or unions."),
			core.At(at.GetPosition()))
		return false
	}
	return true
}

type collector struct {
	overlap *overlap
	groups  [][]*ast.Field // of one response name each, in the order of the document
	index   map[string]int // where in groups
	seen    map[*ast.FragmentDefinition]bool
}

func (c *collector) collect(set ast.SelectionSet) {
	for _, selection := range set {
		if !c.overlap.step(1, selection) {
			return
		}
		switch selection := selection.(type) {
		case *ast.Field:
			if selection.ObjectDefinition == nil {
				continue // of an unknown type, which is an error already
			}
			at, found := c.index[selection.Alias]
			if !found {
				if c.index == nil {
					c.index = make(map[string]int, len(set))
				}
				at = len(c.groups)
				c.index[selection.Alias] = at
				c.groups = append(c.groups, nil)
			}
			c.groups[at] = append(c.groups[at], selection)
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

func children(fields []*ast.Field) []ast.SelectionSet {
	sets := make([]ast.SelectionSet, 0, len(fields))
	for _, field := range fields {
		if len(field.SelectionSet) > 0 {
			sets = append(sets, field.SelectionSet)
		}
	}
	return sets
}

// byConcreteType splits fields into those that can meet in one object: those of one object type,
// each time with those of interfaces and unions. It returns nothing when the steps run out.
func (m *overlap) byConcreteType(fields []*ast.Field) [][]*ast.Field {
	var concrete []string
	for _, field := range fields {
		of := field.ObjectDefinition
		if of.Kind == ast.Object && (len(concrete) == 0 || concrete[len(concrete)-1] != of.Name) {
			concrete = append(concrete, of.Name)
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
		if of := field.ObjectDefinition; of.Kind == ast.Object {
			parts[index[of.Name]] = append(parts[index[of.Name]], field)
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

// sameField wants one field with one set of arguments.
func (m *overlap) sameField(fields []*ast.Field) {
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
		alike := len(field.Arguments) == len(first.Arguments)
		for _, argument := range field.Arguments {
			alike = alike && m.values(arguments[argument.Name], argument.Value)
		}
		if !alike {
			m.report(field, "they have differing arguments")
		}
	}
}

func (m *overlap) values(a, b *ast.Value) bool {
	if a == nil || b == nil || a.Kind != b.Kind || a.Raw != b.Raw ||
		len(a.Children) != len(b.Children) {
		return false
	}
	var members map[string]*ast.Value
	for i, child := range b.Children {
		other := a.Children[i]
		if other.Name == child.Name { // items have no name
			if !m.values(other.Value, child.Value) {
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
		if !m.values(members[child.Name], child.Value) {
			return false
		}
	}
	return true
}

// sameShape wants types that can be in one place.
func (m *overlap) sameShape(fields []*ast.Field) {
	first := fields[0]
	for _, field := range fields[1:] {
		if conflict := m.conflict(first, field); conflict != "" {
			m.report(field, conflict)
		}
	}
}

// conflict says how the types of two fields can't be in one place, or nothing.
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
