package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

const (
	mediaJSON     mediaType = "application/json"
	mediaResponse mediaType = "application/graphql-response+json"

	maxRequestErrors = 5
	maxNameBytes     = 64
)

// A mediaType is one of the two that a response can have.
type mediaType string

// requestErrorStatus is the status of a request that was refused before it ran, GraphQL over HTTP
// section 6.4: older clients read a JSON body at 200 alone.
func (m mediaType) requestErrorStatus() int {
	if m == mediaResponse {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// negotiate picks the media type of the response, RFC 9110 section 12.5.1. A client that doesn't say
// gets application/json, which everyone reads. When it accepts neither, ok is false and the error
// goes out as application/json.
func negotiate(accept []string) (media mediaType, ok bool) {
	header := strings.Join(accept, ",")
	if strings.TrimSpace(header) == "" {
		return mediaJSON, true
	}
	plain, response := quality(header, mediaJSON), quality(header, mediaResponse)
	switch {
	case plain <= 0 && response <= 0:
		return mediaJSON, false
	case response > plain || response == plain && strings.Contains(header, string(mediaResponse)):
		return mediaResponse, true
	}
	return mediaJSON, true
}

// quality is the weight that the most specific range of an Accept header gives to a media type.
func quality(header string, media mediaType) float64 {
	best, specific := 0.0, -1
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		rank := slices.Index([]string{"*/*", "application/*", string(media)}, name)
		if rank < 0 || rank < specific {
			continue
		}
		if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
			continue
		}
		q := 1.0
		if text, given := parameters["q"]; given {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				continue
			}
		}
		best, specific = q, rank
	}
	return best
}

// A response is what goes out: the result of an operation, or the errors of a request that was refused.
type response struct {
	media  mediaType
	status int
	allow  string // the Allow header, with 405
	errs   gqlerror.List
	body   []byte
}

// refuse makes a response without a data entry, not even null: nothing ran.
func refuse(media mediaType, status int, errs ...*gqlerror.Error) response {
	content := struct {
		Errors gqlerror.List `json:"errors"`
	}{errs}
	return response{media: media, status: status, errs: errs, body: encode(content)}
}

func executed(media mediaType, result *graphql.Response) response {
	return response{media: media, status: http.StatusOK, errs: result.Errors, body: encode(result)}
}

func encode(content any) []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)                    // nobody reads this as HTML: see nosniff below
	if err := encoder.Encode(content); err != nil { // a scalar wrote something that isn't JSON
		panic("graphqlhttp: response can't be encoded: " + err.Error())
	}
	return body.Bytes()
}

func (r response) write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", string(r.media)+"; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if r.allow != "" {
		header.Set("Allow", r.allow)
	}
	w.WriteHeader(r.status)
	w.Write(r.body)
}

