package limits

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// tree is the second pass: it compares what was measured with the limits.
func (d Limits) tree(query string, m *measured) *gqlerror.Error {
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
		words          string
	}{
		{all.depth, d.Depth, apierror.ReasonDepth, "its fields nest to depth %d, allowed is %d"},
		{all.valueDepth, d.ValueDepth, apierror.ReasonDepth, "its values nest to depth %d, allowed is %d"},
		{all.below, d.Introspection, apierror.ReasonIntrospection, "lists of the introspection nest to depth %d, allowed is %d"},
		{m.asked, d.IntrospectionRoots, apierror.ReasonIntrospection, "an operation asks for the schema %d times with its fragments written out, allowed are %d, of which __schema counts for five"},
		{all.fields, d.Fields, apierror.ReasonFields, "with its fragments written out it has %d fields and fragments, allowed are %d"},
		{m.roots, d.RootFields, apierror.ReasonRootFields, "an operation has %d root fields with its fragments written out, allowed are %d"},
		{all.aliases, d.Aliases, apierror.ReasonAliases, "with its fragments written out it has %d aliases, allowed are %d"},
		{all.directives, d.Directives, apierror.ReasonDirectives, "with its fragments written out it has %d directives, allowed are %d"},
		{all.values, d.Values, apierror.ReasonValues, "with its fragments written out it has %d values, allowed are %d"},
		{all.bytes, d.ValueBytes, apierror.ReasonValues, "with its fragments written out its values have %d bytes, allowed are %d"},
	} {
		if bound.found > bound.allowed {
			size := "large: "
			if strings.Contains(bound.words, " nest ") {
				size = "deep: "
			}
			return tooLarge(bound.reason, "The document is too "+size+bound.words, bound.found, bound.allowed)
		}
	}
	for name, found := range m.named {
		if found > d.Most[name] { // the name is the server's, not the document's
			return tooLarge(apierror.ReasonRootFields, "The document is too large: an operation has the root field %q %d times with its fragments written out, allowed are %d", name, found, d.Most[name])
		}
	}
	return nil
}

// measured is what a whole document adds up to. With a cycle, it says nothing else of use.
type measured struct {
	all                   size // of all operations and all fragments
	operations, fragments int
	roots                 int // of the operation that has most
	asked                 int // roots of the introspection and aliases below, likewise
	named                 map[string]int
	nodes                 int  // how many nodes of the tree were visited
	cycle                 *int // where a fragment begins that spreads itself
	uses                  map[string]use
	holdsValues           bool // a mutation or subscription beside a string or a number
}

// A size is what a piece of a document adds up to, its fragments written out.
type size struct {
	// These add up.
	fields, aliases, directives, values, bytes int
	// roots of the introspection: __type counts one, __schema fiveTypes
	asked        int
	aliasesBelow int // below __schema or __type

	// Of these the largest counts.
	depth, valueDepth int // of fields outside of the introspection, of values
	// lists of the introspection inside each other: anywhere, below __schema or __type
	lists, below int
}

// fiveTypes is what __schema counts for: it leads to all types, and __type to one.
const fiveTypes = 5

func (s *size) add(other *size) {
	s.fields = sum(s.fields, other.fields)
	s.aliases = sum(s.aliases, other.aliases)
	s.directives = sum(s.directives, other.directives)
	s.values = sum(s.values, other.values)
	s.bytes = sum(s.bytes, other.bytes)
	s.asked = sum(s.asked, other.asked)
	s.aliasesBelow = sum(s.aliasesBelow, other.aliasesBelow)
	s.depth = max(s.depth, other.depth)
	s.valueDepth = max(s.valueDepth, other.valueDepth)
	s.lists = max(s.lists, other.lists)
	s.below = max(s.below, other.below)
}

const saturated = 1 << 30 // where counts stop, since doubling fragments would overflow

func sum(a, b int) int { return min(a+b, saturated) }

func product(a, b int) int { // of two counts, each at most saturated
	return int(min(int64(a)*int64(b), saturated))
}

