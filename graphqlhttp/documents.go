package graphqlhttp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

const (
	messageHashMismatch = "extensions.persistedQuery.sha256Hash is not the hash of the query"
	messageMissingQuery = "query is missing"
)

// A documentPolicy decides which documents may run, and finds documents that a request names by
// hash or id. It is safe for concurrent use.
type documentPolicy struct {
	manifest         *Manifest            // nil if every document may run
	logOnly          bool                 // documents that aren't in the manifest run too
	persistedQueries *persistedQueryStore // nil if automatic persisted queries are off
	sharedQueries    SharedQueries        // nil if queries aren't shared
}

func newDocumentPolicy(config Config) documentPolicy {
	return documentPolicy{
		manifest: config.Manifest, logOnly: config.ManifestLogOnly,
		persistedQueries: newPersistedQueryStore(config.PersistedQueryBytes),
		sharedQueries:    config.SharedQueries,
	}
}

// A documentLookup is the result of documentPolicy.lookup for a request that may run.
type documentLookup struct {
	storeKey      *digest // the hash to store a valid document under, or nil
	notInManifest bool    // the document isn't in the manifest, but ManifestLogOnly is set
}

// lookup sets params.Query if the request names its document by hash or id. It rejects the request
// if the manifest doesn't allow its document.
func (p documentPolicy) lookup(ctx context.Context,
	params *graphql.RawParams) (result documentLookup, _ *rejection) {
	extension, hasID := params.Extensions["persistedQuery"]
	if p.persistedQueries == nil && p.manifest == nil {
		switch {
		case params.Query != "":
			return result, nil
		case hasID:
			// Apollo Client looks for this message, and then sends the whole query.
			return result, newRejectionWithCode(apierror.CodePersistedQueryNotSupported,
				"PersistedQueryNotSupported")
		}
		return result, newRejection(http.StatusBadRequest, messageMissingQuery)
	}
	id, message := persistedQueryID(extension)
	if message != "" {
		return result, newRejection(http.StatusBadRequest, message)
	}
	if params.Query == "" && id == "" {
		return result, newRejection(http.StatusBadRequest, messageMissingQuery)
	}
	if p.manifest != nil {
		trusted, mismatch := p.manifest.resolve(id, params)
		switch {
		case mismatch:
			return result, newRejection(http.StatusBadRequest, messageHashMismatch)
		case trusted:
			return result, nil
		case !p.logOnly:
			return result, newRejectionWithCode(apierror.CodeOperationNotAllowed,
				"This server runs only registered operations")
		}
		result.notInManifest = true
	}
	rej := p.lookupPersisted(ctx, &result, id, params)
	return result, rej
}

// lookupPersisted implements Apollo's automatic persisted queries: it finds the text for a hash, or
// checks the hash of a text. The id may be empty.
func (p documentPolicy) lookupPersisted(ctx context.Context, result *documentLookup, id string,
	params *graphql.RawParams) *rejection {
	switch {
	case id == "":
		return nil
	case p.persistedQueries == nil && params.Query != "": // with logOnly, the id needn't be a hash
		return nil
	case p.persistedQueries == nil:
		return persistedQueryNotFound()
	}
	sum, ok := parseDigest(id)
	if !ok {
		return newRejection(http.StatusBadRequest,
			"extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits in lower case")
	}
	if params.Query == "" {
		if params.Query, ok = p.find(ctx, sum); !ok {
			return persistedQueryNotFound()
		}
		return nil
	}
	if digest(sha256.Sum256([]byte(params.Query))) != sum {
		return newRejection(http.StatusBadRequest, messageHashMismatch)
	}
	result.storeKey = &sum
	return nil
}

// find returns the text with a hash, from this process's memory or from the shared store. A text
// from the shared store is kept in memory, too.
func (p documentPolicy) find(ctx context.Context, sum digest) (text string, ok bool) {
	if text, ok = p.persistedQueries.get(sum); ok || p.sharedQueries == nil {
		return text, ok
	}
	text, ok = p.sharedQueries.Get(ctx, sum)
	if !ok || sha256.Sum256([]byte(text)) != sum {
		return "", false
	}
	p.persistedQueries.put(sum, text)
	return text, true
}

// remember stores the document of a valid operation if the request sent its hash. Later requests
// may then send only the hash.
func (p documentPolicy) remember(ctx context.Context, operation *operation) {
	sum := operation.lookup.storeKey
	if sum == nil || mayContainSecrets(operation.Doc) {
		return
	}
	isNew := p.persistedQueries.put(*sum, operation.document)
	if isNew && p.sharedQueries != nil {
		p.sharedQueries.Put(ctx, operation.document)
	}
}

// newRejectionWithCode returns a rejection with a code, and with the status of an invalid document.
func newRejectionWithCode(code apierror.Code, message string) *rejection {
	return &rejection{errs: gqlerror.List{apierror.New(code, "", message)}}
}

// persistedQueryNotFound returns the rejection that makes a client send the whole document. Apollo
// Client looks for this message or this code.
func persistedQueryNotFound() *rejection {
	return newRejectionWithCode(apierror.CodePersistedQueryNotFound, "PersistedQueryNotFound")
}

// persistedQueryID returns the id in the extension persistedQuery, or "" if the extension is
// absent or null. If the extension is malformed, message says how.
func persistedQueryID(extension any) (id, message string) {
	if extension == nil {
		return "", ""
	}
	fields, isObject := extension.(map[string]any)
	if !isObject {
		return "", "extensions.persistedQuery must be an object"
	}
	if version, ok := fields["version"].(int64); !ok || version != 1 {
		return "", "extensions.persistedQuery.version must be 1"
	}
	id, _ = fields["sha256Hash"].(string)
	if id == "" || len(id) > maxOperationIDBytes {
		return "", "extensions.persistedQuery.sha256Hash must be a string that is neither empty " +
			"nor too long"
	}
	return id, ""
}

// parseDigest parses a SHA-256, written as 64 hexadecimal digits in lower case.
func parseDigest(text string) (sum digest, ok bool) {
	if len(text) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return sum, false
		}
	}
	_, err := hex.Decode(sum[:], []byte(text))
	return sum, err == nil
}

// mayContainSecrets reports whether a document has a mutation or a subscription, and a string or a
// number anywhere: see persistedQueryStore.
func mayContainSecrets(doc *ast.QueryDocument) bool {
	isNotQuery := func(o *ast.OperationDefinition) bool { return o.Operation != ast.Query }
	if !slices.ContainsFunc(doc.Operations, isNotQuery) {
		return false
	}
	hasValue := false
	v := visitor{onValue: func(value *ast.Value) {
		switch value.Kind {
		case ast.IntValue, ast.FloatValue, ast.StringValue, ast.BlockValue:
			hasValue = true
		}
	}}
	for _, operation := range doc.Operations {
		v.visitOperation(operation)
	}
	for _, fragment := range doc.Fragments {
		v.visitDirectives(fragment.Directives) // the selections were visited at the spreads
	}
	return hasValue
}
