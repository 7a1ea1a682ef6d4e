package authz

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// A decision says which fields of an operation the caller may not have. It is made before the
// operation runs. It is safe for concurrent use.
type decision struct {
	rules    *schemaRules
	caller   *caller
	opCtx    *graphql.OperationContext // of the operation, if gqlgen runs it
	verdicts []verdict                 // of the rules that don't use arguments, by rule.index
	vars     map[string]any

	denied []deniedField // the fields that are denied, whatever the type of their objects
	// perObject is set if the decision for a field depends on the type of its object, or if an
	// entity is denied. If perObject is set or denied isn't empty, deny decides about each field
	// when it runs.
	perObject bool
	// stopped is set if nothing may run: a field is denied, and either the operation is strict (see
	// walker), or the null in place of the field would make the whole response null. There is an
	// exception: if each possible type of an object has another denied field, a query runs, even
	// if its response is sure to be null.
	stopped bool

	decided bool         // whether decide has returned
	denials atomic.Int32 // of fields that deny decided about

	deniedNames nameSet // of the denied fields
	dryRunNames nameSet // of the fields that only rules of a dry run deny
}

// A verdict is the result of a rule.
type verdict struct {
	known bool // whether the rule has been checked
	err   error
}

// A deniedField is a denied selection.
type deniedField struct {
	field *ast.Field
	path  *pathNode // of its parent
	err   error
}

// A pathNode is a field on the path from the root of an operation to a selection.
type pathNode struct {
	parent *pathNode
	field  *ast.Field
}

// decide applies the rules to an operation. Its cost is linear in the operation's size: in a query,
// each fragment is visited at most twice. In a strict operation, each fragment is visited at most
// twice for each type of objects that it is spread on.
func (s *schemaRules) decide(operation *ast.OperationDefinition, vars map[string]any, c *caller,
	allOrNothing bool) *decision {
	d := &decision{rules: s, caller: c, vars: vars, verdicts: make([]verdict, len(s.rules))}
	w := walker{decision: d,
		strict: allOrNothing || operation.Operation != ast.Query}
	w.selections(operation.SelectionSet, w.rootType(operation.Operation), nil, true)
	d.stopped = d.stopped || w.strict && len(d.denied) > 0
	d.decided = true
	return d
}

// A walker visits the fields of an operation.
type walker struct {
	*decision
	// strict is set if one denied field stops the whole operation: for mutations and subscriptions,
	// and for queries with Config.AllOrNothing.
	strict  bool
	visited map[fragmentVisit]bool
}

// A fragmentVisit identifies a visit of a fragment: it has the fragment, and the arguments of
// selections that the result depends on.
type fragmentVisit struct {
	fragment    *ast.FragmentDefinition
	typ         *ast.Definition
	reachesRoot bool
}

// selections visits a selection set below the field at path. reachesRoot is set if a null in
// place of the object would propagate to the root of the response.
//
// typ is the most specific type that all the objects are known to have. A fragment on an interface
// of typ doesn't change it. typ is nil if the operation isn't strict: then, a field whose rules
// depend on the type of the object is decided when it runs.
func (w *walker) selections(set ast.SelectionSet, typ *ast.Definition, path *pathNode,
	reachesRoot bool) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			if w.included(selection.Directives) {
				w.field(selection, typ, path, reachesRoot)
			}
		case *ast.InlineFragment:
			if !w.included(selection.Directives) {
				continue
			}
			if inner, ok := w.narrow(typ, selection.TypeCondition); ok {
				w.selections(selection.SelectionSet, inner, path,
					reachesRoot && w.applies(selection.TypeCondition, selection.ObjectDefinition))
			}
		case *ast.FragmentSpread:
			if !w.included(selection.Directives) || selection.Definition == nil {
				continue
			}
			inner, ok := w.narrow(typ, selection.Definition.TypeCondition)
			if !ok {
				continue
			}
			visit := fragmentVisit{selection.Definition, inner, reachesRoot &&
				w.applies(selection.Definition.TypeCondition, selection.ObjectDefinition)}
			if w.visited[visit] {
				continue
			}
			if w.visited == nil {
				w.visited = map[fragmentVisit]bool{}
			}
			w.visited[visit] = true
			w.selections(selection.Definition.SelectionSet, inner, path, visit.reachesRoot)
		}
	}
}

// rootType returns the type of the root object, or nil if the operation isn't strict.
func (w *walker) rootType(operation ast.Operation) *ast.Definition {
	switch {
	case !w.strict:
		return nil
	case operation == ast.Mutation:
		return w.rules.schema.Mutation
	case operation == ast.Subscription:
		return w.rules.schema.Subscription
	}
	return w.rules.schema.Query
}

// narrow returns the typ of the selections in a fragment with a type condition (see selections). It
// returns false if no object of typ satisfies the condition.
func (w *walker) narrow(typ *ast.Definition, condition string) (*ast.Definition, bool) {
	if typ == nil || condition == "" || w.rules.isSubtype[typ.Name][condition] {
		return typ, true
	}
	for _, object := range w.rules.possibleTypes[typ.Name] {
		if w.rules.isSubtype[object][condition] {
			return w.rules.schema.Types[condition], true
		}
	}
	return nil, false
}

