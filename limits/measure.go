package limits

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// compare is the second pass: it compares what was measured with the limits.
func (l Limits) compare(query string, m *measured) *gqlerror.Error {
	if m.cycle != nil {
		cycle := apierror.New(apierror.CodeValidationFailed, "",
			"Cannot spread a fragment within itself, directly or through others.")
		cycle.Rule = "NoFragmentCycles"
		return language.Located(query, *m.cycle, cycle)
	}
	all := &m.all
	for _, bound := range [...]struct {
		found, allowed int
		reason         apierror.Reason
		message        string
	}{
		{all.depth, l.Depth, apierror.ReasonDepth, "its fields nest to depth %d, allowed is %d"},
		{all.valueDepth, l.ValueDepth, apierror.ReasonDepth, "its values nest to depth %d, allowed is %d"},
		{all.introspectionDepth, l.Introspection, apierror.ReasonIntrospection, "lists of the introspection nest to depth %d, allowed is %d"},
		{m.introspectionRoots, l.IntrospectionRoots, apierror.ReasonIntrospection, "an operation asks for the schema %d times with its fragments written out, allowed are %d, of which __schema counts for five"},
		{all.fields, l.Fields, apierror.ReasonFields, "with its fragments written out it has %d fields and fragments, allowed are %d"},
		{m.roots, l.RootFields, apierror.ReasonRootFields, "an operation has %d root fields with its fragments written out, allowed are %d"},
		{all.aliases, l.Aliases, apierror.ReasonAliases, "with its fragments written out it has %d aliases, allowed are %d"},
		{all.directives, l.Directives, apierror.ReasonDirectives, "with its fragments written out it has %d directives, allowed are %d"},
		{all.values, l.Values, apierror.ReasonValues, "with its fragments written out it has %d values, allowed are %d"},
		{all.bytes, l.ValueBytes, apierror.ReasonValues, "with its fragments written out its values have %d bytes, allowed are %d"},
	} {
		if bound.found > bound.allowed {
			adjective := "large: "
			if strings.Contains(bound.message, " nest ") {
				adjective = "deep: "
			}
			return tooLarge(bound.reason, "The document is too "+adjective+bound.message,
				bound.found, bound.allowed)
		}
	}
	for name, found := range m.named {
		if found > l.RootFieldMax[name] { // the name is the server's, not the document's
			return tooLarge(apierror.ReasonRootFields,
				"The document is too large: an operation has the root field %q %d times with its "+
					"fragments written out, allowed are %d", name, found, l.RootFieldMax[name])
		}
	}
	return nil
}

// measured is what a whole document adds up to. With a cycle, it says nothing else of use.
type measured struct {
	all                   counts // of all operations and all fragments
	operations, fragments int
	roots                 int // of the operation that has most
	introspectionRoots    int // roots of the introspection and aliases below, likewise
	named                 map[string]int
	nodes                 int  // how many nodes of the tree were visited
	cycle                 *int // where a fragment begins that spreads itself
	uses                  map[string]variableUse
	holdsValues           bool // a mutation or subscription beside a string or a number
}

// Counts are what a piece of a document adds up to, its fragments written out.
type counts struct {
	// These add up.
	fields, aliases, directives, values, bytes int
	// roots of the introspection: __type counts one, __schema fiveTypes
	introspectionRoots int
	aliasesBelow       int // below __schema or __type

	// Of these the largest counts.
	depth, valueDepth int // of fields outside of the introspection, of values
	// lists of the introspection inside each other: anywhere, below __schema or __type
	lists, introspectionDepth int
}

// fiveTypes is what __schema counts for: it leads to all types, and __type to one.
const fiveTypes = 5

func (s *counts) add(other *counts) {
	s.fields = sum(s.fields, other.fields)
	s.aliases = sum(s.aliases, other.aliases)
	s.directives = sum(s.directives, other.directives)
	s.values = sum(s.values, other.values)
	s.bytes = sum(s.bytes, other.bytes)
	s.introspectionRoots = sum(s.introspectionRoots, other.introspectionRoots)
	s.aliasesBelow = sum(s.aliasesBelow, other.aliasesBelow)
	s.depth = max(s.depth, other.depth)
	s.valueDepth = max(s.valueDepth, other.valueDepth)
	s.lists = max(s.lists, other.lists)
	s.introspectionDepth = max(s.introspectionDepth, other.introspectionDepth)
}

const saturated = 1 << 30 // where counts stop, since doubling fragments would overflow

