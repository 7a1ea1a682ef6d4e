package authz

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/cloakql/cloakql/identity"
)

// The seed of one schema, to repeat a failure of TestRandomSchemas.
var seedFlag = flag.Uint64("seed", 0, "the only `seed` of TestRandomSchemas")

// Random operations of random callers on random schemas: no denied field runs, every allowed field
// does, the response is what it should be, and nothing runs if a denied field decides the whole
// response. The reference decides about each object by itself, while it walks the response.
func TestRandomSchemas(t *testing.T) {
	seeds := []uint64{*seedFlag}
	if *seedFlag == 0 {
		seeds = seeds[:0]
		for seed := range uint64(120) {
			seeds = append(seeds, seed+1)
		}
	}
	operations := map[string]int{}
	for _, seed := range seeds {
		testRandomSchema(t, seed, operations)
		if t.Failed() {
			t.Fatalf("repeat with: go test -run TestRandomSchemas ./authz -seed %d", seed)
		}
	}
	// The random operations must not all be of one kind.
	if *seedFlag == 0 {
		for _, kind := range []string{"allowed", "denied", "stopped query", "stopped mutation",
			"null response", "several types", "allowed mutation"} {
			if operations[kind] < 10 {
				t.Errorf("only %d operations of the kind %q: %v", operations[kind], kind,
					operations)
			}
		}
	}
}

func testRandomSchema(t *testing.T, seed uint64, count map[string]int) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 17))}
	source := g.schema()
	executor := &testExecutor{schema: loadSource(t, Schema()+source)}
	g.executor = executor
	server := handler.New(executor)
	server.AddTransport(transport.POST{})
	config := Config{Default: DefaultAuth}
	if err := Install(server, executor, config); err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, source)
	}
	rules, err := compile(executor.schema, config)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 25; {
		document := g.operation()
		doc, errs := gqlparser.LoadQuery(executor.schema, document)
		if errs != nil {
			continue // such as two fields with one response key
		}
		n++
		sent := map[string]any{"b": g.IntN(2) == 0, "f": g.variable(), "e": "X"}
		operation := doc.Operations[0]
		vars, err := validator.VariableValues(executor.schema, operation, sent)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, document)
		}
		c := callerWithRoles()
		for role := range roleCount {
			if g.IntN(3) > 0 {
				c.user.RealmRoles = append(c.user.RealmRoles, fmt.Sprint("r", role))
			}
		}
		if g.IntN(12) == 0 {
			c = &caller{err: identity.ErrTokenMissing}
		}
		executor.world, executor.ran = g.Uint64(), nil

		ctx := identity.NewContext(t.Context(), c.user, c.err)
		body := toJSON(map[string]any{"query": document, "variables": sent})
		request := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, request)
		var response struct {
			Data   any
			Errors []json.RawMessage
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &response); err != nil {
			t.Fatalf("seed %d: response %s", seed, recorder.Body)
		}

		ref := &reference{testExecutor: executor, doc: doc, vars: vars, user: c.user}
		want := ref.execute(operation)
		d := rules.decide(operation, vars, c, false)
		fail := func(format string, args ...any) {
			t.Errorf("seed %d: %s\n%s\n%s\nvariables %s\nroles %s\nresponse %s\nran %v",
				seed, fmt.Sprintf(format, args...), source, document, toJSON(sent), toJSON(c.user),
				recorder.Body, executor.ran)
		}
		slices.Sort(executor.ran)
		slices.Sort(ref.ran)
		mutation := operation.Operation == ast.Mutation
		root := []string{objectName(operation.SelectionSet[0].(*ast.Field))}
		sets := []ast.SelectionSet{operation.SelectionSet}
		if ref.someDenied(root, sets); ref.invalid {
			continue
		}
		switch {
		case d.stopped && (response.Data != nil || executor.ran != nil || response.Errors == nil):
			fail("the operation was to be stopped")
		case d.stopped && mutation && !g.partial && !ref.someDenied(root, sets):
			fail("the mutation was stopped, but no field is denied")
		case d.stopped && !mutation && (want != nil || !ref.mustBeNull(root, sets, false)):
			fail("the query was stopped, but its response isn't null: %s", toJSON(want))
		case !d.stopped && mutation && ref.someDenied(root, sets):
			fail("the mutation ran, but a field is denied")
		case !d.stopped && toJSON(response.Data) != toJSON(want):
			fail("want the data %s", toJSON(want))
		case !d.stopped && !slices.Equal(executor.ran, ref.ran):
			fail("want these to run: %v", ref.ran)
		case !d.stopped && len(response.Errors) != ref.denials:
			fail("want %d errors", ref.denials)
		case !d.stopped && !d.perObject && !g.otherType && ref.mustBeNull(root, sets, true):
			fail("the query ran, but its response can only be null")
		}
		if t.Failed() {
			return
		}
		switch {
		case d.stopped && mutation:
			count["stopped mutation"]++
		case d.stopped:
			count["stopped query"]++
		case mutation:
			count["allowed mutation"]++
		case ref.denials > 0:
			count["denied"]++
		default:
			count["allowed"]++
		}
		if !d.stopped && want == nil {
			count["null response"]++
		}
		if d.perObject {
			count["several types"]++
		}
	}
}

