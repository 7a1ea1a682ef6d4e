package limits

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// compare returns an error if m exceeds a limit or has a cycle of fragments.
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
		{all.depth, l.Depth, apierror.ReasonDepth, "its fields nest to depth %d; the limit is %d"},
		{all.valueDepth, l.ValueDepth, apierror.ReasonDepth, "its values nest to depth %d; the limit is %d"},
		{all.introspectionDepth, l.Introspection, apierror.ReasonIntrospection, "introspection lists are nested %d deep; the limit is %d"},
		{m.introspectionRoots, l.IntrospectionRoots, apierror.ReasonIntrospection, "with fragments expanded, an operation requests the schema %d times; the limit is %d, and __schema counts as 5"},
		{all.fields, l.Fields, apierror.ReasonFields, "with fragments expanded, it has %d fields and fragments; the limit is %d"},
		{m.rootFields, l.RootFields, apierror.ReasonRootFields, "with fragments expanded, an operation has %d root fields; the limit is %d"},
		{all.aliases, l.Aliases, apierror.ReasonAliases, "with fragments expanded, it has %d aliases; the limit is %d"},
		{all.directives, l.Directives, apierror.ReasonDirectives, "with fragments expanded, it has %d directives; the limit is %d"},
		{all.values, l.Values, apierror.ReasonValues, "with fragments expanded, it has %d values; the limit is %d"},
		{all.bytes, l.ValueBytes, apierror.ReasonValues, "with fragments expanded, its values have %d bytes; the limit is %d"},
	} {
		if bound.found > bound.allowed {
			adjective := "large: "
			if strings.Contains(bound.message, " nest") {
				adjective = "deep: "
			}
			return tooLarge(bound.reason, "The document is too "+adjective+bound.message,
				bound.found, bound.allowed)
		}
	}
	for name, found := range m.rootFieldCounts {
		if found > l.RootFieldMax[name] { // safe to quote: the name comes from the server
			return tooLarge(apierror.ReasonRootFields,
				"The document is too large: with fragments expanded, an operation has the root "+
					"field %q %d times; the limit is %d", name, found, l.RootFieldMax[name])
		}
	}
	return nil
}

// A measured holds the counts of a document, expanded. If cycle is set, the others are meaningless.
type measured struct {
	all                   counts // sum of all operations and all fragments
	operations, fragments int
	rootFields            int            // maximum of the operations
	introspectionRoots    int            // maximum of the operations: see Limits.IntrospectionRoots
	rootFieldCounts       map[string]int // maximum of the operations, for the names in RootFieldMax
	nodes                 int            // number of nodes visited
	cycle                 *int           // offset of a fragment that spreads itself
	uses                  map[string]variableUse
	holdsValues           bool // a mutation or subscription, and also a string or number
}

// counts holds the counts of a part of a document.
type counts struct {
	// These are summed.
	fields, aliases, directives, values, bytes int
	introspectionRoots                         int // __type counts 1, __schema schemaWeight
	aliasesBelow                               int // below __schema or __type

	// Of these, the maximum is taken.
	depth              int // of fields outside of introspection
	valueDepth         int
	lists              int // nesting of introspection lists anywhere
	introspectionDepth int // nesting of introspection lists below __schema or __type
}

// schemaWeight is how much __schema counts: it leads to all types, __type to only one.
const schemaWeight = 5

// add adds other to c.
func (c *counts) add(other *counts) {
	c.fields = sum(c.fields, other.fields)
	c.aliases = sum(c.aliases, other.aliases)
	c.directives = sum(c.directives, other.directives)
	c.values = sum(c.values, other.values)
	c.bytes = sum(c.bytes, other.bytes)
	c.introspectionRoots = sum(c.introspectionRoots, other.introspectionRoots)
	c.aliasesBelow = sum(c.aliasesBelow, other.aliasesBelow)
	c.depth = max(c.depth, other.depth)
	c.valueDepth = max(c.valueDepth, other.valueDepth)
	c.lists = max(c.lists, other.lists)
	c.introspectionDepth = max(c.introspectionDepth, other.introspectionDepth)
}

// maxCount is where counts saturate. Without it, fragments that double would overflow them.
const maxCount = 1 << 30

func sum(a, b int) int { return min(a+b, maxCount) }

func product(a, b int) int { return int(min(int64(a)*int64(b), maxCount)) }

