package limits

import (
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// checkExpanded returns an error if m exceeds one of the expanded limits or has a cycle of
// fragments.
func (l Limits) checkExpanded(query string, m *measurement) *gqlerror.Error {
	if m.cycle != nil {
		cycle := apierror.New(apierror.CodeValidationFailed, "",
			"Cannot spread a fragment within itself, directly or through others.")
		cycle.Rule = "NoFragmentCycles"
		return language.Located(query, *m.cycle, cycle)
	}
	total := &m.total
	for _, limit := range [...]struct {
		n, max  int
		reason  apierror.Reason
		message string
	}{
		{total.depth, l.Depth, apierror.ReasonDepth, "its fields nest to depth %d; the limit is %d"},
		{total.valueDepth, l.ValueDepth, apierror.ReasonDepth, "its values nest to depth %d; the limit is %d"},
		{total.introspectionDepth, l.Introspection, apierror.ReasonIntrospection, "introspection lists are nested %d deep; the limit is %d"},
		{m.introspectionWeight, l.IntrospectionRoots, apierror.ReasonIntrospection, "with fragments expanded, an operation requests the schema %d times; the limit is %d, and __schema counts as 5"},
		{total.selections, l.Fields, apierror.ReasonFields, "with fragments expanded, it has %d fields and fragments; the limit is %d"},
		{m.rootFields, l.RootFields, apierror.ReasonRootFields, "with fragments expanded, an operation has %d root fields; the limit is %d"},
		{total.aliases, l.Aliases, apierror.ReasonAliases, "with fragments expanded, it has %d aliases; the limit is %d"},
		{total.directives, l.Directives, apierror.ReasonDirectives, "with fragments expanded, it has %d directives; the limit is %d"},
		{total.values, l.Values, apierror.ReasonValues, "with fragments expanded, it has %d values; the limit is %d"},
		{total.bytes, l.ValueBytes, apierror.ReasonValues, "with fragments expanded, its values have %d bytes; the limit is %d"},
	} {
		if limit.n > limit.max {
			adjective := "large: "
			if strings.Contains(limit.message, " nest") {
				adjective = "deep: "
			}
			return tooLarge(limit.reason, "The document is too "+adjective+limit.message, limit.n,
				limit.max)
		}
	}
	// Sorted, so that the message depends only on the document.
	for _, name := range slices.Sorted(maps.Keys(m.rootFieldCounts)) {
		n := m.rootFieldCounts[name]
		if n > l.RootFieldMax[name] { // safe to quote: the name comes from the server
			return tooLarge(apierror.ReasonRootFields,
				"The document is too large: with fragments expanded, an operation has the root "+
					"field %q %d times; the limit is %d", name, n, l.RootFieldMax[name])
		}
	}
	return nil
}

// A measurement holds the counts of a document, expanded. If cycle is set, the other fields are
// meaningless.
type measurement struct {
	total                 counts // sum of all operations and all fragments
	operations, fragments int
	nodes                 int  // number of nodes visited
	cycle                 *int // offset of a fragment that spreads itself
	uses                  map[string]variableUse
	holdsValues           bool // has a mutation or subscription, and also a string or number

	// Of these fields, the maximum over the operations is taken.
	rootFields          int
	rootFieldCounts     map[string]int // by name, for the names in Limits.RootFieldMax
	introspectionWeight int            // see Limits.IntrospectionRoots
}

// counts holds the counts of a part of a document.
type counts struct {
	// These fields are summed.
	selections, aliases, directives, values, bytes int
	introspectionWeight                            int // __type counts 1
	introspectionAliases                           int // below __schema or __type

	// Of these fields, the maximum is taken.
	depth              int // nesting of fields outside introspection
	valueDepth         int
	listDepth          int // nesting of introspection lists anywhere
	introspectionDepth int // nesting of introspection lists below __schema or __type
}

// schemaWeight is the weight of __schema. It leads to all types; __type, with weight 1, to only
// one.
const schemaWeight = 5

// add adds other to c.
func (c *counts) add(other *counts) {
	c.selections = sum(c.selections, other.selections)
	c.aliases = sum(c.aliases, other.aliases)
	c.directives = sum(c.directives, other.directives)
	c.values = sum(c.values, other.values)
	c.bytes = sum(c.bytes, other.bytes)
	c.introspectionWeight = sum(c.introspectionWeight, other.introspectionWeight)
	c.introspectionAliases = sum(c.introspectionAliases, other.introspectionAliases)
	c.depth = max(c.depth, other.depth)
	c.valueDepth = max(c.valueDepth, other.valueDepth)
	c.listDepth = max(c.listDepth, other.listDepth)
	c.introspectionDepth = max(c.introspectionDepth, other.introspectionDepth)
}

// maxCount is where counts saturate. Otherwise, a chain of fragments that each spread the next one
// twice would overflow the counts.
const maxCount = 1 << 30

func sum(a, b int) int { return min(a+b, maxCount) }

func product(a, b int) int { return int(min(int64(a)*int64(b), maxCount)) }

// A definition is an operation or a fragment. The parser sets the counts of its own text; expand
// adds the counts of the fragments that the definition spreads.
type definition struct {
	name            string // empty for an operation
	offset          int
	fragment        bool
	counts          counts
	rootFields      int            // number of top-level fields
	rootFieldCounts map[string]int // by name, for the names in Limits.RootFieldMax
	uses            map[string]int // uses of each variable, not expanded
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
	depth     int // number of enclosing fields
	listDepth int // number of enclosing introspection lists, in this definition
	// introspectionDepth is the number of enclosing introspection lists below the outermost
	// __schema or __type.
	introspectionDepth int
	inIntrospection    bool // below __schema or __type, or in a fragment on an introspection type
	root               bool // at the top level, or only in fragments at the top level
}

const (
	unmeasured = int8(iota)
	measuring
	done
)

// measure adds up the counts of a document in time linear in its size: it counts each fragment
// once, and adds the result at each spread. It recurses as deep as fragments spread each other.
func (p *parser) measure() *measurement {
	m := &measurement{operations: len(p.operations), fragments: len(p.fragments), nodes: p.nodes,
		holdsValues: p.hasNonQuery && p.hasLiteral}
	e := expander{m: m}
	if len(p.fragments) > 0 {
		e.fragments = make(map[string]*definition, len(p.fragments))
	}
	for _, def := range p.fragments {
		if _, duplicate := e.fragments[def.name]; !duplicate { // gqlparser uses the first
			e.fragments[def.name] = def
		}
	}
	for _, definitions := range [][]*definition{p.fragments, p.operations} {
		for _, def := range definitions {
			e.expand(def)
			m.total.add(&def.counts)
		}
	}
	if m.cycle != nil {
		return m
	}
	for _, def := range p.operations {
		m.rootFields = max(m.rootFields, def.rootFields)
		m.introspectionWeight = max(m.introspectionWeight,
			sum(def.counts.introspectionWeight, def.counts.introspectionAliases))
		for name, n := range def.rootFieldCounts {
			if m.rootFieldCounts == nil {
				m.rootFieldCounts = map[string]int{}
			}
			m.rootFieldCounts[name] = max(m.rootFieldCounts[name], n)
		}
	}
	e.countUses(p)
	return m
}

// An expander adds the counts of fragments to the definitions that spread them.
type expander struct {
	m         *measurement
	fragments map[string]*definition // by name
	sorted    []*definition          // fragments, each after the fragments it spreads
}

// expand adds to the counts of def the counts of the fragments that def spreads. It sets e.m.cycle
// if it finds a cycle.
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
		c, loc := fragment.counts, spread.location
		if loc.inIntrospection {
			c.introspectionDepth = max(c.introspectionDepth, loc.introspectionDepth+c.listDepth)
			c.depth, c.introspectionAliases = 0, c.aliases
		} else {
			c.depth += loc.depth
		}
		c.listDepth += loc.listDepth
		def.counts.add(&c)
		if loc.root {
			def.rootFields = sum(def.rootFields, fragment.rootFields)
			for name, n := range fragment.rootFieldCounts {
				if def.rootFieldCounts == nil {
					def.rootFieldCounts = map[string]int{}
				}
				def.rootFieldCounts[name] = sum(def.rootFieldCounts[name], n)
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
	defaultItems int // list items and object fields in its default
}

// countUses counts the uses of each variable.
func (e *expander) countUses(p *parser) {
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
	for _, def := range slices.Backward(e.sorted) { // each before the fragments it spreads
		addUses(def)
	}
}
