package graphqlhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/internal/strictjson"
)

const maxQueryParameters = 32 // in a GET; only four are used

// readGet reads the parameters of an operation from the query string of a GET.
func (t *httpTransport) readGet(r *http.Request) (*graphql.RawParams, *rejection) {
	if int64(len(r.URL.RawQuery)) > t.MaxBodyBytes {
		return nil, newRejection(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("The query string is larger than %d bytes", t.MaxBodyBytes))
	}
	if strings.Count(r.URL.RawQuery, "&") >= maxQueryParameters {
		return nil, newRejection(http.StatusBadRequest,
			fmt.Sprintf("The query string has more than %d parameters", maxQueryParameters))
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newRejection(http.StatusBadRequest, "The query string is malformed")
	}
	for name := range values {
		if len(values[name]) > 1 {
			return nil, newRejection(http.StatusBadRequest,
				"The query string has a parameter more than once")
		}
		if !utf8.ValidString(values.Get(name)) {
			return nil, newRejection(http.StatusBadRequest, "The query string is not UTF-8")
		}
	}
	params := &graphql.RawParams{
		// Clone, because a cache of the query would otherwise retain the whole request line.
		Query:         strings.Clone(values.Get("query")),
		OperationName: values.Get("operationName"), Headers: r.Header,
	}
	return paramsOrRejection(params, errors.Join(
		t.decodeObjectParameter(values, "variables", &params.Variables),
		t.decodeObjectParameter(values, "extensions", &params.Extensions)))
}

// decodeObjectParameter decodes the JSON object in a query parameter into v.
func (t *httpTransport) decodeObjectParameter(values url.Values, name string,
	v *map[string]any) error {
	text := values.Get(name)
	if text == "" {
		return nil
	}
	value, err := strictjson.Decode([]byte(text), t.jsonLimits())
	if jsonErr, ok := errors.AsType[*strictjson.Error](err); ok {
		return errors.New(t.jsonMessage(name, jsonErr.Reason))
	}
	return setObjectField(map[string]any{name: value}, name, v)
}
