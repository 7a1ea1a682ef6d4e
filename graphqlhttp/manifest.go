package graphqlhttp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/cloakql/cloakql/internal/language"
)

// What bounds a manifest.
const (
	maxManifestBytes      = 16 << 20
	maxManifestOperations = 10_000
	maxOperationIDBytes   = 256
	maxOperationTokens    = 20_000 // the parser is recursive
	manifestLevels        = 3      // the object, its list, an operation
	manifestValues        = 10 * maxManifestOperations
	manifestFormat        = "apollo-persisted-query-manifest"
)

// A Manifest holds the operations that a server trusts: those of its own clients, written when they were built.
// It doesn't change, and is safe for concurrent use.
type Manifest struct {
	byID   map[string]string // to the body
	bodies map[string]bool
}

// Operations tells how many operations the manifest has.
func (m *Manifest) Operations() int { return len(m.byID) }

// find tells whether the manifest has the operation of a request, by its id or, word by word, by its text, and
// puts the text in. It is a contradiction when the request has an id and another text than that of the id.
func (m *Manifest) find(id string, params *graphql.RawParams) (trusted, contradiction bool) {
	if body, ok := m.byID[id]; ok {
		if params.Query != "" && params.Query != body {
			return false, true
		}
		params.Query = body
		return true, false
	}
	return m.bodies[params.Query], false
}

// ReadManifest reads a manifest in the format apollo-persisted-query-manifest, version 1, as
// @apollo/generate-persisted-query-manifest 1.4.0 writes it:
//
//	{"format": "apollo-persisted-query-manifest", "version": 1,
//	 "operations": [{"id": "…", "name": "Me", "type": "query", "body": "query Me { … }"}]}
//
// It reads strictly, since what slips in here is trusted: no other members, no id twice, a body that parses and
// holds just the one operation that name and type say, and an id of 64 hexadecimal digits must be the SHA-256 of
// its body. At most 16 MiB, 10,000 operations of 20,000 tokens, and ids of 256 bytes. Whether the operations fit
// the schema shows when they are asked for. An error says which operation is at fault, by its place and name.
func ReadManifest(r io.Reader) (*Manifest, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxManifestBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read a manifest of operations: %w", err)
	}
	if len(text) > maxManifestBytes {
		return nil, fmt.Errorf("the manifest of operations is larger than %d bytes", maxManifestBytes)
	}
	value, _, fault := readJSON(text, jsonBounds{manifestLevels, manifestValues})
	file, isObject := value.(map[string]any)
	switch {
	case fault != "":
		return nil, fmt.Errorf("the manifest of operations can't be read: %s", fault)
	case !isObject:
		return nil, errors.New("the manifest of operations must be a JSON object")
	case file["format"] != manifestFormat:
		return nil, fmt.Errorf("the manifest of operations has another format than %q", manifestFormat)
	case file["version"] != int64(1):
		return nil, errors.New("the manifest of operations has another version than 1")
	}
	operations, isList := file["operations"].([]any)
	switch {
	case !isList:
		return nil, errors.New("the manifest of operations lacks its list of operations")
	case len(file) != 3:
		return nil, errors.New("the manifest of operations has other members than format, version and operations")
	case len(operations) == 0:
		return nil, errors.New("the manifest of operations is empty: no request could run")
	case len(operations) > maxManifestOperations:
		return nil, fmt.Errorf("the manifest has %d operations, allowed are %d", len(operations), maxManifestOperations)
	}
	m := &Manifest{byID: make(map[string]string, len(operations)), bodies: make(map[string]bool, len(operations))}
	for i, operation := range operations {
		members, _ := operation.(map[string]any)
		if err := m.add(members); err != nil {
			name, _ := members["name"].(string)
			return nil, fmt.Errorf("operation %d of the manifest, %q: %w", i+1, cut(name), err)
		}
	}
	return m, nil
}

func (m *Manifest) add(members map[string]any) error {
	id, _ := members["id"].(string)
	name, _ := members["name"].(string)
	kind, _ := members["type"].(string)
	body, _ := members["body"].(string)
	switch {
	case id == "" || name == "" || kind == "" || body == "" || len(members) != 4:
		return errors.New("it must have the members id, name, type and body, all strings that aren't empty, and no other")
	case len(id) > maxOperationIDBytes:
		return fmt.Errorf("its id has %d bytes, allowed are %d", len(id), maxOperationIDBytes)
	case m.byID[id] != "":
		return errors.New("its id is there twice")
	}
	if sum := sha256.Sum256([]byte(body)); len(id) == hex.EncodedLen(len(sum)) {
		_, notHex := hex.DecodeString(id)
		if want := hex.EncodeToString(sum[:]); notHex == nil && id != want {
			return fmt.Errorf("its id looks like a SHA-256, but that of its body is %s", want)
		}
	}
	if err := checkOperation(name, kind, body); err != nil {
		return err
	}
	m.byID[id], m.bodies[body] = body, true
	return nil
}

// checkOperation wants a document with one operation, of that name and type.
func checkOperation(name, kind, body string) error {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: language.Rewrite(body)}, maxOperationTokens)
	if err != nil {
		where := ""
		if at, ok := errors.AsType[*gqlerror.Error](err); ok && len(at.Locations) > 0 {
			where = fmt.Sprintf(" at line %d, column %d", at.Locations[0].Line, at.Locations[0].Column)
		}
		return fmt.Errorf("its body can't be parsed%s", where)
	}
	if len(doc.Operations) != 1 {
		return fmt.Errorf("its body has %d operations, not one", len(doc.Operations))
	}
	operation := doc.Operations[0]
	if operation.Name != name || string(operation.Operation) != kind {
		return errors.New("its body holds an operation of another name or type")
	}
	return nil
}
