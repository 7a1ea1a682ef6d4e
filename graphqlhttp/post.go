package graphqlhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/internal/strictjson"
)

var byteOrderMark = []byte("\ufeff")

// closeIfTooLarge sets the header Connection: close if the body is too large or its length is
// unknown. Otherwise, net/http would read up to 256 KiB of the body to keep the connection open.
func (t *httpTransport) closeIfTooLarge(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > t.MaxBodyBytes {
		w.Header().Set("Connection", "close")
	}
}

// readPostBody reads the body of a POST.
func (t *httpTransport) readPostBody(w http.ResponseWriter, r *http.Request) ([]byte, *rejection) {
	if message := checkContentHeaders(r.Header); message != "" {
		return nil, newRejection(http.StatusUnsupportedMediaType, message)
	}
	if r.ContentLength > t.MaxBodyBytes { // the body isn't read at all
		return nil, t.bodyTooLarge()
	}
	w.Header().Del("Connection") // set by closeIfTooLarge
	body, err := readBody(http.MaxBytesReader(w, r.Body, t.MaxBodyBytes), r.ContentLength)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, t.bodyTooLarge()
	}
	if err != nil {
		return nil, newRejection(http.StatusBadRequest, "The body couldn't be read to its end")
	}
	return body, nil
}

// parseBody sets params to the parameters in the body of a POST.
func (t *httpTransport) parseBody(body []byte, params *graphql.RawParams) *rejection {
	fields, message := t.decodeBody(body)
	if message != "" {
		return newRejection(http.StatusBadRequest, message)
	}
	return badRequestIf(errors.Join(
		setField(fields, "query", "a string", &params.Query),
		setField(fields, "operationName", "a string", &params.OperationName),
		setObjectField(fields, "variables", &params.Variables),
		setObjectField(fields, "extensions", &params.Extensions)))
}

func (t *httpTransport) bodyTooLarge() *rejection {
	return newRejection(http.StatusRequestEntityTooLarge,
		fmt.Sprintf("The body is larger than %d bytes", t.MaxBodyBytes))
}

// decodeBody returns the fields of the JSON object in a body, or a message that says what is wrong
// with it.
func (t *httpTransport) decodeBody(body []byte) (fields map[string]any, message string) {
	if !utf8.Valid(body) {
		return nil, "The body is not UTF-8"
	}
	// Some .NET clients send a byte order mark, which may be ignored (RFC 8259, section 8.1).
	body = bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \t\r\n")
	if len(body) == 0 {
		return nil, "The body is empty: it must be a JSON object"
	}
	if bytes.HasPrefix(body, []byte("[")) {
		return nil, "Batches are not supported: send one operation per request"
	}
	value, err := strictjson.Decode(body, t.jsonLimits())
	if jsonErr, ok := errors.AsType[*strictjson.Error](err); ok {
		name := jsonErr.Member
		if name != "variables" && name != "extensions" {
			name = "" // don't quote other names that the client chose
		}
		return nil, t.jsonMessage(name, jsonErr.Reason)
	}
	fields, isObject := value.(map[string]any)
	if !isObject {
		return nil, "The body must be a JSON object"
	}
	return fields, ""
}

// checkContentHeaders returns a message if Content-Type or Content-Encoding isn't supported.
// Requiring application/json protects against cross-site requests: see the package documentation.
func checkContentHeaders(header http.Header) string {
	for _, line := range header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			// Some clients send identity, which means no encoding (RFC 9110, section 8.4.1).
			if coding = strings.Trim(coding, " \t"); coding != "" &&
				!strings.EqualFold(coding, "identity") {
				return "Content-Encoding is not supported: send the body as it is"
			}
		}
	}
	types := header["Content-Type"]
	if len(types) == 1 && types[0] == string(mediaJSON) { // the common case
		return ""
	}
	if len(types) != 1 {
		return "Content-Type must be application/json"
	}
	media, _, _ := strings.Cut(types[0], ";")
	if !strings.EqualFold(strings.TrimSpace(media), string(mediaJSON)) {
		return "Content-Type must be application/json"
	}
	_, parameters, err := mime.ParseMediaType(types[0])
	charset, hasCharset := parameters["charset"]
	hasDuplicateParameter := err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter)
	if hasDuplicateParameter || hasCharset && !isUTF8(charset) {
		return "charset must be utf-8"
	}
	return ""
}

// readBody reads body to the end. It doesn't trust contentLength: a client that opens many
// connections and sends no body must not make the server allocate large buffers.
func readBody(body io.Reader, contentLength int64) ([]byte, error) {
	const maxInitialBytes = 4 << 10
	if contentLength < 0 { // unknown
		contentLength = 511
	}
	// One extra byte, to reach EOF without growing the buffer.
	buf := make([]byte, 0, min(contentLength+1, maxInitialBytes))
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		case len(buf) == cap(buf):
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
	}
}
