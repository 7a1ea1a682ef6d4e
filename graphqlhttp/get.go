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

// readQueryString returns "?" and the query string of a GET.
func (t *httpTransport) readQueryString(r *http.Request) ([]byte, *rejection) {
	if int64(len(r.URL.RawQuery)) > t.MaxBodyBytes {
		return nil, newRejection(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("The query string is larger than %d bytes", t.MaxBodyBytes))
	}
	return []byte("?" + r.URL.RawQuery), nil
}

// parseQueryString sets params to the parameters in the query string of a GET.
func (t *httpTransport) parseQueryString(query string, params *graphql.RawParams) *rejection {
	if strings.Count(query, "&") >= maxQueryParameters {
		return newRejection(http.StatusBadRequest,
			fmt.Sprintf("The query string has more than %d parameters", maxQueryParameters))
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return newRejection(http.StatusBadRequest, "The query string is malformed")
	}
	for name := range values {
		if len(values[name]) > 1 {
			return newRejection(http.StatusBadRequest,
				"The query string has a parameter more than once")
		}
		if !utf8.ValidString(values.Get(name)) {
			return newRejection(http.StatusBadRequest, "The query string is not UTF-8")
		}
	}
	// Clone, because a cache of the query would otherwise retain the whole query string.
	params.Query = strings.Clone(values.Get("query"))
	params.OperationName = values.Get("operationName")
	return badRequestIf(errors.Join(
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