// A reference decides about the fields of an operation, slowly: object by object, with what the
// schema's source says.
type reference struct {
	*testExecutor
	doc  *ast.QueryDocument
	vars map[string]any
	user *identity.User // nil if anonymous

	ran     []string // the paths of the fields that should run
	denials int
	// invalid is set if two fields with one response key have different arguments. gqlparser
	// v2.5.37 doesn't find all of these operations.
	invalid bool
}

// execute returns the data of the response to an operation.
func (r *reference) execute(operation *ast.OperationDefinition) any {
	root := r.schema.Query
	if operation.Operation == ast.Mutation {
		root = r.schema.Mutation
	}
	data, ok := r.object(root.Name, []ast.SelectionSet{operation.SelectionSet}, "")
	if !ok {
		return nil
	}
	return data
}

// A mergedField is a field of a response: all selections with one response key.
type mergedField struct {
	*ast.Field
	sets []ast.SelectionSet
}

// collect returns the fields of an object of a type, by response key.
func (r *reference) collect(object string, sets []ast.SelectionSet) map[string]*mergedField {
	fields := map[string]*mergedField{}
	for _, set := range sets {
		r.collectInto(fields, object, set)
	}
	return fields
}

func (r *reference) collectInto(fields map[string]*mergedField, object string,
	set ast.SelectionSet) {
	for _, selection := range set {
		var directives ast.DirectiveList
		condition := object
		var inner ast.SelectionSet
		switch selection := selection.(type) {
		case *ast.Field:
			if r.skips(selection.Directives) {
				continue
			}
			if fields[selection.Alias] == nil {
				fields[selection.Alias] = &mergedField{Field: selection}
			}
			merged := fields[selection.Alias]
			r.invalid = r.invalid || argumentsText(merged.Field) != argumentsText(selection)
			merged.sets = append(merged.sets, selection.SelectionSet)
			continue
		case *ast.InlineFragment:
			directives, inner = selection.Directives, selection.SelectionSet
			if selection.TypeCondition != "" {
				condition = selection.TypeCondition
			}
		case *ast.FragmentSpread:
			fragment := r.doc.Fragments.ForName(selection.Name)
			directives, inner = selection.Directives, fragment.SelectionSet
			condition = fragment.TypeCondition
		}
		if !r.skips(directives) && slices.Contains(r.objects(condition), object) {
			r.collectInto(fields, object, inner)
		}
	}
}

// argumentsText returns the arguments of a field as text.
func argumentsText(field *ast.Field) string {
	text := ""
	for _, arg := range field.Arguments {
		text += arg.Name + ":" + arg.Value.String() + " "
	}
	return text
}

// skips applies @skip and @include.
func (r *reference) skips(directives ast.DirectiveList) bool {
	for _, directive := range directives {
		condition := directive.Arguments[0].Value
		value := condition.Raw == "true"
		if condition.Kind == ast.Variable {
			value = r.vars[condition.Raw] == true
		}
		if value == (directive.Name == "skip") {
			return true
		}
	}
	return false
}

