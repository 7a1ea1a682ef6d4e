package limits

import (
	"strings"

	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/cloakql/cloakql/apierror"
)

// A parser keeps what must be known of a document to measure it: what gqlparser's parser makes of
// it, without what a tree takes in memory, which is a hundred times the text. It is read by the
// grammar of the specification (September 2025, executable documents), which decides what a
// document is: gqlparser (v2.5.37) takes more in some places and less in others, and sees only what
// was accepted here, rewritten where it must be.
type parser struct {
	operations, fragments []*definition
	spreads, nodes        int
	variables             bool           // whether there are any
	defaults              map[string]int // of each variable, the items and members of its default
	changes, literals     bool           // an operation that isn't a query; a string or a number

	tokens *tokens
	into   *definition // what is read now
}

// read reads the whole document. Check tokens.err before using what it found. It recurses as deep
// as brackets nest, which the tokens bound.
func (p *parser) read() {
	limits := &p.tokens.limits
	for p.tokens.next(); p.tokens.more(); {
		start, at := p.tokens.now, location{root: true}
		def := &definition{at: start.Start}
		p.into = def
		described := p.tokens.description()
		switch {
		case p.tokens.is(lexer.BraceL) && !described:
			p.operation(def)
		case p.tokens.name("query", "mutation", "subscription"):
			p.operation(def)
			p.changes = p.changes || !p.tokens.name("query")
			p.tokens.next()
			if p.tokens.is(lexer.Name) {
				p.tokens.next()
			}
			p.definitions()
			p.directives(false)
		case p.tokens.name("fragment"):
			def.fragment = true
			p.fragments = append(p.fragments, def)
			p.checkMax(len(p.fragments), limits.Fragments, apierror.ReasonFragments,
				"it defines at least %d fragments, allowed are %d")
			p.tokens.next()
			if p.tokens.name("on") {
				p.tokens.unexpected()
			}
			def.name = p.tokens.take(lexer.Name)
			p.tokens.keyword("on")
			// names that only the introspection has
			at.inIntrospection = strings.HasPrefix(p.tokens.take(lexer.Name), "__")
			p.directives(false)
		case described && (p.tokens.is(lexer.BraceL) || p.tokens.is(lexer.Name)):
			p.tokens.refuse(start.Start,
				"Unexpected description: only query, mutation, subscription and fragment have one")
		default:
			p.tokens.unexpected()
		}
		p.set(at)
	}
}

func (p *parser) operation(def *definition) {
	p.operations = append(p.operations, def)
	p.checkMax(len(p.operations), p.tokens.limits.Operations, apierror.ReasonOperations,
		"it has at least %d operations, allowed are %d")
}

// checkMax stops at what is written too often. What counts as written out is looked at later.
func (p *parser) checkMax(found, allowed int, reason apierror.Reason, message string) {
	if found > allowed {
		p.tokens.stop(reason, "The document is too large: "+message, found, allowed)
	}
}

// set reads a set of selections, which must be there.
func (p *parser) set(at location) {
	p.tokens.take(lexer.BraceL)
	p.tokens.some(lexer.BraceR, func(int) {
		p.nodes++
		p.into.own.fields++
		if p.tokens.skip(lexer.Spread) {
			p.fragment(at)
		} else {
			p.field(at)
		}
	})
}

func (p *parser) fragment(at location) {
	if p.tokens.is(lexer.Name) && !p.tokens.name("on") {
		name := p.tokens.take(lexer.Name)
		p.spreads++
		p.checkMax(p.spreads, p.tokens.limits.Spreads, apierror.ReasonFragments,
			"it spreads fragments at least %d times, allowed are %d")
		p.into.spreads = append(p.into.spreads, spread{name, at})
		p.directives(false)
		return
	}
	if p.tokens.name("on") {
		p.tokens.next()
		p.tokens.take(lexer.Name)
	}
	p.directives(false)
	p.set(at)
}

func (p *parser) field(at location) {
	own := &p.into.own
	alias := p.tokens.take(lexer.Name)
	name := alias
	if p.tokens.skip(lexer.Colon) {
		name = p.tokens.take(lexer.Name)
	}
	if alias != name {
		own.aliases++
		if at.inIntrospection {
			own.aliasesBelow++
		}
	}
	if at.root {
		p.root(name)
	}
	p.arguments(false)
	p.directives(false)
	in := at
	in.root = false
	in.depth++
	if !at.inIntrospection {
		own.depth = max(own.depth, in.depth)
	}
	switch name {
	case "__schema":
		own.introspectionRoots += fiveTypes
		in.inIntrospection = true
	case "__type":
		own.introspectionRoots++
		in.inIntrospection = true
	case "fields", "inputFields", "interfaces", "possibleTypes":
		in.lists++
		own.lists = max(own.lists, in.lists)
		if in.inIntrospection {
			in.introspectionDepth++
			own.introspectionDepth = max(own.introspectionDepth, in.introspectionDepth)
		}
	}
	if p.tokens.is(lexer.BraceL) {
		p.set(in)
	}
}

