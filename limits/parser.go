package limits

import (
	"strings"

	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/cloakql/cloakql/apierror"
)

// A parser reads a document and counts its parts. It builds no tree, which would take a hundred
// times the memory of the text. It follows the grammar of the specification for executable
// documents (September 2025). gqlparser (v2.5.37) accepts more in some places and less in others;
// it gets only documents that this parser accepts, rewritten if necessary.
type parser struct {
	operations, fragments []*definition
	spreads, nodes        int
	hasVariables          bool
	hasNonQuery           bool           // has a mutation or subscription
	hasLiteral            bool           // has a string or number
	defaults              map[string]int // list items and object fields in each variable's default

	tokens  *tokens
	current *definition // being read
}

// read reads the whole document. Check tokens.err before using the counts. It recurses as deep as
// brackets nest, which Limits.Nesting bounds.
func (p *parser) read() {
	limits := &p.tokens.limits
	for p.tokens.next(); p.tokens.hasMore(); {
		start, loc := p.tokens.current.Start, location{root: true}
		def := &definition{offset: start}
		p.current = def
		hasDescription := p.tokens.skipDescription()
		switch {
		case p.tokens.is(lexer.BraceL) && !hasDescription:
			p.countOperation(def)
		case p.tokens.isName("query", "mutation", "subscription"):
			p.countOperation(def)
			p.hasNonQuery = p.hasNonQuery || !p.tokens.isName("query")
			p.tokens.next()
			if p.tokens.is(lexer.Name) {
				p.tokens.next()
			}
			p.parseVariableDefinitions()
			p.parseDirectives(false)
		case p.tokens.isName("fragment"):
			def.fragment = true
			p.fragments = append(p.fragments, def)
			p.checkMax(len(p.fragments), limits.Fragments, apierror.ReasonFragments,
				"it defines at least %d fragments; the limit is %d")
			p.tokens.next()
			if p.tokens.isName("on") {
				p.tokens.failUnexpected()
			}
			def.name = p.tokens.expect(lexer.Name)
			p.tokens.expectKeyword("on")
			// Only introspection types have names that begin with __.
			loc.inIntrospection = strings.HasPrefix(p.tokens.expect(lexer.Name), "__")
			p.parseDirectives(false)
		case hasDescription && (p.tokens.is(lexer.BraceL) || p.tokens.is(lexer.Name)):
			p.tokens.failSyntax(start,
				"Unexpected description: only query, mutation, subscription and fragment have one")
		default:
			p.tokens.failUnexpected()
		}
		p.parseSelectionSet(loc)
	}
}

// countOperation counts an operation.
func (p *parser) countOperation(def *definition) {
	p.operations = append(p.operations, def)
	p.checkMax(len(p.operations), p.tokens.limits.Operations, apierror.ReasonOperations,
		"it has at least %d operations; the limit is %d")
}

// checkMax stops with an error if n exceeds a limit that isn't expanded. Limits.checkExpanded
// checks the expanded limits.
func (p *parser) checkMax(n, limit int, reason apierror.Reason, message string) {
	if n > limit {
		p.tokens.failLimit(reason, "The document is too large: "+message, n, limit)
	}
}

// parseSelectionSet parses a selection set. It is a syntax error if there is none.
func (p *parser) parseSelectionSet(loc location) {
	p.tokens.expect(lexer.BraceL)
	p.tokens.readSome(lexer.BraceR, func(int) {
		p.nodes++
		p.current.counts.selections++
		if p.tokens.skip(lexer.Spread) {
			p.parseSpreadOrInline(loc)
		} else {
			p.parseField(loc)
		}
	})
}

// parseSpreadOrInline parses the rest of a fragment spread or an inline fragment, after the dots.
func (p *parser) parseSpreadOrInline(loc location) {
	if p.tokens.is(lexer.Name) && !p.tokens.isName("on") {
		name := p.tokens.expect(lexer.Name)
		p.spreads++
		p.checkMax(p.spreads, p.tokens.limits.Spreads, apierror.ReasonFragments,
			"it spreads fragments at least %d times; the limit is %d")
		p.current.spreads = append(p.current.spreads, spread{name, loc})
		p.parseDirectives(false)
		return
	}
	if p.tokens.isName("on") {
		p.tokens.next()
		p.tokens.expect(lexer.Name)
	}
	p.parseDirectives(false)
	p.parseSelectionSet(loc)
}

// parseField parses the field at loc.
func (p *parser) parseField(loc location) {
	c := &p.current.counts
	alias := p.tokens.expect(lexer.Name)
	name := alias
	if p.tokens.skip(lexer.Colon) {
		name = p.tokens.expect(lexer.Name)
	}
	if alias != name {
		c.aliases++
		if loc.inIntrospection {
			c.introspectionAliases++
		}
	}
	if loc.root {
		p.countRootField(name)
	}
	p.parseArguments(false)
	p.parseDirectives(false)
	innerLoc := loc
	innerLoc.root = false
	innerLoc.depth++
	if !loc.inIntrospection {
		c.depth = max(c.depth, innerLoc.depth)
	}
	switch name {
	case "__schema":
		c.introspectionWeight += schemaWeight
		innerLoc.inIntrospection = true
	case "__type":
		c.introspectionWeight++
		innerLoc.inIntrospection = true
	case "fields", "inputFields", "interfaces", "possibleTypes":
		innerLoc.listDepth++
		c.listDepth = max(c.listDepth, innerLoc.listDepth)
		if innerLoc.inIntrospection {
			innerLoc.introspectionDepth++
			c.introspectionDepth = max(c.introspectionDepth, innerLoc.introspectionDepth)
		}
	}
	if p.tokens.is(lexer.BraceL) {
		p.parseSelectionSet(innerLoc)
	}
}