func (r response) codes() []string {
	var codes []string
	for _, err := range r.errs {
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

// requestErrors turns what gqlgen says of a document into what a client may read: a code for each
// stage that failed, at most five errors, and no text out of the document but names.
func requestErrors(operation *graphql.OperationContext, errs gqlerror.List) gqlerror.List {
	errs = errs[:min(len(errs), maxRequestErrors)]
	shown := make(gqlerror.List, len(errs))
	for i, err := range errs {
		shown[i] = requestError(operation, err)
		shown[i].Locations = err.Locations
	}
	return shown
}

func requestError(operation *graphql.OperationContext, err *gqlerror.Error) *gqlerror.Error {
	code, _ := err.Extensions["code"].(string)
	switch {
	case code == errcode.ParseFailed && strings.HasPrefix(err.Message, "exceeded token limit"):
		return coded("OPERATION_TOO_LARGE", "TOKENS", "The document has too many tokens: "+err.Message)
	case code == errcode.ParseFailed:
		return coded(code, "", syntaxMessage(err.Message))
	case code == errcode.ValidationFailed && operation.Doc == nil:
		return coded(code, "", validationMessage(err))
	case code == errcode.ValidationFailed && operation.Operation == nil:
		if operation.OperationName == "" {
			return coded("OPERATION_RESOLUTION_FAILURE", "", "operationName is missing: the document has more than one operation")
		}
		return coded("OPERATION_RESOLUTION_FAILURE", "", "The document has no operation with that operationName")
	case code == errcode.ValidationFailed:
		// The path says which variable; the message could say what it holds.
		return coded("BAD_USER_INPUT", "", "Request malformed! The variable "+"$"+cut(variableName(err))+" doesn't fit its type")
	}
	return err // one of the server's own extensions, which choose their words
}

// variableName is the variable that gqlparser's error is about; its path is variable.NAME and, inside
// an input object, further members.
func variableName(err *gqlerror.Error) string {
	name := strings.TrimPrefix(err.Path.String(), "variable.")
	name, _, _ = strings.Cut(name, ".")
	name, _, _ = strings.Cut(name, "[")
	return name
}

// Token kinds as gqlparser writes them. What follows a kind in its messages is text of the document: it
// could be the password of someone who forgot a quote.
var syntaxKinds = regexp.MustCompile(`^(?:Unexpected|Expected ("[a-z]+"|[^",]+), found) (<EOF>|<Invalid>|Name|Int|Float|String|BlockString|[!$&():=@\[\]{}|]|\.\.\.)`)

func syntaxMessage(message string) string {
	if known := syntaxKinds.FindString(message); known != "" {
		return "Syntax error: " + known
	}
	return "Syntax error"
}

// Messages of these rules hold names of the document and the schema. The others may hold literals.
var namingRules = map[string]bool{
	"FieldsOnCorrectType":                   true,
	"FieldsOnCorrectTypeWithoutSuggestions": true,
	"FragmentsOnCompositeTypes":             true,
	"KnownArgumentNames":                    true,
	"KnownArgumentNamesWithoutSuggestions":  true,
	"KnownDirectives":                       true,
	"KnownFragmentNames":                    true,
	"KnownRootType":                         true,
	"KnownTypeNames":                        true,
	"KnownTypeNamesWithoutSuggestions":      true,
	"LoneAnonymousOperation":                true,
	"MaxIntrospectionDepth":                 true,
	"NoFragmentCycles":                      true,
	"NoUndefinedVariables":                  true,
	"NoUnusedFragments":                     true,
	"NoUnusedVariables":                     true,
	"PossibleFragmentSpreads":               true,
	"ProvidedRequiredArguments":             true,
	"ScalarLeafs":                           true,
	"ScalarLeafsWithoutSuggestions":         true,
	"SingleFieldSubscriptions":              true,
	"UniqueArgumentNames":                   true,
	"UniqueDirectivesPerLocation":           true,
	"UniqueFragmentNames":                   true,
	"UniqueInputFieldNames":                 true,
	"UniqueOperationNames":                  true,
	"UniqueVariableNames":                   true,
	"VariablesAreInputTypes":                true,
	"VariablesInAllowedPosition":            true,
}

func validationMessage(err *gqlerror.Error) string {
	switch {
	case namingRules[err.Rule]:
		return longNames.ReplaceAllStringFunc(err.Message, func(name string) string { return cut(name) })
	case err.Rule == "":
		return "The document has no operation"
	case strings.HasPrefix(err.Rule, "OverlappingFieldsCanBeMerged"):
		return "Fields of one name conflict: give one of them an alias"
	}
	return "A value doesn't fit the type of its argument"
}

var longNames = regexp.MustCompile(`[0-9A-Za-z_]{` + strconv.Itoa(maxNameBytes+1) + `,}`)

// cut bounds a name to 64 bytes.
func cut(name string) string {
	if len(name) > maxNameBytes {
		return name[:maxNameBytes-3] + "..."
	}
	return name
}