// A part is an operation or a fragment: what is written in it, and what it spreads.
type part struct {
	name     string // of a fragment
	at       int    // its offset
	fragment bool
	own      size           // first of what is written in it, then with its fragments written out
	roots    int            // fields at its top, likewise
	named    map[string]int // those of Limits.Most, likewise
	uses     map[string]int // of variables, as written
	spreads  []spread
	times    int // how often operations spread it, written out
	state    int8
}

type spread struct {
	name  string
	place place
}

// A place is where in its part a selection is.
type place struct {
	depth int // of the fields around it
	lists int // of the introspection around it, in this part
	// those of them below the outermost __schema or __type of this part; unknown outside of any
	below int
	// below __schema or __type, or in a fragment on one of the introspection's own types
	inside bool
	root   bool
}

const (
	unmeasured = int8(iota)
	measuring
	done
)

// measure adds up an outline in time linear in its size: each operation and each fragment was read once, and is
// added for each spread. It recurses as deep as fragments spread each other.
func (o *outline) measure() *measured {
	m := &measured{operations: len(o.operations), fragments: len(o.fragments), nodes: o.nodes,
		holdsValues: o.changes && o.literals}
	a := adder{m: m}
	if len(o.fragments) > 0 {
		a.byName = make(map[string]*part, len(o.fragments))
	}
	for _, p := range o.fragments {
		if _, twice := a.byName[p.name]; !twice { // of two, gqlparser takes the first
			a.byName[p.name] = p
		}
	}
	for _, parts := range [][]*part{o.fragments, o.operations} {
		for _, p := range parts {
			a.expand(p)
			m.all.add(&p.own)
		}
	}
	if m.cycle != nil {
		return m
	}
	for _, p := range o.operations {
		m.roots = max(m.roots, p.roots)
		m.asked = max(m.asked, sum(p.own.asked, p.own.aliasesBelow))
		for name, found := range p.named {
			if m.named == nil {
				m.named = map[string]int{}
			}
			m.named[name] = max(m.named[name], found)
		}
	}
	a.uses(o)
	return m
}

type adder struct {
	m      *measured
	byName map[string]*part
	sorted []*part // fragments, each after those it spreads
}

// expand adds to a part what it spreads. A part that reaches itself is a cycle.
func (a *adder) expand(p *part) {
	if p.state != unmeasured || a.m.cycle != nil {
		return
	}
	p.state = measuring
	for _, spread := range p.spreads {
		a.m.nodes++
		of := a.byName[spread.name]
		if of == nil {
			continue
		}
		if of.state == measuring {
			a.m.cycle = &of.at
			return
		}
		a.expand(of)
		in, at := of.own, spread.place
		if at.inside {
			in.below = max(in.below, at.below+in.lists)
			in.depth, in.aliasesBelow = 0, in.aliases
		} else {
			in.depth += at.depth
		}
		in.lists += at.lists
		p.own.add(&in)
		if at.root {
			p.roots = sum(p.roots, of.roots)
			for name, found := range of.named {
				if p.named == nil {
					p.named = map[string]int{}
				}
				p.named[name] = sum(p.named[name], found)
			}
		}
	}
	p.state = done
	if p.fragment {
		a.sorted = append(a.sorted, p)
	}
}

// A use is what a document does with a variable.
type use struct {
	times    int // places that use it, in all operations together, with their fragments written out
	fallback int // items and members of its default
}

// uses counts the uses of each variable.
func (a *adder) uses(o *outline) {
	if !o.variables {
		return
	}
	a.m.uses = map[string]use{}
	from := func(p *part) {
		for _, spread := range p.spreads {
			if of := a.byName[spread.name]; of != nil {
				of.times = sum(of.times, p.times)
			}
		}
		for name, n := range p.uses {
			times := sum(a.m.uses[name].times, product(n, p.times))
			a.m.uses[name] = use{times, o.defaults[name]}
		}
	}
	for _, p := range o.operations {
		p.times = 1
		from(p)
	}
	for _, p := range slices.Backward(a.sorted) { // each before those it spreads
		from(p)
	}
}