// object returns an object of the response, or false if it becomes null.
func (r *reference) object(object string, sets []ast.SelectionSet, path string) (any, bool) {
	values := map[string]any{}
	whole := true
	for key, field := range r.collect(object, sets) {
		if field.Name == "__typename" {
			values[key] = object
			continue
		}
		typ := r.schema.Types[object].Fields.ForName(field.Name).Type
		if r.isDenied(object, field.Field) {
			r.denials++
			values[key] = nil
			whole = whole && !typ.NonNull
			continue
		}
		path := strings.TrimPrefix(path+"."+key, ".")
		r.ran = append(r.ran, path)
		value, ok := r.value(typ, field.sets, path)
		values[key] = value
		whole = whole && ok
	}
	return values, whole
}

// value returns a value of the response, or false if the object that has it becomes null.
func (r *reference) value(typ *ast.Type, sets []ast.SelectionSet, path string) (any, bool) {
	var value any = "text"
	whole := true
	switch {
	case typ.Elem != nil:
		first, ok1 := r.value(typ.Elem, sets, path+".0")
		second, ok2 := r.value(typ.Elem, sets, path+".1")
		value, whole = []any{first, second}, ok1 && ok2
	case r.schema.Types[typ.NamedType].IsCompositeType():
		value, whole = r.object(r.objectType(typ.NamedType, path).Name, sets, path)
	}
	if !whole {
		return nil, !typ.NonNull
	}
	return value, true
}

// isDenied reports whether the user may not have a field of an object type.
func (r *reference) isDenied(object string, field *ast.Field) bool {
	definition := r.schema.Types[object].Fields.ForName(field.Name)
	lists := []ast.DirectiveList{definition.Directives}
	for _, typ := range []string{object, definition.Type.Name()} {
		lists = append(lists, r.schema.Types[typ].Directives)
		for _, super := range r.schema.Types[typ].Interfaces {
			lists = append(lists, r.schema.Types[super].Directives)
			if inherited := r.schema.Types[super].Fields.ForName(field.Name); typ == object &&
				inherited != nil {
				lists = append(lists, inherited.Directives)
			}
		}
	}
	isRoot := object == "Query" || object == "Mutation"
	if isRoot && r.user == nil { // by Config.Default
		return true
	}
	for _, list := range lists {
		if r.denies(list) {
			return true
		}
	}
	for _, arg := range field.Arguments {
		typ := definition.Arguments.ForName(arg.Name).Type
		value, ok := r.input(arg.Value)
		if ok && r.deniesInput(typ, value) {
			return true
		}
	}
	return false
}

// denies reports whether one of the rules among directives denies the user.
func (r *reference) denies(directives ast.DirectiveList) bool {
	for _, directive := range directives {
		if r.user == nil {
			return true
		}
		if directive.Name == "hasRole" {
			role := directive.Arguments[0].Value.Children[0].Value.Raw
			if !slices.Contains(r.user.RealmRoles, role) {
				return true
			}
		}
	}
	return false
}

// input returns the value that the client sends, or false if it sends none.
func (r *reference) input(value *ast.Value) (any, bool) {
	switch value.Kind {
	case ast.Variable:
		sent, ok := r.vars[value.Raw]
		return sent, ok
	case ast.ObjectValue:
		object := map[string]any{}
		for _, child := range value.Children {
			if item, ok := r.input(child.Value); ok {
				object[child.Name] = item
			}
		}
		return object, true
	case ast.ListValue:
		list := []any{}
		for _, child := range value.Children {
			item, _ := r.input(child.Value)
			list = append(list, item)
		}
		return list, true
	case ast.NullValue:
		return nil, true
	}
	return value.Raw, true
}

// deniesInput reports whether a rule on an input type, an enum or an input field denies a value.
func (r *reference) deniesInput(typ *ast.Type, value any) bool {
	var sent any // with lists and objects as encoding/json has them
	json.Unmarshal([]byte(toJSON(value)), &sent)
	if list, ok := sent.([]any); ok {
		if typ.Elem != nil {
			typ = typ.Elem
		}
		return slices.ContainsFunc(list, func(item any) bool { return r.deniesInput(typ, item) })
	}
	if sent == nil {
		return false
	}
	definition := r.schema.Types[typ.Name()]
	if r.denies(definition.Directives) {
		return true
	}
	if object, ok := sent.(map[string]any); ok {
		for name, item := range object {
			field := definition.Fields.ForName(name)
			if r.denies(field.Directives) || r.deniesInput(field.Type, item) {
				return true
			}
		}
	}
	return false
}

