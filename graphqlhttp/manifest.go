package graphqlhttp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/cloakql/cloakql/internal/language"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// Limits of a manifest.
const (
	maxManifestBytes      = 16 << 20
	maxManifestOperations = 10_000
	maxOperationIDBytes   = 256
	maxOperationTokens    = 20_000 // the parser is recursive
	maxManifestNesting    = 64     // including fields that a generator adds
	maxManifestValues     = 100 * maxManifestOperations
	manifestFormat        = "apollo-persisted-query-manifest"
)

// A Manifest is a list of trusted operations, written by the builds of a server's clients. It is
// immutable and safe for concurrent use.
type Manifest struct {
	byID   map[string]string // the body for each id
	bodies map[string]bool
}

// Len returns the number of operations.
func (m *Manifest) Len() int { return len(m.byID) }

// resolve looks up a request's operation by its id or its exact text. If the manifest has the id,
// resolve sets params.Query to its body. trusted reports whether the manifest has the operation.
// mismatch reports whether params.Query differs from the id's body.
func (m *Manifest) resolve(id string, params *graphql.RawParams) (trusted, mismatch bool) {
	if body, ok := m.byID[id]; ok {
		if params.Query != "" && params.Query != body {
			return false, true
		}
		params.Query = body
		return true, false
	}
	return m.bodies[params.Query], false
}

// ReadManifest reads a manifest in one of these formats:
//
//	{"format": "apollo-persisted-query-manifest", "version": 1,
//	 "operations": [{"id": "…", "name": "Me", "type": "query", "body": "query Me { … }"}]}
//
//	{"<id>": "query Me { … }"}
//
//	{"<id>": {"name": "Me", "source": "query Me { … }"}}
//
// The first is Apollo's, written by @apollo/generate-persisted-query-manifest 1.4.0, Apollo Kotlin
// and Apollo iOS. Its operations may also be an object with the ids as keys. The second is written
// by Relay's compiler, the client preset of GraphQL Code Generator (persisted-documents.json) and
// gql.tada, and read by Hive and Rover. The third is the older format of Apollo Kotlin and Apollo
// iOS. Other fields are ignored, and so is a byte order mark.
//
// Because its operations are trusted, the file is checked strictly. No object may have two fields
// with the same name, and no two bodies may share an id. Each body must parse and have an
// operation. In Apollo's format, it must have exactly one, with the entry's name and type. An id of
// 64 hexadecimal digits, with or without the prefix "sha256:", must be the SHA-256 of its body. A
// file is limited to 16 MiB and 10,000 operations, an operation to 20,000 tokens, and an id to 256
// bytes. Operations are validated against the schema only when a client requests them. An error
// names the invalid operation by its position or id, and by its name.
func ReadManifest(r io.Reader) (*Manifest, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxManifestBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read a manifest of operations: %w", err)
	}
	if len(text) > maxManifestBytes {
		return nil, fmt.Errorf("the manifest of operations is larger than %d bytes",
			maxManifestBytes)
	}
	value, err := strictjson.Decode(bytes.TrimPrefix(text, byteOrderMark),
		strictjson.Limits{Depth: maxManifestNesting, Values: maxManifestValues})
	file, isObject := value.(map[string]any)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the manifest of operations can't be read: it %w", err)
	case !isObject:
		return nil, errors.New("the manifest of operations must be a JSON object")
	}
	operations, err := manifestOperations(file)
	switch {
	case err != nil:
		return nil, err
	case len(operations) == 0:
		return nil, errors.New("the manifest of operations is empty: no request could run")
	case len(operations) > maxManifestOperations:
		return nil, fmt.Errorf("the manifest has %d operations; the limit is %d", len(operations),
			maxManifestOperations)
	}
	m := &Manifest{byID: make(map[string]string, len(operations)),
		bodies: make(map[string]bool, len(operations))}
	for _, operation := range operations {
		if err := m.add(operation); err != nil {
			return nil, fmt.Errorf("operation %s of the manifest, %q: %w", operation.label,
				truncateName(operation.name), err)
		}
	}
	return m, nil
}

// A manifestOperation is one entry of a manifest. Missing fields are empty.
type manifestOperation struct {
	label             string // position or quoted id, for errors
	id, body          string
	requiresName      bool // name and kind are required, as in Apollo's format
	name, kind        string
	incompleteMessage string // the error message if a field is missing
}

