package graphqlhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/internal/strictjson"
)

const maxQueryParameters = 32 // of a GET; four have a meaning

var byteOrderMark = []byte("\ufeff")

// allow is the Allow header: the methods that are served at all.
func (t *httpTransport) allow() string {
	if !t.AllowGET {
		return "OPTIONS, POST"
	}
	return "GET, HEAD, OPTIONS, POST"
}

// closeUnread gives a connection up whose request may have a body over the bound. To use the connection again,
// net/http would read 256 KiB of a body that nobody read, before it answers.
func (t *httpTransport) closeUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > t.MaxBodyBytes {
		w.Header().Set("Connection", "close")
	}
}

// read turns a request into the parameters of an operation, or says which status and error refuse it. No error
// repeats anything of the body. The parameters may lack a query yet.
func (t *httpTransport) read(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, int, *gqlerror.Error) {
	switch {
	case r.Method == http.MethodPost:
		return t.readPost(w, r)
	case !t.AllowGET:
		return nil, http.StatusMethodNotAllowed, badRequest("Method not allowed: use POST")
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return t.readGet(r)
	}
	return nil, http.StatusMethodNotAllowed, badRequest("Method not allowed: use POST, or GET for queries")
}

func (t *httpTransport) readPost(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, int, *gqlerror.Error) {
	if fault := mediaFault(r.Header); fault != nil {
		return nil, http.StatusUnsupportedMediaType, fault
	}
	most := t.MaxBodyBytes
	tooLarge := badRequest(fmt.Sprintf("The body is larger than %d bytes", most))
	if r.ContentLength > most { // not a byte of it is read
		return nil, http.StatusRequestEntityTooLarge, tooLarge
	}
	w.Header().Del("Connection") // closeUnread
	body, err := readBody(http.MaxBytesReader(w, r.Body, most), r.ContentLength)
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return nil, http.StatusRequestEntityTooLarge, tooLarge
	}
	if err != nil {
		return nil, http.StatusBadRequest, badRequest("The body couldn't be read to its end")
	}
	if !utf8.Valid(body) {
		return nil, http.StatusBadRequest, badRequest("The body is not UTF-8")
	}
	// A byte order mark is no part of the text (RFC 8259, section 8.1); some .NET clients write
	// one.
	body = bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \t\r\n")
	if len(body) == 0 {
		return nil, http.StatusBadRequest, badRequest("The body is empty: it must be a JSON object")
	}
	if bytes.HasPrefix(body, []byte("[")) {
		return nil, http.StatusBadRequest, badRequest("Batches are not supported: send one operation a request")
	}
	value, err := strictjson.Decode(body, t.jsonLimits())
	members, isObject := value.(map[string]any)
	switch failed, ok := errors.AsType[*strictjson.Error](err); {
	case ok:
		member := failed.Member
		if member != "variables" && member != "extensions" {
			member = "" // the client's own names don't come back
		}
		return nil, http.StatusBadRequest, badRequest(t.jsonMessage(member, failed.Reason))
	case !isObject:
		return nil, http.StatusBadRequest, badRequest("The body must be a JSON object")
	}
	params := &graphql.RawParams{Headers: r.Header}
	return finish(params, errors.Join(
		take(members, "query", "a string", &params.Query),
		take(members, "operationName", "a string", &params.OperationName),
		takeObject(members, "variables", &params.Variables),
		takeObject(members, "extensions", &params.Extensions)))
}

// mediaFault says why a body isn't read, from what its headers claim it to be. Another site's form or image
// can't send this media type, so it can't change anything here: see the package's comment.
func mediaFault(header http.Header) *gqlerror.Error {
	for _, line := range header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			// identity says that there is none, and is reserved for saying so (RFC 9110, section
			// 8.4.1).
			if coding = strings.Trim(coding, " \t"); coding != "" &&
				!strings.EqualFold(coding, "identity") {
				return badRequest("Content-Encoding is not supported: send the body as it is")
			}
		}
	}
	types := header["Content-Type"]
	if len(types) == 1 && types[0] == string(mediaJSON) { // what nearly everyone sends
		return nil
	}
	if len(types) != 1 {
		return badRequest("Content-Type must be application/json")
	}
	media, rest := cutOutsideQuotes(types[0], ';')
	if !strings.EqualFold(strings.Trim(media, " \t"), string(mediaJSON)) {
		return badRequest("Content-Type must be application/json")
	}
	for name, value := range parameters(rest) {
		if name == "charset" && !isUTF8(value) {
			return badRequest("charset must be utf-8")
		}
	}
	return nil
}

