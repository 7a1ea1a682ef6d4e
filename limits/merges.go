package limits

import (
	"slices"
	"strings"
)

// pairs counts the pairs of fields of one response name in one place. It visits each field as often as it is
// written out.
func (a *adder) pairs(o *outline) {
	m := merger{adder: a, outline: o}
	for _, parts := range [][]*part{o.operations, o.fragments} {
		for _, p := range parts {
			m.collect(p.first)
			m.within(0)
			m.fields = m.fields[:0]
		}
	}
}

type merger struct {
	*adder
	outline *outline
	fields  []int32 // of the place that is looked at, and of those around it
}

// within counts the pairs among the fields from the given one on, which are in one place, and of what is
// merged below them.
func (m *merger) within(from int) {
	here := m.fields[from:]
	of := func(i int32) *selection { return &m.outline.selections[i] }
	slices.SortFunc(here, func(a, b int32) int { return strings.Compare(of(a).name, of(b).name) })
	for len(here) > 0 {
		same := 1
		for same < len(here) && of(here[same]).name == of(here[0]).name {
			same++
		}
		m.m.pairs = sum(m.m.pairs, same*(same-1)/2)
		top := len(m.fields)
		for _, field := range here[:same] {
			m.collect(of(field).first)
		}
		if len(m.fields) > top {
			m.within(top)
		}
		m.fields = m.fields[:top]
		here = here[same:]
	}
}

func (m *merger) collect(first int32) {
	for i := first; i != nothing; i = m.outline.selections[i].next {
		m.m.nodes++
		selection := &m.outline.selections[i]
		switch selection.kind {
		case aField:
			m.fields = append(m.fields, i)
		case anInlineFragment:
			m.collect(selection.first)
		case aSpread:
			if of := m.byName[selection.name]; of != nil {
				m.collect(of.first)
			}
		}
	}
}
