package limits

import (
	"strings"

	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/cloakql/cloakql/apierror"
)

// An outline is what must be known of a document to measure it: what gqlparser's parser makes of
// it, without what a tree takes in memory, which is a hundred times the text. It is read by the
// grammar of the specification (September 2025, executable documents), which decides what a
// document is: gqlparser (v2.5.37) takes more in some places and less in others, and sees only what
// was accepted here, rewritten where it must be.
type outline struct {
	operations, fragments []*part
	spreads, nodes        int
	variables             bool           // whether there are any
	defaults              map[string]int // of each variable, the items and members of its default
	changes, literals     bool           // an operation that isn't a query; a string or a number

	tokens *tokens
	into   *part // what is read now
}

// read builds the outline. Check tokens.fault before using it. It recurses as deep as brackets
// nest, which the tokens bound.
func (o *outline) read() {
	limits := &o.tokens.limits
	for o.tokens.next(); o.tokens.more(); {
		start, at := o.tokens.now, place{root: true}
		p := &part{at: start.Start}
		o.into = p
		described := o.tokens.description()
		switch {
		case o.tokens.is(lexer.BraceL) && !described:
			o.operation(p)
		case o.tokens.name("query", "mutation", "subscription"):
			o.operation(p)
			o.changes = o.changes || !o.tokens.name("query")
			o.tokens.next()
			if o.tokens.is(lexer.Name) {
				o.tokens.next()
			}
			o.definitions()
			o.directives(false)
		case o.tokens.name("fragment"):
			p.fragment = true
			o.fragments = append(o.fragments, p)
			o.atMost(len(o.fragments), limits.Fragments, apierror.ReasonFragments, "it defines at least %d fragments, allowed are %d")
			o.tokens.next()
			if o.tokens.name("on") {
				o.tokens.unexpected()
			}
			p.name = o.tokens.take(lexer.Name)
			o.tokens.keyword("on")
			// names that only the introspection has
			at.inside = strings.HasPrefix(o.tokens.take(lexer.Name), "__")
			o.directives(false)
		case described && (o.tokens.is(lexer.BraceL) || o.tokens.is(lexer.Name)):
			o.tokens.refuse(start.Start,
				"Unexpected description: only query, mutation, subscription and fragment have one")
		default:
			o.tokens.unexpected()
		}
		o.set(at)
	}
}

func (o *outline) operation(p *part) {
	o.operations = append(o.operations, p)
	o.atMost(len(o.operations), o.tokens.limits.Operations, apierror.ReasonOperations, "it has at least %d operations, allowed are %d")
}

// atMost stops at what is written too often. What counts as written out is looked at later.
func (o *outline) atMost(found, allowed int, reason apierror.Reason, words string) {
	if found > allowed {
		o.tokens.stop(reason, "The document is too large: "+words, found, allowed)
	}
}

// set reads a set of selections, which must be there.
func (o *outline) set(at place) {
	o.tokens.take(lexer.BraceL)
	o.tokens.some(lexer.BraceR, func(int) {
		o.nodes++
		o.into.own.fields++
		if o.tokens.skip(lexer.Spread) {
			o.fragment(at)
		} else {
			o.field(at)
		}
	})
}

func (o *outline) fragment(at place) {
	if o.tokens.is(lexer.Name) && !o.tokens.name("on") {
		name := o.tokens.take(lexer.Name)
		o.spreads++
		o.atMost(o.spreads, o.tokens.limits.Spreads, apierror.ReasonFragments, "it spreads fragments at least %d times, allowed are %d")
		o.into.spreads = append(o.into.spreads, spread{name, at})
		o.directives(false)
		return
	}
	if o.tokens.name("on") {
		o.tokens.next()
		o.tokens.take(lexer.Name)
	}
	o.directives(false)
	o.set(at)
}

func (o *outline) field(at place) {
	own := &o.into.own
	alias := o.tokens.take(lexer.Name)
	name := alias
	if o.tokens.skip(lexer.Colon) {
		name = o.tokens.take(lexer.Name)
	}
	if alias != name {
		own.aliases++
		if at.inside {
			own.aliasesBelow++
		}
	}
	if at.root {
		o.root(name)
	}
	o.arguments(false)
	o.directives(false)
	in := at
	in.root = false
	in.depth++
	if !at.inside {
		own.depth = max(own.depth, in.depth)
	}
	switch name {
	case "__schema":
		own.asked += fiveTypes
		in.inside = true
	case "__type":
		own.asked++
		in.inside = true
	case "fields", "inputFields", "interfaces", "possibleTypes":
		in.lists++
		own.lists = max(own.lists, in.lists)
		if in.inside {
			in.below++
			own.below = max(own.below, in.below)
		}
	}
	if o.tokens.is(lexer.BraceL) {
		o.set(in)
	}
}