// A definition is an operation or a fragment. The parser sets the counts for its own text; expand
// adds the fragments that it spreads.
type definition struct {
	name            string // of a fragment
	offset          int
	fragment        bool
	counts          counts
	rootFields      int            // number of top-level fields
	rootFieldCounts map[string]int // the same, for the names in Limits.RootFieldMax
	uses            map[string]int // of variables, not expanded
	spreads         []spread
	expansions      int // how often operations spread it, directly or through fragments
	state           int8
}

// A spread is a fragment spread in a definition.
type spread struct {
	name     string
	location location
}

// A location is the position of a selection in its definition.
type location struct {
	depth int // of the enclosing fields
	lists int // introspection lists around it in this definition
	// Those of them below the outermost __schema or __type, if inIntrospection.
	introspectionDepth int
	// Below __schema or __type, or in a fragment on an introspection type.
	inIntrospection bool
	root            bool
}

const (
	unmeasured = int8(iota)
	measuring
	done
)

// measure adds up the counts of a document in time linear in its size: a fragment's counts are
// added at each spread. It recurses as deep as fragments spread each other.
func (p *parser) measure() *measured {
	m := &measured{operations: len(p.operations), fragments: len(p.fragments), nodes: p.nodes,
		holdsValues: p.hasNonQuery && p.hasLiteral}
	e := expander{m: m}
	if len(p.fragments) > 0 {
		e.fragments = make(map[string]*definition, len(p.fragments))
	}
	for _, def := range p.fragments {
		if _, duplicate := e.fragments[def.name]; !duplicate { // gqlparser takes the first
			e.fragments[def.name] = def
		}
	}
	for _, definitions := range [][]*definition{p.fragments, p.operations} {
		for _, def := range definitions {
			e.expand(def)
			m.all.add(&def.counts)
		}
	}
	if m.cycle != nil {
		return m
	}
	for _, def := range p.operations {
		m.rootFields = max(m.rootFields, def.rootFields)
		m.introspectionRoots = max(m.introspectionRoots,
			sum(def.counts.introspectionRoots, def.counts.aliasesBelow))
		for name, found := range def.rootFieldCounts {
			if m.rootFieldCounts == nil {
				m.rootFieldCounts = map[string]int{}
			}
			m.rootFieldCounts[name] = max(m.rootFieldCounts[name], found)
		}
	}
	e.uses(p)
	return m
}

// An expander adds the counts of fragments to the definitions that spread them.
type expander struct {
	m         *measured
	fragments map[string]*definition // by name
	sorted    []*definition          // fragments, each after those it spreads
}

// expand adds the fragments that def spreads to its counts, or sets e.m.cycle.
func (e *expander) expand(def *definition) {
	if def.state != unmeasured || e.m.cycle != nil {
		return
	}
	def.state = measuring
	for _, spread := range def.spreads {
		e.m.nodes++
		fragment := e.fragments[spread.name]
		if fragment == nil {
			continue
		}
		if fragment.state == measuring {
			e.m.cycle = &fragment.offset
			return
		}
		e.expand(fragment)
		c, at := fragment.counts, spread.location
		if at.inIntrospection {
			c.introspectionDepth = max(c.introspectionDepth, at.introspectionDepth+c.lists)
			c.depth, c.aliasesBelow = 0, c.aliases
		} else {
			c.depth += at.depth
		}
		c.lists += at.lists
		def.counts.add(&c)
		if at.root {
			def.rootFields = sum(def.rootFields, fragment.rootFields)
			for name, found := range fragment.rootFieldCounts {
				if def.rootFieldCounts == nil {
					def.rootFieldCounts = map[string]int{}
				}
				def.rootFieldCounts[name] = sum(def.rootFieldCounts[name], found)
			}
		}
	}
	def.state = done
	if def.fragment {
		e.sorted = append(e.sorted, def)
	}
}

// A variableUse counts the uses of a variable in a document.
type variableUse struct {
	times        int // in all operations together, expanded
	defaultItems int // items and members of its default
}

// uses counts the uses of each variable.
func (e *expander) uses(p *parser) {
	if !p.hasVariables {
		return
	}
	e.m.uses = map[string]variableUse{}
	addUses := func(def *definition) {
		for _, spread := range def.spreads {
			if fragment := e.fragments[spread.name]; fragment != nil {
				fragment.expansions = sum(fragment.expansions, def.expansions)
			}
		}
		for name, n := range def.uses {
			times := sum(e.m.uses[name].times, product(n, def.expansions))
			e.m.uses[name] = variableUse{times, p.defaults[name]}
		}
	}
	for _, def := range p.operations {
		def.expansions = 1
		addUses(def)
	}
	for _, def := range slices.Backward(e.sorted) { // each before those it spreads
		addUses(def)
	}
}
