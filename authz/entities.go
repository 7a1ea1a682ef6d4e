package authz

import (
	"context"
	"fmt"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/plugin/federation/fedruntime"
	"github.com/vektah/gqlparser/v2/ast"
)

// entitiesName is the root field through which a gateway of Apollo Federation reads entities, the
// types with @key. Its argument is a list of representations: objects with the type's name and the
// key of an entity. gqlgen's federation plugin adds the field, so it can't carry a directive.
// Instead, the rules of each entity are checked before the entity's resolver runs.
const entitiesName = "_entities"

// isFederationField reports whether gqlgen's federation plugin added a field. The plugin's sources
// are marked as built in; the schema's own files never are.
func isFederationField(field *ast.FieldDefinition) bool {
	return (field.Name == entitiesName || field.Name == "_service") && isBuiltIn(field.Position)
}

func isEntitiesField(field *ast.FieldDefinition) bool {
	return field != nil && field.Name == entitiesName && isFederationField(field)
}

// isBuiltIn reports whether a definition comes from GraphQL itself or from a plugin of gqlgen, not
// from the schema's own files.
func isBuiltIn(position *ast.Position) bool {
	return position != nil && position.Src != nil && position.Src.BuiltIn
}

// compileEntities collects the rules of types, which checkEntity applies to representations. If a
// field of an entity has neither a rule nor @public, and Config.Default is set, _entities gets the
// default rule.
func (c *compiler) compileEntities() {
	c.result.typeRules = map[string][]*rule{}
	for name := range c.types {
		if rules := c.typeRules(name); len(rules) > 0 {
			c.result.typeRules[name] = rules
		}
	}
	if c.config.Default != DefaultAuth || len(c.unguardedEntityFields()) == 0 {
		return
	}
	query := c.schema.Query
	for _, field := range query.Fields {
		if isEntitiesField(field) {
			c.setRules(query, field, []*rule{c.defaultRule()})
		}
	}
}

// unguardedEntityFields returns the fields of entities that have neither a rule nor @public.
// Without Config.Default, everyone could read them through _entities.
func (c *compiler) unguardedEntityFields() []string {
	entity := c.types["_Entity"]
	if entity == nil || !isBuiltIn(entity.Position) {
		return nil
	}
	var fields []string
	for _, name := range entity.Types {
		definition := c.types[name]
		if definition == nil || definition.Kind != ast.Object {
			continue
		}
		for _, field := range definition.Fields {
			if !strings.HasPrefix(field.Name, "__") &&
				c.hasNoRule(field, c.result.objectFields[name][field.Name]) {
				fields = append(fields, name+"."+field.Name)
			}
		}
	}
	return fields
}

// checkEntities checks the representations in the arguments of an _entities field. It returns an
// error if the caller may not have one of the entities.
func (w *walker) checkEntities(field *ast.Field) error {
	value := field.ArgumentMap(w.vars)["representations"]
	representations, ok := value.([]any)
	if !ok {
		representations = []any{value} // a list of one may be written without brackets
	}
	for _, representation := range representations {
		if representation, ok := representation.(map[string]any); ok {
			if err := w.checkEntity(representation, field); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkEntity returns the error of a rule of the entity that a representation refers to, or nil.
func (d *decision) checkEntity(representation map[string]any, field *ast.Field) error {
	name, _ := representation["__typename"].(string)
	return d.check(d.rules.typeRules[name], &arguments{field: field, vars: d.vars})
}

// resolveEntities runs the resolver of an _entities field with the representations of the entities
// that the caller may have. Each denied entity is null, with an error.
func (d *decision) resolveEntities(ctx context.Context, next graphql.Resolver) (any, error) {
	fieldCtx := graphql.GetFieldContext(ctx)
	field := fieldCtx.Field.Field
	representations, ok := fieldCtx.Args["representations"].([]map[string]any)
	if !ok {
		return nil, fmt.Errorf("authz: the representations are %T, not %T",
			fieldCtx.Args["representations"], representations)
	}
	var allowed []map[string]any
	var indexes []int
	for i, representation := range representations {
		if err := d.checkEntity(representation, field); err != nil {
			d.deniedNames.add(coordinate(field))
			graphql.AddError(graphql.WithPathContext(ctx, graphql.NewPathWithIndex(i)), err)
			continue
		}
		allowed, indexes = append(allowed, representation), append(indexes, i)
	}
	fieldCtx.Args["representations"] = allowed
	value, err := next(ctx)
	if err != nil {
		return nil, err
	}
	resolved, ok := value.([]fedruntime.Entity)
	if !ok || len(resolved) != len(allowed) {
		return nil, fmt.Errorf("authz: the resolver of _entities returned %T, not %T of length %d",
			value, resolved, len(allowed))
	}
	entities := make([]fedruntime.Entity, len(representations))
	for i, index := range indexes {
		entities[index] = resolved[i]
	}
	return entities, nil
}
