package authz

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/vektah/gqlparser/v2/ast"
)

// A PolicyTable lists who may have each field of a schema.
type PolicyTable []PolicyField

// A PolicyField is a row of a PolicyTable. A caller has to satisfy all of its rules.
type PolicyField struct {
	Field  string       `json:"field"` // such as Query.notes
	Public bool         `json:"public,omitempty"`
	Rules  []PolicyRule `json:"rules,omitempty"`
}

// A PolicyRule is a rule of a field.
type PolicyRule struct {
	Rule   string `json:"rule"` // the directive in the schema, such as @hasRole(anyOf: ["admin"])
	From   string `json:"from"` // what carries the rule: the field, a type, or Config.Default
	DryRun bool   `json:"dryRun,omitempty"`
}

// Policy returns a row for each root field of a schema, and for each other field that has a rule,
// ordered by type. It returns an error if Install would reject the schema or config.
func Policy(schema *ast.Schema, config Config) (PolicyTable, error) {
	rules, err := compile(schema, config)
	if err != nil {
		return nil, err
	}
	return rules.table, nil
}

// WriteTo writes the table as text: a line for each rule.
func (t PolicyTable) WriteTo(w io.Writer) (int64, error) {
	var text strings.Builder
	lines := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, field := range t {
		if field.Public {
			fmt.Fprintf(lines, "%s\t@public\n", field.Field)
		}
		for _, rule := range field.Rules {
			line := field.Field + "\t" + rule.Rule
			if rule.From != field.Field {
				line += "\tfrom " + rule.From
			}
			if rule.DryRun {
				line += "\tdry run"
			}
			fmt.Fprintln(lines, line)
		}
	}
	lines.Flush()
	n, err := io.WriteString(w, text.String())
	return int64(n), err
}

// addTableRow adds a field to the policy table if it is a root field or has a rule.
func (c *compiler) addTableRow(typ string, field *ast.FieldDefinition, rules []*rule) {
	row := PolicyField{Field: typ + "." + field.Name}
	for _, directive := range field.Directives {
		if c.names[directive.Name] == "public" {
			row.Public = true
		}
		if slices.Contains(c.config.Guards, directive.Name) && c.names[directive.Name] == "" {
			row.Rules = append(row.Rules, PolicyRule{Rule: directiveText(directive),
				From: row.Field})
		}
	}
	for _, r := range rules {
		from := r.from
		if r.isInputRule {
			from = row.Field
		}
		row.Rules = append(row.Rules, PolicyRule{Rule: r.text, From: from, DryRun: r.dryRun})
	}
	if row.Public || len(row.Rules) > 0 {
		c.result.table = append(c.result.table, row)
	}
}
