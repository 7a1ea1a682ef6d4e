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
		return language.SetLocation(query, *m.cycle, cycle)
	}
	total := &m.total
	for _, limit := range [...]struct {
		n, max int
		reason apierror.Reason
		format string
	}{
		{total.depth, l.Depth, apierror.ReasonDepth,
			"its fields nest to depth %d; the limit is %d"},
		{total.valueDepth, l.ValueDepth, apierror.ReasonDepth,
			"its values nest to depth %d; the limit is %d"},
		{total.introspectionDepth, l.IntrospectionDepth, apierror.ReasonIntrospection,
			"introspection lists are nested %d deep; the limit is %d"},
		{m.introspectionCost, l.IntrospectionCost, apierror.ReasonIntrospection,
			"with fragments expanded, an operation requests the schema %d times; the limit is " +
				"%d, and __schema counts as 5"},
		{total.selections, l.Fields, apierror.ReasonFields,
			"with fragments expanded, it has %d fields and fragments; the limit is %d"},
		{m.rootFields, l.RootFields, apierror.ReasonRootFields,
			"with fragments expanded, an operation has %d root fields; the limit is %d"},
		{total.aliases, l.Aliases, apierror.ReasonAliases,
			"with fragments expanded, it has %d aliases; the limit is %d"},
		{total.directives, l.Directives, apierror.ReasonDirectives,
			"with fragments expanded, it has %d directives; the limit is %d"},
		{total.values, l.Values, apierror.ReasonValues,
			"with fragments expanded, it has %d values; the limit is %d"},
		{total.valueBytes, l.ValueBytes, apierror.ReasonValues,
			"with fragments expanded, its values have %d bytes; the limit is %d"},
	} {
		if limit.n > limit.max {
			prefix := "The document is too large: "
			if strings.Contains(limit.format, " nest") {
				prefix = "The document is too deep: "
			}
			return tooLargeError(limit.reason, prefix+limit.format, limit.n, limit.max)
		}
	}
	// Sorted, so that the message depends only on the document.
	for _, name := range slices.Sorted(maps.Keys(m.rootFieldCounts)) {
		n := m.rootFieldCounts[name]
		if n > l.RootFieldMax[name] { // safe to quote: the name comes from the server
			return tooLargeError(apierror.ReasonRootFields,
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
	mayHoldSecret         bool // has a mutation or subscription, and also a string or number

	// These fields are the maximum over the operations.
	rootFields        int
	rootFieldCounts   map[string]int // by name, for the names in Limits.RootFieldMax
	introspectionCost int            // see Limits.IntrospectionCost
}

// counts holds the counts of a part of a document.
type counts struct {
	// add sums these fields.
	selections, aliases, directives, values int
	valueBytes                              int
	introspectionCost                       int // of __schema and __type
	introspectionAliases                    int // below __schema or __type

	// For each of these fields, add takes the maximum.
	depth              int // nesting of fields outside introspection
	valueDepth         int
	listDepth          int // nesting of introspection lists anywhere
	introspectionDepth int // nesting of introspection lists below __schema or __type
}

// The costs of __schema, which gives access to all types, and of __type, which gives access to one.
const (
	schemaCost = 5
	typeCost   = 1
)

// add adds other to c.
func (c *counts) add(other *counts) {
	c.selections = saturatingAdd(c.selections, other.selections)
	c.aliases = saturatingAdd(c.aliases, other.aliases)
	c.directives = saturatingAdd(c.directives, other.directives)
	c.values = saturatingAdd(c.values, other.values)
	c.valueBytes = saturatingAdd(c.valueBytes, other.valueBytes)
	c.introspectionCost = saturatingAdd(c.introspectionCost, other.introspectionCost)
	c.introspectionAliases = saturatingAdd(c.introspectionAliases, other.introspectionAliases)
	c.depth = max(c.depth, other.depth)
	c.valueDepth = max(c.valueDepth, other.valueDepth)
	c.listDepth = max(c.listDepth, other.listDepth)
	c.introspectionDepth = max(c.introspectionDepth, other.introspectionDepth)
}

// maxCount is the value at which counts saturate. Without saturation, a chain of fragments that
// each spread the next one twice would overflow the counts.
const maxCount = 1 << 30

func saturatingAdd(a, b int) int { return min(a+b, maxCount) }

func saturatingMul(a, b int) int { return int(min(int64(a)*int64(b), maxCount)) }

// A definition is an operation or a fragment. The parser counts the definition's own text; expand
// adds the counts of the fragments that the definition spreads.
type definition struct {
	name            string // empty for an operation
	offset          int
	isFragment      bool
	counts          counts
	rootFields      int            // number of top-level fields
	rootFieldCounts map[string]int // by name, for the names in Limits.RootFieldMax
	uses            map[string]int // uses of each variable, not expanded
	spreads         []spread
	expansions      int // number of times that operations spread it, directly or through fragments
	state           expansionState
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
	atRoot             bool // no enclosing field
}

type expansionState int8

const (
	notExpanded expansionState = iota
	expanding
	expanded
)

// measure adds up the counts of a document in time linear in its size: it counts each fragment
// once, and adds the result at each spread. It recurses as deep as fragments spread each other.
func (p *parser) measure() *measurement {
	m := &measurement{
		operations: len(p.operations), fragments: len(p.fragments), nodes: p.nodes,
		mayHoldSecret: p.hasNonQuery && p.hasLiteral,
	}
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
		m.introspectionCost = max(m.introspectionCost,
			saturatingAdd(def.counts.introspectionCost, def.counts.introspectionAliases))
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
	m               *measurement
	fragments       map[string]*definition // by name
	sortedFragments []*definition          // each after the fragments it spreads
}

// expand adds to the counts of def the counts of the fragments that def spreads. It sets e.m.cycle
// if it finds a cycle.
func (e *expander) expand(def *definition) {
	if def.state != notExpanded || e.m.cycle != nil {
		return
	}
	def.state = expanding
	for _, spread := range def.spreads {
		e.m.nodes++
		fragment := e.fragments[spread.name]
		if fragment == nil {
			continue
		}
		if fragment.state == expanding {
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
		if loc.atRoot {
			def.rootFields = saturatingAdd(def.rootFields, fragment.rootFields)
			for name, n := range fragment.rootFieldCounts {
				if def.rootFieldCounts == nil {
					def.rootFieldCounts = map[string]int{}
				}
				def.rootFieldCounts[name] = saturatingAdd(def.rootFieldCounts[name], n)
			}
		}
	}
	def.state = expanded
	if def.isFragment {
		e.sortedFragments = append(e.sortedFragments, def)
	}
}

// A variableUse counts the uses of a variable in a document.
type variableUse struct {
	count        int // in all operations together, expanded
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
				fragment.expansions = saturatingAdd(fragment.expansions, def.expansions)
			}
		}
		for name, n := range def.uses {
			count := saturatingAdd(e.m.uses[name].count, saturatingMul(n, def.expansions))
			e.m.uses[name] = variableUse{count: count, defaultItems: p.defaultItems[name]}
		}
	}
	for _, def := range p.operations {
		def.expansions = 1
		addUses(def)
	}
	for _, def := range slices.Backward(e.sortedFragments) {
		// The operations and fragments that spread def were visited before.
		addUses(def)
	}
}