// manifestOperations returns the entries of a file in any of ReadManifest's formats.
func manifestOperations(file map[string]any) ([]manifestOperation, error) {
	const incompleteMessage = "it must have the members id, name, type and body, " +
		"all strings that aren't empty"
	entries := []manifestOperation{}
	_, hasFormat := file["format"]
	operations, hasOperations := file["operations"]
	if !hasFormat && !hasOperations {
		for _, id := range slices.Sorted(maps.Keys(file)) {
			entry := manifestOperation{label: fmt.Sprintf("%q", truncateName(id)), id: id,
				incompleteMessage: "it must have an id, and the text of its document"}
			switch value := file[id].(type) {
			case string:
				entry.body = value
			case map[string]any:
				entry.body, _ = value["source"].(string)
				entry.name, _ = value["name"].(string)
			}
			entries = append(entries, entry)
		}
		return entries, nil
	}
	if file["format"] != manifestFormat {
		return nil, fmt.Errorf("the format of the manifest of operations isn't %q",
			manifestFormat)
	}
	if file["version"] != int64(1) {
		return nil, errors.New("the version of the manifest of operations isn't 1")
	}
	addEntry := func(label, id string, operation any) {
		fields, _ := operation.(map[string]any)
		entry := manifestOperation{label: label, id: id, requiresName: true,
			incompleteMessage: incompleteMessage}
		if id == "" {
			entry.id, _ = fields["id"].(string)
		}
		entry.name, _ = fields["name"].(string)
		entry.kind, _ = fields["type"].(string)
		entry.body, _ = fields["body"].(string)
		entries = append(entries, entry)
	}
	switch operations := operations.(type) {
	case []any:
		for i, operation := range operations {
			addEntry(strconv.Itoa(i+1), "", operation)
		}
	case map[string]any: // @replit/graphql-codegen-persisted-queries
		for _, id := range slices.Sorted(maps.Keys(operations)) {
			addEntry(fmt.Sprintf("%q", truncateName(id)), id, operations[id])
		}
	default:
		return nil, errors.New("the manifest of operations has no list of operations")
	}
	return entries, nil
}

func (m *Manifest) add(o manifestOperation) error {
	switch {
	case o.id == "" || o.body == "" || o.requiresName && (o.name == "" || o.kind == ""):
		return errors.New(o.incompleteMessage)
	case len(o.id) > maxOperationIDBytes:
		return fmt.Errorf("its id has %d bytes; the limit is %d", len(o.id), maxOperationIDBytes)
	case m.byID[o.id] == o.body: // a duplicate, if several clients have the operation
		return nil
	case m.byID[o.id] != "":
		return errors.New("another operation has the same id and a different body")
	}
	sum := sha256.Sum256([]byte(o.body))
	if digits := strings.TrimPrefix(o.id, "sha256:"); len(digits) == hex.EncodedLen(len(sum)) {
		_, hexErr := hex.DecodeString(digits)
		if want := hex.EncodeToString(sum[:]); hexErr == nil && digits != want {
			return fmt.Errorf(
				"its id looks like a SHA-256 hash, but the hash of its body is %s", want)
		}
	}
	if err := checkOperation(o); err != nil {
		return err
	}
	m.byID[o.id], m.bodies[o.body] = o.body, true
	return nil
}

// checkOperation returns an error unless the body parses and has an operation. If o requires a
// name, the body must have only one operation, with that name and kind.
func checkOperation(o manifestOperation) error {
	locator := language.Locator{Document: o.body, ParserInput: language.Rewrite(o.body)}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: locator.ParserInput},
		maxOperationTokens)
	if err != nil {
		position := ""
		if parseErr, ok := errors.AsType[*gqlerror.Error](err); ok && len(parseErr.Locations) > 0 {
			location := locator.TokenLocation(parseErr.Locations[0])
			position = fmt.Sprintf(" at line %d, column %d", location.Line, location.Column)
		}
		return fmt.Errorf("its body can't be parsed%s", position)
	}
	if len(doc.Operations) == 0 || o.requiresName && len(doc.Operations) > 1 {
		return fmt.Errorf("its body has %d operations, not one", len(doc.Operations))
	}
	if operation := doc.Operations[0]; o.requiresName &&
		(operation.Name != o.name || string(operation.Operation) != o.kind) {
		return errors.New("its body has an operation with a different name or type")
	}
	return nil
}