// applies reports whether a type condition is true for every object of a type.
func (w *walker) applies(condition string, typ *ast.Definition) bool {
	return condition == "" || typ == nil || condition == typ.Name ||
		w.rules.isSubtype[typ.Name][condition]
}

// included reports whether @skip and @include leave a selection in the operation. If a condition
// isn't a boolean, the selection counts as included, so that the rules apply to it.
func (w *walker) included(directives ast.DirectiveList) bool {
	return len(directives) == 0 ||
		!w.ifArgumentIs(directives.ForName("skip"), true) &&
			!w.ifArgumentIs(directives.ForName("include"), false)
}

// ifArgumentIs reports whether directive isn't nil and its argument "if" has this value.
func (w *walker) ifArgumentIs(directive *ast.Directive, value bool) bool {
	if directive == nil {
		return false
	}
	arg := directive.Arguments.ForName("if")
	if arg == nil {
		return false
	}
	condition, err := arg.Value.Value(w.vars)
	return err == nil && condition == value
}

// field decides about a selected field of objects of a type; see selections.
func (w *walker) field(field *ast.Field, typ *ast.Definition, path *pathNode, reachesRoot bool) {
	definition, inherited := field.Definition, false
	if typ != nil {
		if specific := typ.Fields.ForName(field.Name); specific != nil {
			definition = specific
		} else {
			inherited = definition != nil // from an interface that all possible objects implement
		}
	}
	info, ok := w.rules.fields[definition]
	switch {
	case inherited:
		info = w.rules.abstractField(typ.Name, definition)
	case !ok && definition != nil:
		info = infoOf(definition.Type)
	}
	err, partly := w.checkLists(info.ruleLists, field)
	if err == nil && isEntitiesField(definition) {
		err = w.checkEntities(field)
		partly = err != nil // other representations may be admitted
	}
	if partly && !w.strict {
		w.perObject, err = true, nil
	}
	if err != nil {
		w.denied = append(w.denied, deniedField{field, path, err})
		w.stopped = w.stopped || reachesRoot && info.nonNull
		return
	}
	if len(field.SelectionSet) > 0 {
		var inner *ast.Definition
		if typ != nil {
			inner = w.rules.schema.Types[typeName(definition.Type)]
		}
		w.selections(field.SelectionSet, inner, &pathNode{path, field},
			reachesRoot && info.nonNullAtEveryLevel)
	}
}

// checkLists returns an error if one of the lists of rules denies the field. partly reports
// whether another list admits it.
func (w *walker) checkLists(lists [][]*rule, field *ast.Field) (err error, partly bool) {
	if len(lists) == 0 {
		return nil, false
	}
	denials := 0
	args := &arguments{field: field, vars: w.vars}
	for _, rules := range lists {
		if listErr := w.check(rules, args); listErr != nil {
			denials++
			err = listErr
		}
	}
	return err, denials > 0 && denials < len(lists)
}

// check returns the error of the first of the rules that the caller doesn't satisfy, or nil. Rules
// of a dry run are only recorded.
func (d *decision) check(rules []*rule, args *arguments) error {
	for _, r := range rules {
		err := d.verdict(r, args)
		if err == nil {
			continue
		}
		if !r.dryRun && err != errDryRun {
			return err
		}
		d.dryRunNames.add(coordinate(args.field))
	}
	return nil
}

// verdict returns the result of a rule for a field with these arguments. A rule that uses no
// arguments is checked once for each operation. A rule for the input types of a field's arguments
// (see compiler.inputRule) is checked once for each field.
func (d *decision) verdict(r *rule, args *arguments) error {
	if r.usesArguments {
		if r.isInputRule && r == args.inputRule {
			return args.inputErr
		}
		err := r.check(d.caller, args)
		if r.isInputRule {
			args.inputRule, args.inputErr = r, err
		}
		return err
	}
	v := &d.verdicts[r.index]
	if v.known {
		return v.err
	}
	err := r.check(d.caller, nil)
	if !d.decided { // afterwards, fields run concurrently
		v.known, v.err = true, err
	}
	return err
}

// deny returns why the caller may not have a field of an object of a type, or nil.
func (d *decision) deny(object string, field *ast.Field) error {
	err := d.check(d.rules.objectFields[object][field.Name], &arguments{field: field, vars: d.vars})
	if err != nil {
		d.deniedNames.add(object + "." + field.Name)
	}
	return err
}

// coordinate returns the names of a selected field and of the type that it is selected on, such as
// Query.notes.
func coordinate(field *ast.Field) string { return objectName(field) + "." + field.Name }

// objectName returns the name of the type that a field is selected on, or "".
func objectName(field *ast.Field) string {
	if field.ObjectDefinition == nil {
		return ""
	}
	return field.ObjectDefinition.Name
}

// A nameSet is a set of at most maxNames names. It is safe for concurrent use.
type nameSet struct {
	mu    sync.Mutex
	names []string
}

// maxNames bounds the fields in a Denial.
const maxNames = 50

func (s *nameSet) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) < maxNames && !slices.Contains(s.names, name) {
		s.names = append(s.names, name)
	}
}

// list returns the names, sorted.
func (s *nameSet) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.names))
}
