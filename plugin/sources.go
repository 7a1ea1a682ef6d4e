package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/cloakql/cloakql/schema"
)

// Parts of the names of the sources that the plugin adds. gqlgen's follow-schema layouts derive
// file names from the names of sources. The names begin with "../" because gqlgen would embed
// sources below the directory of its generated code as files, but these sources aren't files.
const (
	typesSourceName  = "cloakql_types"
	fieldsSourceName = "cloakql_fields"

	sourcePrefix = "../cloakql/"
	sourceSuffix = ".graphqls"
)

// A document is CloakQL's schema with the options applied.
type document struct {
	directives  ast.DirectiveDefinitionList
	guards      ast.DirectiveDefinitionList // the guards that the application's schema uses
	definitions []*definition
	fields      []*rootField
}

// A definition is a type, possibly renamed.
type definition struct {
	originalName string // the name of the type in CloakQL's schema
	omitted      bool   // the type is a scalar that the application's schema declares too
	*ast.Definition
}

// A rootField is a field of Query or Mutation, possibly renamed.
type rootField struct {
	originalName string // the name of the field in CloakQL's schema
	omitted      bool
	operation    ast.Operation
	*ast.FieldDefinition
}

// loadSchema returns CloakQL's schema. It panics if the embedded schema files are invalid.
func loadSchema() *document {
	names, err := fs.Glob(schema.Files(), "*.graphqls")
	if err != nil {
		panic(err) // impossible: Glob fails only if the pattern is malformed
	}
	var sources []*ast.Source
	for _, name := range names {
		text, err := fs.ReadFile(schema.Files(), name)
		if err != nil {
			panic(err) // impossible: the files are embedded
		}
		sources = append(sources, &ast.Source{Name: name, Input: string(text)})
	}
	parsed, err := parser.ParseSchemas(sources...)
	if err != nil {
		panic(err) // impossible: gqlgen generates CloakQL's server from the same files
	}
	d := &document{directives: parsed.Directives}
	for _, def := range parsed.Definitions {
		switch def.Name {
		case "Query", "Mutation":
			operation := ast.Operation(strings.ToLower(def.Name))
			for _, field := range def.Fields {
				d.fields = append(d.fields, &rootField{field.Name, false, operation, field})
			}
		default:
			d.definitions = append(d.definitions, &definition{def.Name, false, def})
		}
	}
	return d
}

// field returns the root field with this name in CloakQL's schema.
func (d *document) field(name string) (*rootField, error) {
	var names []string
	for _, field := range d.fields {
		if field.originalName == name {
			return field, nil
		}
		names = append(names, field.originalName)
	}
	return nil, fmt.Errorf("CloakQL has no field %q: expected one of %s", name,
		strings.Join(names, ", "))
}

// typeNamed returns the type with this name in CloakQL's schema.
func (d *document) typeNamed(name string) (*definition, error) {
	var names []string
	for _, def := range d.definitions {
		if def.originalName == name {
			return def, nil
		}
		names = append(names, def.originalName)
	}
	return nil, fmt.Errorf("CloakQL has no type %q: expected one of %s", name,
		strings.Join(names, ", "))
}

// includedFields returns the root fields that aren't omitted.
func (d *document) includedFields() []*rootField {
	var included []*rootField
	for _, field := range d.fields {
		if !field.omitted {
			included = append(included, field)
		}
	}
	return included
}

// needsSignIn reports whether a root field that isn't omitted needs a signin.Service.
func (d *document) needsSignIn() bool {
	return slices.ContainsFunc(d.includedFields(), func(field *rootField) bool {
		return field.operation == ast.Mutation
	})
}

// removeDirective removes a directive from all root fields.
func (d *document) removeDirective(name string) {
	for _, field := range d.fields {
		field.Directives = slices.DeleteFunc(field.Directives,
			func(directive *ast.Directive) bool { return directive.Name == name })
	}
}

// renameReferences replaces the original names of renamed types in the types of all fields.
func (d *document) renameReferences() {
	names := map[string]string{}
	var fields ast.FieldList
	for _, def := range d.definitions {
		names[def.originalName] = def.Name
		fields = append(fields, def.Fields...)
	}
	for _, field := range d.fields {
		fields = append(fields, field.FieldDefinition)
	}
	for _, field := range fields {
		for typ := field.Type; typ != nil; typ = typ.Elem {
			if name := names[typ.NamedType]; name != "" {
				typ.NamedType = name
			}
		}
	}
}

// typesSource returns a source with CloakQL's directives and its types, except for omitted types.
func (d *document) typesSource() *ast.Source {
	doc := &ast.SchemaDocument{Directives: slices.Concat(d.directives, d.guards)}
	for _, def := range d.definitions {
		if !def.omitted {
			doc.Definitions = append(doc.Definitions, def.Definition)
		}
	}
	return newSource(typesSourceName, doc)
}

// rootFieldsSource returns a source that adds the root fields to the root types of schema. The
// source is nil if all fields are omitted.
func (d *document) rootFieldsSource(schema *ast.Schema) (*ast.Source, error) {
	doc := &ast.SchemaDocument{}
	for _, operation := range []ast.Operation{ast.Query, ast.Mutation} {
		extension := &ast.Definition{Kind: ast.Object}
		for _, field := range d.includedFields() {
			if field.operation == operation {
				extension.Fields = append(extension.Fields, field.FieldDefinition)
			}
		}
		if len(extension.Fields) == 0 {
			continue
		}
		if root := rootType(schema, operation); root != nil {
			extension.Name = root.Name
			for _, field := range extension.Fields {
				if root.Fields.ForName(field.Name) != nil {
					return nil, fmt.Errorf(
						"the application's type %s has a field %s: give CloakQL's field another "+
							"name (Rename, -rename), or leave it out (Without, -without)",
						root.Name, field.Name)
				}
			}
		} else { // the operation is a mutation, because gqlgen always adds a query type
			extension.Name = "Mutation"
			if schema.Types[extension.Name] != nil {
				return nil, errors.New(
					"the schema has a type Mutation that isn't its mutation type: " +
						"add mutation to the schema definition, or leave login, refresh and " +
						"logout out")
			}
			doc.SchemaExtension = append(doc.SchemaExtension, &ast.SchemaDefinition{
				OperationTypes: ast.OperationTypeDefinitionList{{Operation: operation,
					Type: extension.Name}},
			})
		}
		doc.Extensions = append(doc.Extensions, extension)
	}
	if len(doc.Extensions) == 0 {
		return nil, nil
	}
	return newSource(fieldsSourceName, doc), nil
}

// rootType returns the root type of an operation, or nil if there is none.
func rootType(schema *ast.Schema, operation ast.Operation) *ast.Definition {
	if operation == ast.Query {
		return schema.Query
	}
	return schema.Mutation
}

// newSource returns a source for gqlgen. Its text is doc.
func newSource(name string, doc *ast.SchemaDocument) *ast.Source {
	var text strings.Builder
	formatter.NewFormatter(&text, formatter.WithIndent("  ")).FormatSchemaDocument(doc)
	return &ast.Source{Name: sourcePrefix + name + sourceSuffix, Input: text.String()}
}