// readBody reads to the end. What a client says of the length isn't believed before the bytes are here: who
// opens many connections and sends nothing shall not hold as many buffers.
func readBody(body io.Reader, length int64) ([]byte, error) {
	const begin = 4 << 10
	text := make([]byte, 0, min(max(length+1, 512), begin)) // one more, to see the end without growing
	for {
		n, err := body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case err == io.EOF:
			return text, nil
		case err != nil:
			return nil, err
		case len(text) == cap(text):
			text = append(make([]byte, 0, 2*cap(text)), text...)
		}
	}
}

func (t *httpTransport) readGet(r *http.Request) (*graphql.RawParams, int, *gqlerror.Error) {
	if most := t.MaxBodyBytes; int64(len(r.URL.RawQuery)) > most {
		return nil, http.StatusRequestEntityTooLarge, badRequest(fmt.Sprintf("The query string is larger than %d bytes", most))
	}
	if strings.Count(r.URL.RawQuery, "&") >= maxQueryParameters {
		return nil, http.StatusBadRequest, badRequest(fmt.Sprintf("The query string has more than %d parameters", maxQueryParameters))
	}
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
	params := &graphql.RawParams{
		// A copy: what keeps the query, in a cache, must not keep the whole line of the request with it.
		Query: strings.Clone(values.Get("query")), OperationName: values.Get("operationName"), Headers: r.Header,
	}
	return finish(params, errors.Join(
		t.takeJSON(values, "variables", &params.Variables),
		t.takeJSON(values, "extensions", &params.Extensions)))
}

func (t *httpTransport) takeJSON(values url.Values, name string, v *map[string]any) error {
	text := values.Get(name)
	if text == "" {
		return nil
	}
	value, err := strictjson.Decode([]byte(text), t.jsonLimits())
	if failed, ok := errors.AsType[*strictjson.Error](err); ok {
		return errors.New(t.jsonMessage(name, failed.Reason))
	}
	return takeObject(map[string]any{name: value}, name, v)
}

// jsonMessage returns what is wrong with the JSON of the variables, of the extensions, or of the
// whole body, whose name is "".
func (t *httpTransport) jsonMessage(name string, reason strictjson.Reason) string {
	subject, verb := name, " "
	if name == "" {
		subject, verb = "The body", "s "
	}
	switch reason {
	case strictjson.TooDeep:
		return fmt.Sprintf("%s nest%sdeeper than %d levels", subject, verb, t.jsonLimits().Depth)
	case strictjson.TooManyValues:
		return fmt.Sprintf("%s hold%smore than %d values", subject, verb, t.jsonLimits().Values)
	case strictjson.HalfSurrogate:
		return subject + " hold" + verb + "half of a surrogate pair, which is no character"
	case strictjson.NumberTooLarge:
		return subject + " hold" + verb + "a number that is out of range"
	case strictjson.MemberTwice:
		return subject + " name" + verb + "a member twice in one object"
	}
	if name == "" {
		return "The body must be a JSON object"
	}
	return name + " must be an object"
}

// finish checks what POST and GET have in common.
func finish(params *graphql.RawParams, err error) (*graphql.RawParams, int, *gqlerror.Error) {
	if err != nil {
		return nil, http.StatusBadRequest, badRequest(err.Error())
	}
	return params, 0, nil
}

// take stores a member in v unless it is absent or null. Its error names the member, not its value.
func take[T any](members map[string]any, name, want string, v *T) error {
	value := members[name]
	if value == nil {
		return nil
	}
	var ok bool
	if *v, ok = value.(T); !ok {
		return errors.New(name + " must be " + want)
	}
	return nil
}

// takeObject is take for an object. An empty list is one without members: PHP writes [] for it.
func takeObject(members map[string]any, name string, v *map[string]any) error {
	if list, ok := members[name].([]any); ok && len(list) == 0 {
		return nil
	}
	return take(members, name, "an object", v)
}