// someDenied reports whether a field may be denied, whatever the types of objects turn out to be.
func (r *reference) someDenied(objects []string, sets []ast.SelectionSet) bool {
	for _, object := range objects {
		for _, field := range r.collect(object, sets) {
			if field.Name == "__typename" {
				continue
			}
			typ := r.schema.Types[object].Fields.ForName(field.Name).Type.Name()
			if r.isDenied(object, field.Field) || r.schema.Types[typ].IsCompositeType() &&
				r.someDenied(r.objects(typ), field.sets) {
				return true
			}
		}
	}
	return false
}

// mustBeNull reports whether denied fields make an object of each of these types null. If byOne is
// set, it has to be the same field for all types.
func (r *reference) mustBeNull(objects []string, sets []ast.SelectionSet, byOne bool) bool {
	count := map[string]int{} // the number of types that a field makes null, by response key
	for _, object := range objects {
		isNull := false
		for key, field := range r.collect(object, sets) {
			if field.Name == "__typename" {
				continue
			}
			typ := r.schema.Types[object].Fields.ForName(field.Name).Type
			passesNull := typ.NonNull
			for elem := typ.Elem; elem != nil; elem = elem.Elem {
				passesNull = passesNull && elem.NonNull
			}
			if typ.NonNull && r.isDenied(object, field.Field) ||
				passesNull && r.schema.Types[typ.Name()].IsCompositeType() &&
					r.mustBeNull(r.objects(typ.Name()), field.sets, byOne) {
				isNull = true
				count[key]++
			}
		}
		if !isNull {
			return false
		}
	}
	for _, n := range count {
		if n == len(objects) {
			return true
		}
	}
	return !byOne
}

// roleCount is the number of roles, r0, r1 and so on, in random schemas.
const roleCount = 4

// A generator makes random schemas, and random operations on a schema.
type generator struct {
	*rand.Rand
	executor *testExecutor

	fragments []string // the definitions in the operation
	// finished has the type conditions of the fragments that others may spread without a cycle.
	finished map[string]string
	// otherType says whether a fragment is on another type than the selections around it, and
	// partial whether, in addition, it is an interface or a union that not all objects have. Then a
	// query or, if partial is set, a mutation may not know exactly which types the objects have.
	otherType, partial bool
}

// rule returns a random rule, or nothing most of the time.
func (g *generator) rule() string {
	switch g.IntN(9) {
	case 0:
		return fmt.Sprintf(` @hasRole(anyOf: ["r%d"])`, g.IntN(roleCount))
	case 1:
		return " @auth"
	}
	return ""
}

// wrap returns a type with random lists and exclamation marks.
func (g *generator) wrap(name string) string {
	typ := name
	if g.IntN(2) == 0 {
		typ += "!"
	}
	for g.IntN(5) == 0 {
		typ = "[" + typ + "]"
		if g.IntN(2) == 0 {
			typ += "!"
		}
	}
	return typ
}

