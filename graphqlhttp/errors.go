package graphqlhttp

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// What bounds the errors of a response.
const (
	maxRequestErrors   = 5   // of a request that was refused
	maxFieldErrors     = 100 // of an operation that ran; one more says how many were left out
	maxRequestMessage  = 300 // bytes of a message, where the request was refused
	maxFieldMessage    = 1000
	maxLocations       = 5
	maxPathElements    = 32
	maxNameBytes       = 64
	ellipsis           = "..."
	messageInternal    = "Internal error"
	messageOutOfTime   = "The request took too long"
	messageNoOperation = "The document has no operation"
)

func badRequest(message string) *gqlerror.Error {
	return apierror.New(apierror.CodeBadRequest, "", message)
}

// withPosition adds to an error where in the document it is, if that is known.
func withPosition(position *ast.Position, err *gqlerror.Error) *gqlerror.Error {
	if position != nil {
		err.Locations = []gqlerror.Location{{Line: position.Line, Column: position.Column}}
	}
	return err
}

func codes(errs gqlerror.List) []string {
	var codes []string
	for _, err := range errs {
		code, _ := err.Extensions["code"].(string)
		if reason, _ := err.Extensions["reason"].(string); reason != "" {
			code += "/" + reason
		}
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return codes
}

// fieldErrors bounds the errors of an operation that ran. Their words are the server's, their paths
// hold the client's aliases, and a list can have an error for each of its items.
func fieldErrors(errs gqlerror.List, locator *language.Locator) gqlerror.List {
	shown := make(gqlerror.List, 0, min(len(errs), maxFieldErrors+1))
	for _, err := range errs {
		if len(shown) == maxFieldErrors {
			left := fmt.Sprintf("Errors beyond the first %d are left out: %d more", maxFieldErrors,
				len(errs)-maxFieldErrors)
			return append(shown, apierror.New(apierror.CodeErrorsLeftOut, "", left))
		}
		if err == nil { // a presenter of the server's that said nothing
			err = apierror.New(apierror.CodeInternalServerError, "", messageInternal)
		}
		if len(err.Message) > maxFieldMessage || len(err.Locations) > 0 {
			bounded := *err // the original may be shared
			bounded.Message = truncate(err.Message, maxFieldMessage)
			bounded.Locations = locations(err, locator)
			err = &bounded
		}
		shown = append(shown, err)
	}
	return shown
}

// requestErrors turns what gqlgen says of a document into what a client may read: a code for each
// stage that failed, at maxBytes five errors, and no text out of the document but names.
func (t *httpTransport) requestErrors(operation *graphql.OperationContext, errs gqlerror.List,
	locator *language.Locator) gqlerror.List {
	errs = errs[:min(len(errs), maxRequestErrors)]
	shown := make(gqlerror.List, len(errs))
	for i, err := range errs {
		one := t.requestError(operation, err)
		if len(one.Locations) == 0 {
			one.Locations, one.Rule, one.Err = err.Locations, err.Rule, err.Err
		}
		one.Locations = locations(one, locator)
		one.Message = truncate(one.Message, maxRequestMessage)
		one.Path = truncatePath(one.Path)
		shown[i] = one
	}
	return shown
}

// locations bounds the locations of an error, and corrects those that come from gqlparser.
func locations(err *gqlerror.Error, locator *language.Locator) []gqlerror.Location {
	bounded := err.Locations[:min(len(err.Locations), maxLocations)]
	if language.IsLocated(err) {
		return bounded
	}
	correct := locator.Element
	// of which the name is the fault
	if err.Extensions["code"] == string(apierror.CodeParseFailed) ||
		err.Rule == "KnownFragmentNames" {
		correct = locator.Token
	}
	corrected := make([]gqlerror.Location, len(bounded))
	for i, location := range bounded {
		corrected[i] = correct(location)
	}
	return corrected
}

func (t *httpTransport) requestError(operation *graphql.OperationContext,
	err *gqlerror.Error) *gqlerror.Error {
	text, _ := err.Extensions["code"].(string)
	code := apierror.Code(text)
	switch {
	case code == apierror.CodeParseFailed && language.IsLocated(err):
		return apierror.New(code, "", err.Message) // which quotes nothing
	case code == apierror.CodeParseFailed && strings.HasPrefix(err.Message, "exceeded token limit"):
		return apierror.New(apierror.CodeOperationTooLarge, apierror.ReasonTokens,
			"The document has too many tokens: "+err.Message)
	case code == apierror.CodeParseFailed:
		return apierror.New(code, "", syntaxMessage(err.Message))
	case code == apierror.CodeValidationFailed && operation.Doc == nil:
		return apierror.New(code, "", validationMessage(err, !t.Introspection))
	case code == apierror.CodeValidationFailed && operation.Operation == nil:
		if operation.OperationName == "" {
			return apierror.New(apierror.CodeOperationResolutionFailure, "",
				"operationName is missing: the document has more than one operation")
		}
		return apierror.New(apierror.CodeOperationResolutionFailure, "",
			"The document has no operation with that operationName")
	case code == apierror.CodeValidationFailed:
		// The path says which variable; the message could say what it holds.
		return badVariable(operation.Operation, variableName(err))
	}
	bounded := *err // one of the server's own extensions, which choose their words
	return &bounded
}

func badVariable(operation *ast.OperationDefinition, name string) *gqlerror.Error {
	err := apierror.New(apierror.CodeBadUserInput, "",
		"Request malformed! The variable $"+truncateName(name)+" doesn't fit its type")
	if definition := operation.VariableDefinitions.ForName(name); definition != nil {
		withPosition(definition.Position, err)
	}
	return err
}

// variableName is the variable that gqlparser's error is about; its path is variable.NAME and,
// inside an input object, further members.
func variableName(err *gqlerror.Error) string {
	name := strings.TrimPrefix(err.Path.String(), "variable.")
	name, _, _ = strings.Cut(name, ".")
	name, _, _ = strings.Cut(name, "[")
	return name
}

// Token kinds as gqlparser writes them. What follows a kind in its messages is text of the
// document: it could be the password of someone who forgot a quote.
var syntaxKinds = regexp.MustCompile(
	`^(?:Unexpected|Expected ("[a-z]+"|[^",]+), found) (<EOF>|<Invalid>|Name|Int|Float|String|BlockString|[!$&():=@\[\]{}|]|\.\.\.)`)

func syntaxMessage(message string) string {
	if known := syntaxKinds.FindString(message); known != "" {
		return "Syntax error: " + known
	}
	return "Syntax error"
}

// A naming says whose names the message of a validation rule holds, beside no literals.
type naming int

const (
	documentNames naming = iota + 1 // names that the client itself wrote
	schemaNames
)

// Messages of the rules that aren't here may hold literals.
var namingRules = map[string]naming{
	"FieldsOnCorrectType":                   schemaNames,
	"FieldsOnCorrectTypeWithoutSuggestions": schemaNames,
	"FragmentsOnCompositeTypes":             schemaNames,
	"KnownArgumentNames":                    schemaNames,
	"KnownArgumentNamesWithoutSuggestions":  schemaNames,
	"KnownDirectives":                       schemaNames,
	"KnownFragmentNames":                    documentNames,
	"KnownRootType":                         schemaNames,
	"KnownTypeNames":                        schemaNames,
	"KnownTypeNamesWithoutSuggestions":      schemaNames,
	"LoneAnonymousOperation":                documentNames,
	"MaxIntrospectionDepth":                 documentNames,
	"NoFragmentCycles":                      documentNames,
	"NoUndefinedVariables":                  documentNames,
	"NoUnusedFragments":                     documentNames,
	"NoUnusedVariables":                     documentNames,
	"PossibleFragmentSpreads":               schemaNames,
	"ProvidedRequiredArguments":             schemaNames,
	"ScalarLeafs":                           schemaNames,
	"ScalarLeafsWithoutSuggestions":         schemaNames,
	"SingleFieldSubscriptions":              documentNames,
	"UniqueArgumentNames":                   documentNames,
	"UniqueDirectivesPerLocation":           documentNames,
	"UniqueFragmentNames":                   documentNames,
	"UniqueInputFieldNames":                 documentNames,
	"UniqueOperationNames":                  documentNames,
	"UniqueVariableNames":                   documentNames,
	"VariablesAreInputTypes":                schemaNames,
	"VariablesInAllowedPosition":            schemaNames,
}

func validationMessage(err *gqlerror.Error, hideSchema bool) string {
	names := namingRules[err.Rule]
	switch {
	case names == documentNames, names == schemaNames && !hideSchema:
		return longNames.ReplaceAllStringFunc(err.Message, func(name string) string {
			return truncateName(name)
		})
	case names == schemaNames:
		return "The document doesn't fit the schema"
	case err.Rule == "":
		return messageNoOperation
	case strings.HasPrefix(err.Rule, "OverlappingFieldsCanBeMerged"):
		return "Fields of one name conflict: give one of them an alias"
	}
	return "A value doesn't fit the type of its argument"
}

var longNames = regexp.MustCompile(`[0-9A-Za-z_]{` + strconv.Itoa(maxNameBytes+1) + `,}`)

// truncateName bounds a name to 64 bytes.
func truncateName(name string) string { return truncate(name, maxNameBytes) }

// truncate bounds a text to so many bytes, in the middle of no character.
func truncate(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	end := maxBytes - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

func truncatePath(path ast.Path) ast.Path {
	path = path[:min(len(path), maxPathElements)]
	var bounded ast.Path
	for _, element := range path {
		if name, ok := element.(ast.PathName); ok {
			element = ast.PathName(truncateName(string(name)))
		}
		bounded = append(bounded, element)
	}
	return bounded
}