// countRootField counts a root field.
func (p *parser) countRootField(name string) {
	p.current.rootFields++
	if _, bounded := p.tokens.limits.RootFieldMax[name]; bounded {
		if p.current.rootFieldCounts == nil {
			p.current.rootFieldCounts = map[string]int{}
		}
		p.current.rootFieldCounts[name]++
	}
}

// parseVariableDefinitions parses variable definitions, if there are any.
func (p *parser) parseVariableDefinitions() {
	c := &p.current.counts
	if !p.tokens.skip(lexer.ParenL) {
		return
	}
	p.tokens.readSome(lexer.ParenR, func(n int) {
		p.nodes++
		p.hasVariables = true
		p.checkMax(n, p.tokens.limits.Variables, apierror.ReasonVariables,
			"an operation defines at least %d variables; the limit is %d")
		p.tokens.skipDescription()
		p.tokens.expect(lexer.Dollar)
		name := p.tokens.expect(lexer.Name)
		p.tokens.expect(lexer.Colon)
		depth := 0
		for p.tokens.skip(lexer.BracketL) {
			depth++
		}
		c.valueDepth = max(c.valueDepth, depth)
		p.tokens.expect(lexer.Name)
		p.tokens.skip(lexer.Bang)
		for range depth {
			p.tokens.expect(lexer.BracketR)
			p.tokens.skip(lexer.Bang)
		}
		if p.tokens.skip(lexer.Equals) {
			valuesBefore := c.values
			p.parseValue(0, true)
			if p.defaults == nil {
				p.defaults = map[string]int{}
			}
			p.defaults[name] = max(p.defaults[name], c.values-valuesBefore-1)
		}
		p.parseDirectives(true)
	})
}

// parseDirectives parses directives, if there are any. If constant is set, a variable in them is a
// syntax error. The same is true for arguments and values.
func (p *parser) parseDirectives(constant bool) {
	n := 0
	for p.tokens.skip(lexer.At) {
		n++
		p.nodes++
		p.checkMax(n, p.tokens.limits.DirectivesPerNode, apierror.ReasonDirectives,
			"it has at least %d directives in one place; the limit is %d")
		p.tokens.expect(lexer.Name)
		p.parseArguments(constant)
	}
	p.current.counts.directives += n
}

// parseArguments parses arguments, if there are any.
func (p *parser) parseArguments(constant bool) {
	if !p.tokens.skip(lexer.ParenL) {
		return
	}
	p.tokens.readSome(lexer.ParenR, func(n int) {
		p.parseArgumentName(n)
		p.tokens.expect(lexer.Colon)
		p.parseValue(0, constant)
	})
}

// parseArgumentName parses the name of the nth argument or object field, and returns its length.
func (p *parser) parseArgumentName(n int) int {
	p.checkMax(n, p.tokens.limits.Arguments, apierror.ReasonArguments,
		"it has at least %d arguments or object fields in one place; the limit is %d")
	return len(p.tokens.expect(lexer.Name))
}

// parseValue parses a value. depth is the number of enclosing lists and objects.
func (p *parser) parseValue(depth int, constant bool) {
	c := &p.current.counts
	p.nodes++
	c.values++
	switch p.tokens.current.Kind {
	case lexer.BracketL:
		c.valueDepth = max(c.valueDepth, depth+1)
		p.tokens.next()
		for p.tokens.untilClose(lexer.BracketR) {
			p.parseValue(depth+1, constant)
		}
	case lexer.BraceL:
		c.valueDepth = max(c.valueDepth, depth+1)
		p.tokens.next()
		for n := 1; p.tokens.untilClose(lexer.BraceR); n++ {
			c.bytes += p.parseArgumentName(n)
			p.tokens.expect(lexer.Colon)
			p.parseValue(depth+1, constant)
		}
	case lexer.Dollar:
		dollar := p.tokens.current
		p.tokens.next() // an error in the next token takes precedence
		if constant {
			p.tokens.failSyntax(dollar.Start, "Unexpected "+dollar.Kind.String())
			return
		}
		name := p.tokens.expect(lexer.Name)
		c.bytes += len(name)
		p.hasVariables = true
		if p.current.uses == nil {
			p.current.uses = map[string]int{}
		}
		p.current.uses[name]++
	case lexer.Int, lexer.Float, lexer.String, lexer.BlockString, lexer.Name:
		p.hasLiteral = p.hasLiteral || !p.tokens.is(lexer.Name)
		c.bytes += len(p.tokens.text())
		p.tokens.next()
	default:
		p.tokens.failUnexpected()
	}
}
