package limits

import (
	"strings"

	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/cloakql/cloakql/apierror"
)

// A parser reads a document and counts its parts. It builds no tree, which would take a hundred
// times the memory of the text. It follows the grammar of the specification (September 2025) for
// executable documents; gqlparser (v2.5.37) differs from that grammar. gqlparser gets only
// documents that this parser accepts, rewritten if necessary.
type parser struct {
	operations, fragments []*definition
	spreads, nodes        int
	hasVariables          bool
	hasNonQuery           bool           // has a mutation or subscription
	hasLiteral            bool           // has a string or number
	defaultItems          map[string]int // list items and object fields in each variable's default

	tokens *tokens
	def    *definition // the definition that is being parsed
}

// parseDocument reads the whole document. Check tokens.err before using the counts. It recurses as
// deep as brackets nest, which Limits.Nesting bounds.
func (p *parser) parseDocument() {
	limits := &p.tokens.limits
	for p.tokens.next(); p.tokens.hasMore(); {
		start, loc := p.tokens.token.Start, location{atRoot: true}
		def := &definition{offset: start}
		p.def = def
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
			def.isFragment = true
			p.fragments = append(p.fragments, def)
			p.checkLimit(len(p.fragments), limits.Fragments, apierror.ReasonFragments,
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
	p.checkLimit(len(p.operations), p.tokens.limits.Operations, apierror.ReasonOperations,
		"it has at least %d operations; the limit is %d")
}

// checkLimit stops with an error if n exceeds a limit that isn't expanded. Limits.checkExpanded
// checks the expanded limits.
func (p *parser) checkLimit(n, limit int, reason apierror.Reason, format string) {
	if n > limit {
		p.tokens.failLimit(reason, "The document is too large: "+format, n, limit)
	}
}

// parseSelectionSet parses a selection set. A missing selection set is a syntax error.
func (p *parser) parseSelectionSet(loc location) {
	p.tokens.expect(lexer.BraceL)
	p.tokens.readElements(lexer.BraceR, func(int) {
		p.nodes++
		p.def.counts.selections++
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
		p.checkLimit(p.spreads, p.tokens.limits.Spreads, apierror.ReasonFragments,
			"it spreads fragments at least %d times; the limit is %d")
		p.def.spreads = append(p.def.spreads, spread{name, loc})
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
	c := &p.def.counts
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
	if loc.atRoot {
		p.countRootField(name)
	}
	p.parseArguments(false)
	p.parseDirectives(false)
	innerLoc := loc
	innerLoc.atRoot = false
	innerLoc.depth++
	if !loc.inIntrospection {
		c.depth = max(c.depth, innerLoc.depth)
	}
	switch name {
	case "__schema":
		c.introspectionCost += schemaCost
		innerLoc.inIntrospection = true
	case "__type":
		c.introspectionCost += typeCost
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
	p.def.rootFields++
	if _, limited := p.tokens.limits.RootFieldMax[name]; limited {
		if p.def.rootFieldCounts == nil {
			p.def.rootFieldCounts = map[string]int{}
		}
		p.def.rootFieldCounts[name]++
	}
}

// parseVariableDefinitions parses variable definitions, if there are any.
func (p *parser) parseVariableDefinitions() {
	c := &p.def.counts
	if !p.tokens.skip(lexer.ParenL) {
		return
	}
	p.tokens.readElements(lexer.ParenR, func(n int) {
		p.nodes++
		p.hasVariables = true
		p.checkLimit(n, p.tokens.limits.Variables, apierror.ReasonVariables,
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
			if p.defaultItems == nil {
				p.defaultItems = map[string]int{}
			}
			p.defaultItems[name] = max(p.defaultItems[name], c.values-valuesBefore-1)
		}
		p.parseDirectives(true)
	})
}

// parseDirectives parses directives, if there are any. If constant is true, a variable in them is a
// syntax error. The parameter has the same meaning for arguments and values.
func (p *parser) parseDirectives(constant bool) {
	n := 0
	for p.tokens.skip(lexer.At) {
		n++
		p.nodes++
		p.checkLimit(n, p.tokens.limits.DirectivesPerNode, apierror.ReasonDirectives,
			"it has at least %d directives in one place; the limit is %d")
		p.tokens.expect(lexer.Name)
		p.parseArguments(constant)
	}
	p.def.counts.directives += n
}

// parseArguments parses arguments, if there are any.
func (p *parser) parseArguments(constant bool) {
	if !p.tokens.skip(lexer.ParenL) {
		return
	}
	p.tokens.readElements(lexer.ParenR, func(n int) {
		p.parseArgumentName(n)
		p.tokens.expect(lexer.Colon)
		p.parseValue(0, constant)
	})
}

// parseArgumentName parses the name of the nth argument or object field, and returns its length.
func (p *parser) parseArgumentName(n int) int {
	p.checkLimit(n, p.tokens.limits.Arguments, apierror.ReasonArguments,
		"it has at least %d arguments or object fields in one place; the limit is %d")
	return len(p.tokens.expect(lexer.Name))
}

// parseValue parses a value. depth is the number of enclosing lists and objects.
func (p *parser) parseValue(depth int, constant bool) {
	c := &p.def.counts
	p.nodes++
	c.values++
	switch p.tokens.token.Kind {
	case lexer.BracketL:
		c.valueDepth = max(c.valueDepth, depth+1)
		p.tokens.next()
		for p.tokens.hasElement(lexer.BracketR) {
			p.parseValue(depth+1, constant)
		}
	case lexer.BraceL:
		c.valueDepth = max(c.valueDepth, depth+1)
		p.tokens.next()
		for n := 1; p.tokens.hasElement(lexer.BraceR); n++ {
			c.valueBytes += p.parseArgumentName(n)
			p.tokens.expect(lexer.Colon)
			p.parseValue(depth+1, constant)
		}
	case lexer.Dollar:
		dollar := p.tokens.token
		p.tokens.next() // an error in the next token takes precedence
		if constant {
			p.tokens.failSyntax(dollar.Start, "Unexpected "+dollar.Kind.String())
			return
		}
		name := p.tokens.expect(lexer.Name)
		c.valueBytes += len(name)
		p.hasVariables = true
		if p.def.uses == nil {
			p.def.uses = map[string]int{}
		}
		p.def.uses[name]++
	case lexer.Int, lexer.Float, lexer.String, lexer.BlockString, lexer.Name:
		p.hasLiteral = p.hasLiteral || !p.tokens.is(lexer.Name)
		c.valueBytes += len(p.tokens.text())
		p.tokens.next()
	default:
		p.tokens.failUnexpected()
	}
}