func (p *parser) root(name string) {
	p.into.roots++
	if _, bounded := p.tokens.limits.RootFieldMax[name]; bounded {
		if p.into.named == nil {
			p.into.named = map[string]int{}
		}
		p.into.named[name]++
	}
}

// definitions are those of variables.
func (p *parser) definitions() {
	own := &p.into.own
	if !p.tokens.skip(lexer.ParenL) {
		return
	}
	p.tokens.some(lexer.ParenR, func(n int) {
		p.nodes++
		p.variables = true
		p.checkMax(n, p.tokens.limits.Variables, apierror.ReasonVariables,
			"an operation defines at least %d variables, allowed are %d")
		p.tokens.description()
		p.tokens.take(lexer.Dollar)
		name := p.tokens.take(lexer.Name)
		p.tokens.take(lexer.Colon)
		depth := 0
		for p.tokens.skip(lexer.BracketL) {
			depth++
		}
		own.valueDepth = max(own.valueDepth, depth)
		p.tokens.take(lexer.Name)
		p.tokens.skip(lexer.Bang)
		for range depth {
			p.tokens.take(lexer.BracketR)
			p.tokens.skip(lexer.Bang)
		}
		if p.tokens.skip(lexer.Equals) {
			before := own.values
			p.value(0, true)
			if p.defaults == nil {
				p.defaults = map[string]int{}
			}
			p.defaults[name] = max(p.defaults[name], own.values-before-1)
		}
		p.directives(true)
	})
}

// directives and arguments and values are constant where no variable may stand.
func (p *parser) directives(constant bool) {
	n := 0
	for p.tokens.skip(lexer.At) {
		n++
		p.nodes++
		p.checkMax(n, p.tokens.limits.DirectivesPerNode, apierror.ReasonDirectives,
			"it has at least %d directives in one place, allowed are %d")
		p.tokens.take(lexer.Name)
		p.arguments(constant)
	}
	p.into.own.directives += n
}

func (p *parser) arguments(constant bool) {
	if !p.tokens.skip(lexer.ParenL) {
		return
	}
	p.tokens.some(lexer.ParenR, func(n int) {
		p.member(n)
		p.tokens.take(lexer.Colon)
		p.value(0, constant)
	})
}

// member passes the name of the nth argument or member of one place, and returns its bytes.
func (p *parser) member(n int) int {
	p.checkMax(n, p.tokens.limits.Arguments, apierror.ReasonArguments,
		"it has at least %d arguments or members in one place, allowed are %d")
	return len(p.tokens.take(lexer.Name))
}

func (p *parser) value(depth int, constant bool) {
	own := &p.into.own
	p.nodes++
	own.values++
	switch p.tokens.now.Kind {
	case lexer.BracketL:
		own.valueDepth = max(own.valueDepth, depth+1)
		p.tokens.next()
		for p.tokens.within(lexer.BracketR) {
			p.value(depth+1, constant)
		}
	case lexer.BraceL:
		own.valueDepth = max(own.valueDepth, depth+1)
		p.tokens.next()
		for n := 1; p.tokens.within(lexer.BraceR); n++ {
			own.bytes += p.member(n)
			p.tokens.take(lexer.Colon)
			p.value(depth+1, constant)
		}
	case lexer.Dollar:
		dollar := p.tokens.now
		p.tokens.next() // which may be the first fault
		if constant {
			p.tokens.refuse(dollar.Start, "Unexpected "+dollar.Kind.String())
			return
		}
		name := p.tokens.take(lexer.Name)
		own.bytes += len(name)
		p.variables = true
		if p.into.uses == nil {
			p.into.uses = map[string]int{}
		}
		p.into.uses[name]++
	case lexer.Int, lexer.Float, lexer.String, lexer.BlockString, lexer.Name:
		p.literals = p.literals || !p.tokens.is(lexer.Name)
		own.bytes += len(p.tokens.text())
		p.tokens.next()
	default:
		p.tokens.unexpected()
	}
}
