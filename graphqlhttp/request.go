package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

const allowAll = "GET, HEAD, POST"

// read turns a request into the parameters of an operation, or says which status and error refuse it; status 0
// is that of every other request error. No error repeats anything of the body.
func (t Transport) read(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, int, *gqlerror.Error) {
	switch r.Method {
	case http.MethodPost:
		return t.readPost(w, r)
	case http.MethodGet, http.MethodHead:
		return readGet(r)
	}
	return nil, http.StatusMethodNotAllowed, badRequest("Method not allowed: use POST, or GET for queries")
}

func (t Transport) readPost(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, int, *gqlerror.Error) {
	// A form or an image of another site can't send this media type, so it can't change anything here.
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, http.StatusUnsupportedMediaType, badRequest("Content-Type must be application/json")
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, http.StatusUnsupportedMediaType, badRequest("charset must be utf-8")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, http.StatusUnsupportedMediaType, badRequest("Content-Encoding is not supported: send the body as it is")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, t.maxBodyBytes()))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, http.StatusRequestEntityTooLarge, badRequest(fmt.Sprintf("The body is larger than %d bytes", t.maxBodyBytes()))
		}
		return nil, http.StatusBadRequest, badRequest("The body couldn't be read to its end")
	}
	if !utf8.Valid(body) {
		return nil, http.StatusBadRequest, badRequest("The body is not UTF-8")
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	if bytes.HasPrefix(body, []byte("[")) {
		return nil, http.StatusBadRequest, badRequest("Batches are not supported: send one operation a request")
	}
	// A map, because encoding/json would match the names of a struct's fields in any case.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, http.StatusBadRequest, badRequest("The body must be a JSON object")
	}
	params := &graphql.RawParams{Headers: r.Header}
	return finish(params, errors.Join(
		decode(members, "query", "a string", &params.Query),
		decode(members, "operationName", "a string", &params.OperationName),
		decode(members, "variables", "an object", &params.Variables),
		decode(members, "extensions", "an object", &params.Extensions)))
}

func readGet(r *http.Request) (*graphql.RawParams, int, *gqlerror.Error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, http.StatusBadRequest, badRequest("The query string is malformed")
	}
	for name := range values {
		if len(values[name]) > 1 {
			return nil, http.StatusBadRequest, badRequest("A parameter of the query string is there twice")
		}
		if !utf8.ValidString(values.Get(name)) {
			return nil, http.StatusBadRequest, badRequest("The query string is not UTF-8")
		}
	}
	members := map[string]json.RawMessage{}
	for _, name := range []string{"variables", "extensions"} {
		if value := values.Get(name); value != "" {
			members[name] = json.RawMessage(value)
		}
	}
	params := &graphql.RawParams{
		Query: values.Get("query"), OperationName: values.Get("operationName"), Headers: r.Header,
	}
	return finish(params, errors.Join(
		decode(members, "variables", "an object", &params.Variables),
		decode(members, "extensions", "an object", &params.Extensions)))
}

// finish checks what POST and GET have in common.
func finish(params *graphql.RawParams, err error) (*graphql.RawParams, int, *gqlerror.Error) {
	if err != nil {
		return nil, http.StatusBadRequest, badRequest(err.Error())
	}
	for name, value := range params.Variables {
		if params.Variables[name], err = numbers(value); err != nil {
			return nil, http.StatusBadRequest, badRequest(err.Error())
		}
	}
	if params.Query == "" {
		if _, persisted := params.Extensions["persistedQuery"]; persisted {
			// The exact message is what Apollo Client waits for before it sends the whole query.
			return nil, 0, coded("PERSISTED_QUERY_NOT_SUPPORTED", "", "PersistedQueryNotSupported")
		}
		return nil, http.StatusBadRequest, badRequest("query is missing")
	}
	return params, 0, nil
}

// numbers turns the numbers of a JSON value into Go's. gqlgen and gqlparser take json.Number for the
// string that it is, so a String variable would accept 5. An integer beyond 64 bits becomes the nearest
// float64, as in JavaScript; a number that even float64 can't hold is an error.
func numbers(value any) (any, error) {
	var err error
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n, nil
		}
		if f, err := value.Float64(); err == nil {
			return f, nil
		}
		return nil, errors.New("variables hold a number that is out of range")
	case map[string]any:
		for name, member := range value {
			if value[name], err = numbers(member); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, item := range value {
			if value[i], err = numbers(item); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// decode stores a member in v unless it is absent or null. Its error names the member, not its value.
func decode(members map[string]json.RawMessage, name, want string, v any) error {
	raw, ok := members[name]
	if !ok {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a float64 would round large integers
	if err := decoder.Decode(v); err != nil {
		return errors.New(name + " must be " + want)
	}
	if _, err := decoder.Token(); err != io.EOF { // in a query string, anything can follow
		return errors.New(name + " must be " + want)
	}
	return nil
}
