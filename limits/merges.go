package limits

import "github.com/vektah/gqlparser/v2/ast"

// pairsOf counts the pairs of fields of one response name that gqlparser's OverlappingFieldsCanBeMerged compares,
// rounded up: it does so anew for each selection set, those of inline fragments within each other included, with
// fragments written out. It stops counting somewhere past most. Call it after cycles and size were refused.
func pairsOf(doc *ast.QueryDocument, most int) int {
	m := merger{doc: doc, most: most}
	for _, operation := range doc.Operations {
		m.each(operation.SelectionSet)
	}
	for _, fragment := range doc.Fragments {
		m.each(fragment.SelectionSet)
	}
	return m.pairs
}

type merger struct {
	doc         *ast.QueryDocument
	pairs, most int
}

// each counts a selection set, and every one written inside it.
func (m *merger) each(set ast.SelectionSet) {
	if m.pairs > m.most {
		return
	}
	m.within(set)
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			m.each(selection.SelectionSet)
		case *ast.InlineFragment:
			m.each(selection.SelectionSet)
		}
	}
}

// within counts the pairs of selection sets that are merged into one, and of what is merged below them.
func (m *merger) within(sets ...ast.SelectionSet) {
	fields := map[string][]ast.SelectionSet{}
	for _, set := range sets {
		m.collect(set, fields)
	}
	for _, merged := range fields {
		if n := len(merged); n > 1 && m.pairs <= m.most {
			m.pairs += n * (n - 1) / 2
			m.within(merged...)
		}
	}
}

func (m *merger) collect(set ast.SelectionSet, fields map[string][]ast.SelectionSet) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			fields[selection.Alias] = append(fields[selection.Alias], selection.SelectionSet)
		case *ast.InlineFragment:
			m.collect(selection.SelectionSet, fields)
		case *ast.FragmentSpread:
			if fragment := m.doc.Fragments.ForName(selection.Name); fragment != nil {
				m.collect(fragment.SelectionSet, fields)
			}
		}
	}
}
