package graphqlhttp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// A response is the HTTP response: the result of an operation, or the errors of a rejected request.
type response struct {
	media  mediaType // empty if there is no body
	status int
	allow  string // the Allow header, with 405, and with 204 for OPTIONS
	errs   gqlerror.List
	body   [][]byte // in pieces, so that data isn't copied
}

// rejectionResponse returns the response to a rejected request. It has no data entry, since nothing
// ran.
func rejectionResponse(media mediaType, rej *rejection) response {
	content := struct {
		Errors gqlerror.List `json:"errors"`
	}{rej.errs}
	return response{media: media, status: cmp.Or(rej.status, media.requestErrorStatus()),
		allow: rej.allow, errs: rej.errs, body: [][]byte{encodeJSON(content), newline}}
}

// resultResponse returns the response to an operation that ran. Its status is 200 even if fields
// failed. A result larger than maxBytes is replaced by an error.
func resultResponse(media mediaType, result *graphql.Response, locator *language.Locator,
	maxBytes int64) response {
	errs := boundFieldErrors(result.Errors, locator)
	body, size := [][]byte{[]byte("{")}, int64(len("{}\n"))
	addMember := func(name string, value []byte) {
		if len(body) > 1 {
			name = "," + name
		}
		body = append(body, []byte(name), value)
		size += int64(len(name) + len(value))
	}
	if size += int64(len(result.Data)); size <= maxBytes && len(errs) > 0 {
		addMember(`"errors":`, encodeJSON(errs))
	}
	if size <= maxBytes {
		data := result.Data
		if data == nil {
			data = jsonNull
		}
		if !json.Valid(data) { // a custom scalar wrote invalid JSON
			panic("graphqlhttp: the data of a response isn't JSON")
		}
		size -= int64(len(result.Data)) // counted above
		addMember(`"data":`, data)
	}
	if size <= maxBytes && len(result.Extensions) > 0 {
		addMember(`"extensions":`, encodeJSON(result.Extensions))
	}
	if size > maxBytes {
		message := fmt.Sprintf("The response is larger than %d bytes: ask for less at once",
			maxBytes)
		return executionErrorResponse(media,
			apierror.New(apierror.CodeResponseTooLarge, "", message))
	}
	return response{media: media, status: http.StatusOK, errs: errs,
		body: append(body, []byte("}\n"))}
}

// executionErrorResponse returns the response to an operation that ran but has no usable result.
func executionErrorResponse(media mediaType, err *gqlerror.Error) response {
	errs := gqlerror.List{err}
	content := struct {
		Errors gqlerror.List `json:"errors"`
		Data   any           `json:"data"`
	}{errs, nil}
	return response{media: media, status: http.StatusOK, errs: errs,
		body: [][]byte{encodeJSON(content), newline}}
}

var jsonNull, newline = []byte("null"), []byte("\n")

func encodeJSON(content any) []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // nosniff, set in write, keeps browsers from rendering HTML
	if err := encoder.Encode(content); err != nil {
		// The server set an extension that has no JSON form.
		panic("graphqlhttp: a response can't be encoded: " + err.Error())
	}
	return bytes.TrimSuffix(body.Bytes(), newline)
}

// The values of headers that every response has, shared because Header.Set allocates a list.
var (
	noStore      = []string{"no-store"}
	noSniff      = []string{"nosniff"}
	contentTypes = map[mediaType][]string{
		mediaJSON:            {string(mediaJSON) + "; charset=utf-8"},
		mediaGraphQLResponse: {string(mediaGraphQLResponse) + "; charset=utf-8"},
	}
)

// write sends the response. A HEAD request gets no body.
func (r response) write(w http.ResponseWriter, method string) {
	header := w.Header()
	header["Cache-Control"], header["X-Content-Type-Options"] = noStore, noSniff
	if r.allow != "" {
		header.Set("Allow", r.allow)
	}
	if seconds := retryAfter(r.errs); seconds > 0 {
		header.Set("Retry-After", strconv.Itoa(seconds))
	}
	if r.media != "" {
		header["Content-Type"] = contentTypes[r.media]
		size := 0
		for _, piece := range r.body {
			size += len(piece)
		}
		header.Set("Content-Length", strconv.Itoa(size))
	}
	w.WriteHeader(r.status)
	if method == http.MethodHead {
		return
	}
	for _, piece := range r.body {
		if _, err := w.Write(piece); err != nil {
			return // the client disconnected
		}
	}
}

// retryAfter returns the longest extensions.retryAfter of errs, in seconds, or 0 if there is none.
// The Retry-After header repeats the value for clients and proxies that don't read the body. RFC
// 9110, section 10.2.3, allows that header in any response.
func retryAfter(errs gqlerror.List) (seconds int) {
	for _, err := range errs {
		if err == nil {
			continue
		}
		switch n := err.Extensions["retryAfter"].(type) {
		case int:
			seconds = max(seconds, n)
		case int64:
			seconds = max(seconds, int(min(n, math.MaxInt32)))
		}
	}
	return seconds
}
