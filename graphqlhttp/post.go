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

// closeIfTooLarge gives up the connection of a request whose body may be over the bound. To use the
// connection again, net/http would read 256 KiB of an unread body before it answers.
func (t *httpTransport) closeIfTooLarge(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > t.MaxBodyBytes {
		w.Header().Set("Connection", "close")
	}
}

// readPost reads the parameters of an operation from the body of a POST.
func (t *httpTransport) readPost(w http.ResponseWriter,
	r *http.Request) (*graphql.RawParams, *rejection) {
	if message := contentError(r.Header); message != "" {
		return nil, rejected(http.StatusUnsupportedMediaType, message)
	}
	tooLarge := rejected(http.StatusRequestEntityTooLarge,
		fmt.Sprintf("The body is larger than %d bytes", t.MaxBodyBytes))
	if r.ContentLength > t.MaxBodyBytes { // not a byte of it is read
		return nil, tooLarge
	}
	w.Header().Del("Connection") // set by closeIfTooLarge
	body, err := readBody(http.MaxBytesReader(w, r.Body, t.MaxBodyBytes), r.ContentLength)
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return nil, tooLarge
	}
	if err != nil {
		return nil, rejected(http.StatusBadRequest, "The body couldn't be read to its end")
	}
	members, message := t.decodeBody(body)
	if message != "" {
		return nil, rejected(http.StatusBadRequest, message)
	}
	params := &graphql.RawParams{Headers: r.Header}
	return checked(params, errors.Join(
		member(members, "query", "a string", &params.Query),
		member(members, "operationName", "a string", &params.OperationName),
		objectMember(members, "variables", &params.Variables),
		objectMember(members, "extensions", &params.Extensions)))
}

// decodeBody returns the members of a body, or what is wrong with it.
func (t *httpTransport) decodeBody(body []byte) (members map[string]any, message string) {
	if !utf8.Valid(body) {
		return nil, "The body is not UTF-8"
	}
	// A byte order mark is no part of the text (RFC 8259, section 8.1); some .NET clients write
	// one.
	body = bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \t\r\n")
	if len(body) == 0 {
		return nil, "The body is empty: it must be a JSON object"
	}
	if bytes.HasPrefix(body, []byte("[")) {
		return nil, "Batches are not supported: send one operation a request"
	}
	value, err := strictjson.Decode(body, t.jsonLimits())
	if failed, ok := errors.AsType[*strictjson.Error](err); ok {
		name := failed.Member
		if name != "variables" && name != "extensions" {
			name = "" // the client's own names don't come back
		}
		return nil, t.jsonMessage(name, failed.Reason)
	}
	members, isObject := value.(map[string]any)
	if !isObject {
		return nil, "The body must be a JSON object"
	}
	return members, ""
}

// contentError returns why a body isn't read, from what its headers claim it to be, or nothing.
// Another site's form or image can't send this media type, so it can't change anything here: see
// the package's comment.
func contentError(header http.Header) string {
	for _, line := range header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			// identity says that there is none, and is reserved for saying so (RFC 9110, section
			// 8.4.1).
			if coding = strings.Trim(coding, " \t"); coding != "" &&
				!strings.EqualFold(coding, "identity") {
				return "Content-Encoding is not supported: send the body as it is"
			}
		}
	}
	types := header["Content-Type"]
	if len(types) == 1 && types[0] == string(mediaJSON) { // what nearly everyone sends
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
	charset, found := parameters["charset"]
	twice := err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) // with two values
	if twice || found && !isUTF8(charset) {
		return "charset must be utf-8"
	}
	return ""
}

// readBody reads to the end. It doesn't believe what a client says of the length before the bytes
// are here: a client that opens many connections and sends nothing shall not hold as many buffers.
func readBody(body io.Reader, length int64) ([]byte, error) {
	const begin = 4 << 10
	// one more, to see the end without growing
	text := make([]byte, 0, min(max(length+1, 512), begin))
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