// schema returns the source of a random schema.
func (g *generator) schema() string {
	var s strings.Builder
	composite := []string{"T0", "T1", "T2", "T3", "I0", "I1", "I2", "U0", "U1"}
	field := func() string {
		args := ""
		if g.IntN(3) == 0 {
			args = "(f: F, e: E = X, l: [[E!]!])"
		}
		if g.IntN(3) == 0 {
			return args + ": " + g.wrap("Int")
		}
		if g.IntN(8) == 0 {
			return args + ": " + g.wrap("E")
		}
		return args + ": " + g.wrap(composite[g.IntN(len(composite))])
	}
	// strict returns the field with a type that isn't null, some of the time.
	strict := func(field string) string {
		if g.IntN(3) == 0 && !strings.HasSuffix(field, "!") {
			return field + "!"
		}
		return field
	}
	// own has the fields that an interface adds, and supers the interfaces of interfaces.
	own, fields := map[string][]string{}, map[string]string{}
	supers := map[string][]string{}
	if g.IntN(2) == 0 {
		supers["I1"] = []string{"I0"}
	}
	if g.IntN(3) == 0 {
		supers["I2"] = append([]string{"I1"}, supers["I1"]...)
	}
	for i := range 3 {
		name := fmt.Sprint("I", i)
		for j := range 2 {
			key := fmt.Sprintf("i%d%d", i, j)
			own[name] = append(own[name], key)
			fields[key] = field()
		}
	}
	write := func(kind, name string, interfaces []string, extra int) {
		fmt.Fprintf(&s, "%s %s", kind, name)
		if len(interfaces) > 0 {
			fmt.Fprint(&s, " implements ", strings.Join(interfaces, " & "))
		}
		fmt.Fprint(&s, g.rule(), " {\n")
		for _, super := range interfaces {
			for _, key := range own[super] {
				text := fields[key]
				if kind == "type" {
					text = strict(text)
				}
				fmt.Fprintf(&s, "  %s%s%s\n", key, text, g.rule())
			}
		}
		if kind == "interface" {
			for _, key := range own[name] {
				fmt.Fprintf(&s, "  %s%s%s\n", key, fields[key], g.rule())
			}
		}
		if extra > 0 {
			fmt.Fprintf(&s, "  x: Int%s\n", g.rule()) // of which selections may merge
		}
		for i := range extra {
			fmt.Fprintf(&s, "  %s%d%s%s\n", strings.ToLower(name), i, field(), g.rule())
		}
		fmt.Fprint(&s, "}\n")
	}
	for i := range 3 {
		name := fmt.Sprint("I", i)
		write("interface", name, supers[name], 0)
	}
	for i := range 4 {
		var interfaces []string
		if name := fmt.Sprint("I", i); i < 3 { // each interface has an implementation
			interfaces = append(append(interfaces, name), supers[name]...)
		}
		for j := range 3 {
			if name := fmt.Sprint("I", j); g.IntN(3) == 0 {
				interfaces = append(append(interfaces, name), supers[name]...)
			}
		}
		slices.Sort(interfaces)
		write("type", fmt.Sprint("T", i), slices.Compact(interfaces), 3)
	}
	write("type", "Query", nil, 5)
	write("type", "Mutation", nil, 4)
	fmt.Fprintf(&s, "union U0 = T0 | T1\nunion U1 = T%d\nenum E%s { X Y }\n", g.IntN(4), g.rule())
	fmt.Fprintf(&s, "input F { a: Int%s e: E = Y%s f: F l: [F!]%s }\n", g.rule(), g.rule(),
		g.rule())
	return s.String()
}

// operation returns a random operation.
func (g *generator) operation() string {
	g.fragments, g.finished, g.otherType, g.partial = nil, map[string]string{}, false, false
	kind, root := "query", "Query"
	if g.IntN(3) == 0 {
		kind, root = "mutation", "Mutation"
	}
	// The first selection is a field, and tells the root type.
	text := fmt.Sprintf("{ first: __typename %s}", g.selections(root, 0)) +
		strings.Join(g.fragments, "")
	var variables []string
	for _, variable := range []string{"$b: Boolean!", "$f: F", "$e: E!", "$n: E"} {
		if strings.Contains(text, variable[:2]) {
			variables = append(variables, variable)
		}
	}
	if variables == nil {
		return kind + text
	}
	return fmt.Sprintf("%s(%s) %s", kind, strings.Join(variables, ", "), text)
}

