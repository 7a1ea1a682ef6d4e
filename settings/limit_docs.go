// Code generated from the comments in limits/limits.go by go generate ./settings. DO NOT EDIT.

package settings

// limitDocs holds the documentation of the fields of limits.Limits that are settings.
var limitDocs = map[string]string{
	"Tokens":          "The maximum number of names, numbers, strings, brackets and comments in a document (`TOKENS`).",
	"Depth":           "The maximum nesting of fields, expanded (`DEPTH`). A root field has depth 1. Fields below `__schema` and `__type` don't count.",
	"Fields":          "The maximum number of fields, spreads and inline fragments, expanded (`FIELDS`).",
	"RootFields":      "The maximum number of root fields in one operation, expanded (`ROOT_FIELDS`). Fields excluded by `@skip` or `@include` count too.",
	"Aliases":         "The maximum number of aliases, expanded (`ALIASES`).",
	"Fragments":       "The maximum number of fragments defined in a document, used or not (`FRAGMENTS`).",
	"VariableBytes":   "The maximum size of all variables' values, in bytes (`BYTES`). Strings, numbers and names of object fields count.",
	"VariableItems":   "The maximum number of variables, and of list items and object fields in their values (`VARIABLES`).",
	"Representations": "The maximum number of representations in the arguments of all `_entities` fields of one operation, expanded (`VALUES`). A gateway of Apollo Federation sends a representation for each entity that it requests.",
}
