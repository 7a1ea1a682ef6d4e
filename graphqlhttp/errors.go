package graphqlhttp

import (
	"context"
	"errors"
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

// Limits of the errors in a response. Request errors reject a request; field errors belong to an
// operation that ran.
const (
	maxRequestErrors       = 5
	maxFieldErrors         = 100 // one more error says how many are left out
	maxRequestMessageBytes = 300
	maxFieldMessageBytes   = 1000
	maxLocations           = 5
	maxPathElements        = 32
	maxNameBytes           = 64
)

const ellipsis = "..." // ends truncated text

const (
	messageInternal    = "Internal error"
	messageTimeout     = "The request took too long"
	messageNoOperation = "The document has no operation"
)

func badRequestError(message string) *gqlerror.Error {
	return apierror.New(apierror.CodeBadRequest, "", message)
}

// withPosition sets the location of err and returns it. The position may be nil.
func withPosition(position *ast.Position, err *gqlerror.Error) *gqlerror.Error {
	if position != nil {
		err.Locations = []gqlerror.Location{{Line: position.Line, Column: position.Column}}
	}
	return err
}

// distinctCodes returns the distinct codes of errs, each as CODE or CODE/REASON.
func distinctCodes(errs gqlerror.List) []string {
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

// leftOut stands for each error that boundFieldErrors leaves out.
var leftOut = &gqlerror.Error{Err: errors.New("graphqlhttp: too many errors")}

// presentFieldError is gqlgen's error presenter. The first errors of an operation get the server's
// presenter. The others are left out of the response: presenting and logging each of them would
// cost more than a field that succeeds.
func (t *httpTransport) presentFieldError(ctx context.Context, err error) *gqlerror.Error {
	if r, ok := ctx.Value(requestKey{}).(*request); ok && r.fieldErrors.Add(1) > maxFieldErrors {
		return leftOut
	}
	return t.Errors.Present(ctx, err)
}

// boundFieldErrors bounds the number and the messages of the errors of an operation that ran. A
// list can have an error for each item.
func boundFieldErrors(errs gqlerror.List, locator *language.Locator) gqlerror.List {
	clientErrs := make(gqlerror.List, 0, min(len(errs), maxFieldErrors+1))
	more := 0
	for _, err := range errs {
		if len(clientErrs) == maxFieldErrors || err != nil && err.Err == leftOut.Err {
			more++
			continue
		}
		if err == nil { // the server's presenter returned nil
			err = apierror.New(apierror.CodeInternalServerError, "", messageInternal)
		}
		if len(err.Message) > maxFieldMessageBytes || len(err.Locations) > 0 {
			errCopy := *err // other requests may share err
			errCopy.Message = truncate(err.Message, maxFieldMessageBytes)
			errCopy.Locations = correctLocations(err, locator)
			err = &errCopy
		}
		clientErrs = append(clientErrs, err)
	}
	if more > 0 {
		message := fmt.Sprintf("Errors beyond the first %d are left out: %d more", maxFieldErrors,
			more)
		clientErrs = append(clientErrs, apierror.New(apierror.CodeErrorsLeftOut, "", message))
	}
	return clientErrs
}

// presentRequestErrors turns gqlgen's errors for a document into the errors for the client: at most
// five, each with the code of the stage that failed. They quote nothing of the document except
// names.
func (t *httpTransport) presentRequestErrors(operation *graphql.OperationContext,
	errs gqlerror.List, locator *language.Locator) gqlerror.List {
	errs = errs[:min(len(errs), maxRequestErrors)]
	clientErrs := make(gqlerror.List, len(errs))
	for i, err := range errs {
		clientErr := t.presentRequestError(operation, err)
		if len(clientErr.Locations) == 0 {
			clientErr.Locations, clientErr.Rule, clientErr.Err = err.Locations, err.Rule, err.Err
		}
		clientErr.Locations = correctLocations(clientErr, locator)
		clientErr.Message = truncate(clientErr.Message, maxRequestMessageBytes)
		clientErr.Path = truncatePath(clientErr.Path)
		clientErrs[i] = clientErr
	}
	return clientErrs
}

// correctLocations returns the first few locations of an error. It corrects locations that come
// from gqlparser.
func correctLocations(err *gqlerror.Error, locator *language.Locator) []gqlerror.Location {
	locations := err.Locations[:min(len(err.Locations), maxLocations)]
	if language.IsLocated(err) {
		return locations
	}
	correctLocation := locator.ElementLocation
	// These errors are about one token, not about the element that the token belongs to.
	if err.Extensions["code"] == string(apierror.CodeParseFailed) ||
		err.Rule == "KnownFragmentNames" {
		correctLocation = locator.TokenLocation
	}
	corrected := make([]gqlerror.Location, len(locations))
	for i, location := range locations {
		corrected[i] = correctLocation(location)
	}
	return corrected
}

// presentRequestError returns a copy of one of gqlgen's errors with a code and message for clients.
func (t *httpTransport) presentRequestError(operation *graphql.OperationContext,
	err *gqlerror.Error) *gqlerror.Error {
	text, _ := err.Extensions["code"].(string)
	code := apierror.Code(text)
	switch {
	case code == apierror.CodeParseFailed && language.IsLocated(err):
		return apierror.New(code, "", err.Message) // quotes nothing of the document
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
		// Only the path is used: the message may quote the variable's value.
		return badVariableError(operation.Operation, variableName(err))
	}
	extensionErr := *err // an extension's message is meant for clients
	return &extensionErr
}

// badVariableError returns the error for a variable whose value doesn't fit its type.
func badVariableError(operation *ast.OperationDefinition, name string) *gqlerror.Error {
	err := apierror.New(apierror.CodeBadUserInput, "",
		"Request malformed! The variable $"+truncateName(name)+" doesn't fit its type")
	if definition := operation.VariableDefinitions.ForName(name); definition != nil {
		withPosition(definition.Position, err)
	}
	return err
}

// variableName returns the name of the variable that gqlparser's error is about. The error's path
// is variable.NAME, followed by names of input object fields and by indexes.
func variableName(err *gqlerror.Error) string {
	name := strings.TrimPrefix(err.Path.String(), "variable.")
	name, _, _ = strings.Cut(name, ".")
	name, _, _ = strings.Cut(name, "[")
	return name
}

// syntaxMessagePattern matches gqlparser's message up to the kind of token. The rest quotes the
// document, which may have a password there if the client forgot a quote.
var syntaxMessagePattern = regexp.MustCompile(
	`^(?:Unexpected|Expected ("[a-z]+"|[^",]+), found) ` +
		`(<EOF>|<Invalid>|Name|Int|Float|String|BlockString|[!$&():=@\[\]{}|]|\.\.\.)`)

func syntaxMessage(message string) string {
	if prefix := syntaxMessagePattern.FindString(message); prefix != "" {
		return "Syntax error: " + prefix
	}
	return "Syntax error"
}

// A nameSource says where the names in a validation rule's messages come from.
type nameSource int

const (
	sourceDocument nameSource = iota + 1 // only the client's document
	sourceSchema                         // the schema, or the document
)

// nameSources has gqlparser's rules whose messages quote names but no literals. Messages of other
// rules may quote literals.
var nameSources = map[string]nameSource{
	"FieldsOnCorrectType":                   sourceSchema,
	"FieldsOnCorrectTypeWithoutSuggestions": sourceSchema,
	"FragmentsOnCompositeTypes":             sourceSchema,
	"KnownArgumentNames":                    sourceSchema,
	"KnownArgumentNamesWithoutSuggestions":  sourceSchema,
	"KnownDirectives":                       sourceSchema,
	"KnownFragmentNames":                    sourceDocument,
	"KnownRootType":                         sourceSchema,
	"KnownTypeNames":                        sourceSchema,
	"KnownTypeNamesWithoutSuggestions":      sourceSchema,
	"LoneAnonymousOperation":                sourceDocument,
	"MaxIntrospectionDepth":                 sourceDocument,
	"NoFragmentCycles":                      sourceDocument,
	"NoUndefinedVariables":                  sourceDocument,
	"NoUnusedFragments":                     sourceDocument,
	"NoUnusedVariables":                     sourceDocument,
	"PossibleFragmentSpreads":               sourceSchema,
	"ProvidedRequiredArguments":             sourceSchema,
	"ScalarLeafs":                           sourceSchema,
	"ScalarLeafsWithoutSuggestions":         sourceSchema,
	"SingleFieldSubscriptions":              sourceDocument,
	"UniqueArgumentNames":                   sourceDocument,
	"UniqueDirectivesPerLocation":           sourceDocument,
	"UniqueFragmentNames":                   sourceDocument,
	"UniqueInputFieldNames":                 sourceDocument,
	"UniqueOperationNames":                  sourceDocument,
	"UniqueVariableNames":                   sourceDocument,
	"VariablesAreInputTypes":                sourceSchema,
	"VariablesInAllowedPosition":            sourceSchema,
}

// validationMessage returns a message without literals, and without names of the schema if
// hideSchema is set.
func validationMessage(err *gqlerror.Error, hideSchema bool) string {
	source := nameSources[err.Rule]
	switch {
	case source == sourceDocument, source == sourceSchema && !hideSchema:
		return longNamePattern.ReplaceAllStringFunc(err.Message, truncateName)
	case source == sourceSchema:
		return "The document doesn't fit the schema"
	case err.Rule == "":
		return messageNoOperation
	case strings.HasPrefix(err.Rule, "OverlappingFieldsCanBeMerged"):
		return "Fields of one name conflict: give one of them an alias"
	}
	return "A value doesn't fit the type of its argument"
}

// longNamePattern matches names that are longer than truncateName allows.
var longNamePattern = regexp.MustCompile(`[0-9A-Za-z_]{` + strconv.Itoa(maxNameBytes+1) + `,}`)

// truncateName bounds a name to 64 bytes.
func truncateName(name string) string { return truncate(name, maxNameBytes) }

// truncate cuts text to maxBytes, at a character boundary.
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
	var truncated ast.Path
	for _, element := range path {
		if name, ok := element.(ast.PathName); ok {
			element = ast.PathName(truncateName(string(name)))
		}
		truncated = append(truncated, element)
	}
	return truncated
}