// selections returns random selections on a type.
func (g *generator) selections(typ string, depth int) string {
	var s strings.Builder
	definition := g.executor.schema.Types[typ]
	for range 1 + g.IntN(3) {
		switch {
		case g.IntN(3) == 0 && depth < 6:
			g.fragment(&s, typ, depth)
		case len(definition.Fields) == 0:
			fmt.Fprint(&s, "__typename ")
		default:
			field := definition.Fields[g.IntN(len(definition.Fields))]
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			inner := ""
			if g.executor.schema.Types[field.Type.Name()].IsCompositeType() {
				if depth > 3 {
					continue
				}
				inner = "{ " + g.selections(field.Type.Name(), depth+1) + "}"
			}
			if g.IntN(8) == 0 {
				fmt.Fprintf(&s, "k%d: ", g.IntN(3))
			}
			fmt.Fprint(&s, field.Name, g.arguments(field), g.condition(), " ", inner, " ")
		}
	}
	fmt.Fprint(&s, "__typename ")
	return s.String()
}

// fragment writes a random fragment on a type: inline, or a spread of a new or an earlier one.
func (g *generator) fragment(s *strings.Builder, typ string, depth int) {
	var conditions []string
	for _, name := range slices.Sorted(maps.Keys(g.executor.schema.Types)) {
		if g.executor.schema.Types[name].IsCompositeType() && g.overlap(typ, name) {
			conditions = append(conditions, name)
		}
	}
	condition := conditions[g.IntN(len(conditions))]
	if g.IntN(2) == 0 {
		for _, name := range slices.Sorted(maps.Keys(g.finished)) {
			if g.overlap(typ, g.finished[name]) {
				g.note(typ, g.finished[name])
				fmt.Fprintf(s, "...%s%s ", name, g.condition())
				return
			}
		}
	}
	g.note(typ, condition)
	if g.IntN(2) == 0 {
		if condition == typ && g.IntN(2) == 0 {
			fmt.Fprintf(s, "...%s { %s} ", g.condition(), g.selections(typ, depth+1))
			return
		}
		fmt.Fprintf(s, "... on %s%s { %s} ", condition, g.condition(),
			g.selections(condition, depth+1))
		return
	}
	n := len(g.fragments)
	name := fmt.Sprint("F", n)
	g.fragments = append(g.fragments, "")
	g.fragments[n] = fmt.Sprintf("\nfragment %s on %s { %s}", name, condition,
		g.selections(condition, depth+1))
	g.finished[name] = condition
	fmt.Fprintf(s, "...%s%s ", name, g.condition())
}

// overlap reports whether some objects are of both types.
func (g *generator) overlap(typ, other string) bool {
	return slices.ContainsFunc(g.executor.objects(typ), func(object string) bool {
		return slices.Contains(g.executor.objects(other), object)
	})
}

// note records what a fragment on objects of a type means for the operation.
func (g *generator) note(typ, condition string) {
	contains := func(all, some []string) bool {
		return !slices.ContainsFunc(some, func(name string) bool {
			return !slices.Contains(all, name)
		})
	}
	g.otherType = g.otherType || condition != typ
	g.partial = g.partial || g.executor.schema.Types[condition].IsAbstractType() &&
		!contains(g.executor.objects(condition), g.executor.objects(typ))
}

// condition returns a random @skip or @include, or nothing.
func (g *generator) condition() string {
	if g.IntN(6) > 0 {
		return ""
	}
	return fmt.Sprintf(" @%s(if: %s)", []string{"skip", "include"}[g.IntN(2)],
		[]string{"true", "false", "$b"}[g.IntN(3)])
}

// arguments returns random arguments of a field.
func (g *generator) arguments(field *ast.FieldDefinition) string {
	if len(field.Arguments) == 0 || g.IntN(2) == 0 {
		return ""
	}
	return []string{"(f: {a: 1})", "(f: {e: X})", "(f: {f: {l: [{a: 2}]}})", "(f: $f)", "(e: Y)",
		"(e: $e)", "(e: $n)", "(l: [[X]])", "(l: Y)", "(f: {})", "(f: {e: $n})", "(f: null)",
		"(f: {l: {f: {a: null}}})", "(l: [])", "(l: [[$e]])"}[g.IntN(15)]
}

// variable returns a random value of the variable $f.
func (g *generator) variable() any {
	var value any
	json.Unmarshal([]byte([]string{`null`, `{}`, `{"a":1}`, `{"l":{"e":"X"}}`,
		`{"l":[{"f":{"l":[]}}]}`, `{"f":{"f":{"e":null}}}`}[g.IntN(6)]), &value)
	return value
}
