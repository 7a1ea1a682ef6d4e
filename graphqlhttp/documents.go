package graphqlhttp

import (
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
	wrongHash    = "extensions.persistedQuery.sha256Hash is not that of the query"
	missingQuery = "query is missing"
)

// A documentPolicy decides which documents may run, and finds those that a request names by a hash
// or an id. It is safe for concurrent use.
type documentPolicy struct {
	manifest  *Manifest       // nil if every document may run
	logOnly   bool            // documents that the manifest lacks run too
	persisted *persistedStore // nil if automatic persisted queries are off
}

func newDocumentPolicy(config Config) documentPolicy {
	return documentPolicy{
		manifest: config.Manifest, logOnly: config.ManifestLogOnly,
		persisted: newPersistedStore(config.PersistedQueryBytes),
	}
}

// A foundDocument tells how the text of a request's document was found.
type foundDocument struct {
	remember  *digest // of a text to keep once it proved valid
	untrusted bool    // the manifest lacks it
}

// lookup puts the document's text into params where the request names it by its hash or id, and
// holds it to the manifest.
func (p documentPolicy) lookup(params *graphql.RawParams) (found foundDocument, _ *rejection) {
	extension, named := params.Extensions["persistedQuery"]
	if p.persisted == nil && p.manifest == nil {
		switch {
		case params.Query != "":
			return found, nil
		case named:
			// The exact message is what Apollo Client waits for before it sends the whole query.
			return found, coded(apierror.CodePersistedQueryNotSupported,
				"PersistedQueryNotSupported")
		}
		return found, rejected(http.StatusBadRequest, missingQuery)
	}
	id, message := readPersistedQuery(extension)
	if message != "" {
		return found, rejected(http.StatusBadRequest, message)
	}
	if params.Query == "" && id == "" {
		return found, rejected(http.StatusBadRequest, missingQuery)
	}
	if p.manifest != nil {
		trusted, contradiction := p.manifest.find(id, params)
		switch {
		case contradiction:
			return found, rejected(http.StatusBadRequest, wrongHash)
		case trusted:
			return found, nil
		case !p.logOnly:
			return found, coded(apierror.CodeOperationNotAllowed,
				"This server runs only the operations that it was told of beforehand")
		}
		found.untrusted = true
	}
	refusal := p.automatic(&found, id, params)
	return found, refusal
}

// automatic is Apollo's protocol of automatic persisted queries, for an id that may be empty.
func (p documentPolicy) automatic(found *foundDocument, id string,
	params *graphql.RawParams) *rejection {
	switch {
	case id == "":
		return nil
	case p.persisted == nil && params.Query != "": // the manifest's log: its ids may be anything
		return nil
	case p.persisted == nil:
		return persistedQueryNotFound()
	}
	sum, ok := parseDigest(id)
	if !ok {
		return rejected(http.StatusBadRequest,
			"extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits in lower case")
	}
	if params.Query == "" {
		if params.Query, ok = p.persisted.get(sum); !ok {
			return persistedQueryNotFound()
		}
		return nil
	}
	if digest(sha256.Sum256([]byte(params.Query))) != sum {
		return rejected(http.StatusBadRequest, wrongHash)
	}
	found.remember = &sum
	return nil
}

// remember keeps the document of a valid operation for requests that name it by its hash.
func (p documentPolicy) remember(operation *operation) {
	if sum := operation.found.remember; sum != nil && !holdsValues(operation.Doc) {
		p.persisted.put(*sum, operation.document)
	}
}

func coded(code apierror.Code, message string) *rejection {
	return &rejection{errs: gqlerror.List{apierror.New(code, "", message)}}
}

// persistedQueryNotFound makes a client send the whole document: Apollo Client waits for this
// message or this code.
func persistedQueryNotFound() *rejection {
	return coded(apierror.CodePersistedQueryNotFound, "PersistedQueryNotFound")
}

// readPersistedQuery reads the extension persistedQuery. The id is empty when it is absent or null;
// words say what is wrong with it.
func readPersistedQuery(extension any) (id, words string) {
	if extension == nil {
		return "", ""
	}
	members, ok := extension.(map[string]any)
	if !ok {
		return "", "extensions.persistedQuery must be an object"
	}
	if version, ok := members["version"].(int64); !ok || version != 1 {
		return "", "extensions.persistedQuery.version must be 1"
	}
	id, _ = members["sha256Hash"].(string)
	if id == "" || len(id) > maxOperationIDBytes {
		return "", "extensions.persistedQuery.sha256Hash must be a string that is neither empty " +
			"nor too long"
	}
	return id, ""
}

// parseDigest reads a SHA-256 as clients write it: 64 hexadecimal digits in lower case.
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

// holdsValues reports whether a document has a mutation or a subscription, and a string or a number
// anywhere in it, be it the default of a variable.
func holdsValues(doc *ast.QueryDocument) bool {
	changes := func(o *ast.OperationDefinition) bool { return o.Operation != ast.Query }
	if !slices.ContainsFunc(doc.Operations, changes) {
		return false
	}
	found := false
	v := visitor{value: func(value *ast.Value) {
		switch value.Kind {
		case ast.IntValue, ast.FloatValue, ast.StringValue, ast.BlockValue:
			found = true
		}
	}}
	for _, operation := range doc.Operations {
		for _, variable := range operation.VariableDefinitions {
			v.values(variable.DefaultValue)
			v.directives(variable.Directives)
		}
		v.directives(operation.Directives)
		v.selections(operation.SelectionSet)
	}
	for _, fragment := range doc.Fragments { // whose selections were visited where they are spread
		v.directives(fragment.Directives)
	}
	return found
}
