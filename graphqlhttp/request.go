package graphqlhttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/internal/strictjson"
)

// A rejection says why a request isn't executed.
type rejection struct {
	status int    // 0 if the document or variables are invalid: see requestErrorStatus
	allow  string // the Allow header, with 405
	errs   gqlerror.List
}

// newRejection returns a rejection with the code BAD_REQUEST.
func newRejection(status int, message string) *rejection {
	return &rejection{status: status, errs: gqlerror.List{badRequestError(message)}}
}

// allowHeader returns the Allow header: the methods that the server supports.
func (t *httpTransport) allowHeader() string {
	if !t.AllowGET {
		return "OPTIONS, POST"
	}
	return "GET, HEAD, OPTIONS, POST"
}

// readText returns the part of a request that has the operation's parameters: the body of a POST,
// or "?" and the query string of a GET. The two can't be confused, because no valid body begins
// with a question mark.
func (t *httpTransport) readText(w http.ResponseWriter, r *http.Request) ([]byte, *rejection) {
	message := "Method not allowed: use POST, or GET for queries"
	switch {
	case r.Method == http.MethodPost:
		return t.readPostBody(w, r)
	case !t.AllowGET:
		message = "Method not allowed: use POST"
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return t.readQueryString(r)
	}
	rej := newRejection(http.StatusMethodNotAllowed, message)
	rej.allow = t.allowHeader()
	return nil, rej
}

// parseText returns the parameters in the text that readText returned. Query is empty if the client
// sent only the document's hash. Errors don't quote the text.
func (t *httpTransport) parseText(r *http.Request, text []byte) (*graphql.RawParams, *rejection) {
	params := &graphql.RawParams{Headers: r.Header}
	var rej *rejection
	if r.Method == http.MethodPost {
		rej = t.parseBody(text, params)
	} else {
		rej = t.parseQueryString(string(text[1:]), params)
	}
	return params, rej
}

// checkMethod rejects mutations and subscriptions that weren't sent with POST.
func (*httpTransport) checkMethod(method string, operation *operation) *rejection {
	kind := operation.Operation.Operation
	if method == http.MethodPost || kind == ast.Query {
		return nil
	}
	rej := newRejection(http.StatusMethodNotAllowed,
		fmt.Sprintf("GET is for queries: send a %s with POST", kind))
	rej.allow = http.MethodPost
	return rej
}

func (t *httpTransport) jsonLimits() strictjson.Limits {
	return strictjson.Limits{Depth: t.MaxNesting, Values: t.MaxValues}
}

// jsonMessage returns the message for invalid JSON. name is "variables" or "extensions" if the
// error is in that field of the request, and otherwise empty.
func (t *httpTransport) jsonMessage(name string, reason strictjson.Reason) string {
	subject, verbEnding := name, " "
	if name == "" {
		subject, verbEnding = "The body", "s "
	}
	switch reason {
	case strictjson.TooDeep:
		return fmt.Sprintf("%s nest%sdeeper than %d levels", subject, verbEnding, t.MaxNesting)
	case strictjson.TooManyValues:
		return fmt.Sprintf("%s hold%smore than %d values", subject, verbEnding, t.MaxValues)
	case strictjson.LoneSurrogate:
		return subject + " hold" + verbEnding + "half of a surrogate pair, which is not a character"
	case strictjson.NumberTooLarge:
		return subject + " hold" + verbEnding + "a number that is out of range"
	case strictjson.DuplicateMember:
		return subject + " contain" + verbEnding + "an object with a duplicate key"
	}
	if name == "" {
		return "The body must be a JSON object"
	}
	return name + " must be an object"
}

// badRequestIf returns a rejection with the message of err, or nil if err is nil.
func badRequestIf(err error) *rejection {
	if err != nil {
		return newRejection(http.StatusBadRequest, err.Error())
	}
	return nil
}

// setField stores fields[name] in v unless it is absent or null. The error doesn't quote the value.
func setField[T any](fields map[string]any, name, wantType string, v *T) error {
	value := fields[name]
	if value == nil {
		return nil
	}
	var ok bool
	if *v, ok = value.(T); !ok {
		return errors.New(name + " must be " + wantType)
	}
	return nil
}

// setObjectField is setField for an object. It treats an empty list as an empty object, because PHP
// encodes an empty object as [].
func setObjectField(fields map[string]any, name string, v *map[string]any) error {
	if list, ok := fields[name].([]any); ok && len(list) == 0 {
		return nil
	}
	return setField(fields, name, "an object", v)
}