func sum(a, b int) int { return min(a+b, saturated) }

func product(a, b int) int { // of two counts, each at most saturated
	return int(min(int64(a)*int64(b), saturated))
}

// A definition is an operation or a fragment: what is written in it, and what it spreads.
type definition struct {
	name     string // of a fragment
	at       int    // its offset
	fragment bool
	own      counts         // first of what is written in it, then with its fragments written out
	roots    int            // fields at its top, likewise
	named    map[string]int // those of Limits.RootFieldMax, likewise
	uses     map[string]int // of variables, as written
	spreads  []spread
	times    int // how often operations spread it, written out
	state    int8
}

type spread struct {
	name     string
	location location
}

// A location is where in its definition a selection is.
type location struct {
	depth int // of the fields around it
	lists int // of the introspection around it, in this definition
	// those of them below the outermost __schema or __type of this definition; unknown outside of
	// any
	introspectionDepth int
	// below __schema or __type, or in a fragment on one of the introspection's own types
	inIntrospection bool
	root            bool
}

const (
	unmeasured = int8(iota)
	measuring
	done
)

// measure adds up a document in time linear in its size: each operation and each fragment was read
// once, and is added for each spread. It recurses as deep as fragments spread each other.
func (p *parser) measure() *measured {
	m := &measured{operations: len(p.operations), fragments: len(p.fragments), nodes: p.nodes,
		holdsValues: p.changes && p.literals}
	e := expander{m: m}
	if len(p.fragments) > 0 {
		e.byName = make(map[string]*definition, len(p.fragments))
	}
	for _, def := range p.fragments {
		if _, twice := e.byName[def.name]; !twice { // of two, gqlparser takes the first
			e.byName[def.name] = def
		}
	}
	for _, parts := range [][]*definition{p.fragments, p.operations} {
		for _, def := range parts {
			e.expand(def)
			m.all.add(&def.own)
		}
	}
	if m.cycle != nil {
		return m
	}
	for _, def := range p.operations {
		m.roots = max(m.roots, def.roots)
		m.introspectionRoots = max(m.introspectionRoots,
			sum(def.own.introspectionRoots, def.own.aliasesBelow))
		for name, found := range def.named {
			if m.named == nil {
				m.named = map[string]int{}
			}
			m.named[name] = max(m.named[name], found)
		}
	}
	e.uses(p)
	return m
}

type expander struct {
	m      *measured
	byName map[string]*definition
	sorted []*definition // fragments, each after those it spreads
}

// expand adds to a definition what it spreads. A definition that reaches itself is a cycle.
func (e *expander) expand(def *definition) {
	if def.state != unmeasured || e.m.cycle != nil {
		return
	}
	def.state = measuring
	for _, spread := range def.spreads {
		e.m.nodes++
		of := e.byName[spread.name]
		if of == nil {
			continue
		}
		if of.state == measuring {
			e.m.cycle = &of.at
			return
		}
		e.expand(of)
		in, at := of.own, spread.location
		if at.inIntrospection {
			in.introspectionDepth = max(in.introspectionDepth, at.introspectionDepth+in.lists)
			in.depth, in.aliasesBelow = 0, in.aliases
		} else {
			in.depth += at.depth
		}
		in.lists += at.lists
		def.own.add(&in)
		if at.root {
			def.roots = sum(def.roots, of.roots)
			for name, found := range of.named {
				if def.named == nil {
					def.named = map[string]int{}
				}
				def.named[name] = sum(def.named[name], found)
			}
		}
	}
	def.state = done
	if def.fragment {
		e.sorted = append(e.sorted, def)
	}
}

// A use is what a document does with a variable.
type variableUse struct {
	times    int // places that use it, in all operations together, with their fragments written out
	fallback int // items and members of its default
}

// uses counts the uses of each variable.
func (e *expander) uses(p *parser) {
	if !p.variables {
		return
	}
	e.m.uses = map[string]variableUse{}
	from := func(def *definition) {
		for _, spread := range def.spreads {
			if of := e.byName[spread.name]; of != nil {
				of.times = sum(of.times, def.times)
			}
		}
		for name, n := range def.uses {
			times := sum(e.m.uses[name].times, product(n, def.times))
			e.m.uses[name] = variableUse{times, p.defaults[name]}
		}
	}
	for _, def := range p.operations {
		def.times = 1
		from(def)
	}
	for _, def := range slices.Backward(e.sorted) { // each before those it spreads
		from(def)
	}
}