func (o *outline) root(name string) {
	o.into.roots++
	if _, bounded := o.tokens.limits.Most[name]; bounded {
		if o.into.named == nil {
			o.into.named = map[string]int{}
		}
		o.into.named[name]++
	}
}

// definitions are those of variables.
func (o *outline) definitions() {
	own := &o.into.own
	if !o.tokens.skip(lexer.ParenL) {
		return
	}
	o.tokens.some(lexer.ParenR, func(n int) {
		o.nodes++
		o.variables = true
		o.atMost(n, o.tokens.limits.Variables, apierror.ReasonVariables, "an operation defines at least %d variables, allowed are %d")
		o.tokens.description()
		o.tokens.take(lexer.Dollar)
		name := o.tokens.take(lexer.Name)
		o.tokens.take(lexer.Colon)
		depth := 0
		for o.tokens.skip(lexer.BracketL) {
			depth++
		}
		own.valueDepth = max(own.valueDepth, depth)
		o.tokens.take(lexer.Name)
		o.tokens.skip(lexer.Bang)
		for range depth {
			o.tokens.take(lexer.BracketR)
			o.tokens.skip(lexer.Bang)
		}
		if o.tokens.skip(lexer.Equals) {
			before := own.values
			o.value(0, true)
			if o.defaults == nil {
				o.defaults = map[string]int{}
			}
			o.defaults[name] = max(o.defaults[name], own.values-before-1)
		}
		o.directives(true)
	})
}

// directives and arguments and values are constant where no variable may stand.
func (o *outline) directives(constant bool) {
	n := 0
	for o.tokens.skip(lexer.At) {
		n++
		o.nodes++
		o.atMost(n, o.tokens.limits.DirectivesAt, apierror.ReasonDirectives, "it has at least %d directives in one place, allowed are %d")
		o.tokens.take(lexer.Name)
		o.arguments(constant)
	}
	o.into.own.directives += n
}

func (o *outline) arguments(constant bool) {
	if !o.tokens.skip(lexer.ParenL) {
		return
	}
	o.tokens.some(lexer.ParenR, func(n int) {
		o.member(n)
		o.tokens.take(lexer.Colon)
		o.value(0, constant)
	})
}

// member passes the name of the nth argument or member of one place, and returns its bytes.
func (o *outline) member(n int) int {
	o.atMost(n, o.tokens.limits.Arguments, apierror.ReasonArguments, "it has at least %d arguments or members in one place, allowed are %d")
	return len(o.tokens.take(lexer.Name))
}

func (o *outline) value(depth int, constant bool) {
	own := &o.into.own
	o.nodes++
	own.values++
	switch o.tokens.now.Kind {
	case lexer.BracketL:
		own.valueDepth = max(own.valueDepth, depth+1)
		o.tokens.next()
		for o.tokens.within(lexer.BracketR) {
			o.value(depth+1, constant)
		}
	case lexer.BraceL:
		own.valueDepth = max(own.valueDepth, depth+1)
		o.tokens.next()
		for n := 1; o.tokens.within(lexer.BraceR); n++ {
			own.bytes += o.member(n)
			o.tokens.take(lexer.Colon)
			o.value(depth+1, constant)
		}
	case lexer.Dollar:
		dollar := o.tokens.now
		o.tokens.next() // which may be the first fault
		if constant {
			o.tokens.refuse(dollar.Start, "Unexpected "+dollar.Kind.String())
			return
		}
		name := o.tokens.take(lexer.Name)
		own.bytes += len(name)
		o.variables = true
		if o.into.uses == nil {
			o.into.uses = map[string]int{}
		}
		o.into.uses[name]++
	case lexer.Int, lexer.Float, lexer.String, lexer.BlockString, lexer.Name:
		o.literals = o.literals || !o.tokens.is(lexer.Name)
		own.bytes += len(o.tokens.text())
		o.tokens.next()
	default:
		o.tokens.unexpected()
	}
}
