package graphqlhttp

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// A digest is the SHA-256 of a document's text.
type digest [sha256.Size]byte

const entryBytes = 256 // what an entry costs beside its text, about

// A documentStore remembers the texts of documents by their digest, for automatic persisted
// queries: at most so many bytes of them, and the ones that were used last. It is safe for concurrent use.
//
// Only a document that was valid gets in, and it takes no more than its own bytes. A mutation that
// has a string or a number written into it stays out: a client that guesses its text, a password in
// it, would learn from the answer to its hash that somebody sent it. Clients send such values as
// variables. A stranger can still push others out with valid documents of their own: that costs
// each client one more round trip, as the first use did.
type documentStore struct {
	most int64

	mu       sync.Mutex // guards the fields below
	held     int64
	byDigest map[digest]*list.Element // of *storedDocument
	used     list.List                // the last used one in front
}

type storedDocument struct {
	sum  digest
	text string
}

// newDocumentStore returns an empty store that holds at most so many bytes, its own bookkeeping included.
func newDocumentStore(bytes int64) *documentStore {
	return &documentStore{most: bytes, byDigest: map[digest]*list.Element{}}
}

// size returns how many documents the store holds, and how many bytes they count for.
func (s *documentStore) size() (documents int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byDigest), s.held
}

func (s *documentStore) get(sum digest) (text string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.byDigest[sum]
	if !ok {
		return "", false
	}
	s.used.MoveToFront(element)
	return element.Value.(*storedDocument).text, true
}

func (s *documentStore) put(sum digest, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cost := int64(len(text)) + entryBytes
	if cost > s.most {
		return
	}
	if element, ok := s.byDigest[sum]; ok {
		s.used.MoveToFront(element)
		return
	}
	for s.held+cost > s.most {
		oldest := s.used.Remove(s.used.Back()).(*storedDocument)
		delete(s.byDigest, oldest.sum)
		s.held -= int64(len(oldest.text)) + entryBytes
	}
	s.byDigest[sum] = s.used.PushFront(&storedDocument{sum, strings.Clone(text)}) // of the text alone, not of what it was cut from
	s.held += cost
}

// A persisted says how the text of a request's document was found.
type persisted struct {
	keep      *digest // of a text to remember once it proved valid
	untrusted bool    // the manifest doesn't hold it
}

// resolve puts the document's text into params where the request names it by its digest, and holds it to the
// manifest. A fault comes with its status; 0 is that of every other request error.
func (t *httpTransport) resolve(params *graphql.RawParams) (persisted, int, *gqlerror.Error) {
	extension, named := params.Extensions["persistedQuery"]
	if t.persistedQueries == nil && t.Manifest == nil {
		switch {
		case params.Query != "":
			return persisted{}, 0, nil
		case named:
			// The exact message is what Apollo Client waits for before it sends the whole query.
			return persisted{}, 0, apierror.New(apierror.CodePersistedQueryNotSupported, "", "PersistedQueryNotSupported")
		}
		return persisted{}, http.StatusBadRequest, badRequest("query is missing")
	}
	id, words := readPersistedQuery(extension)
	if words != "" {
		return persisted{}, http.StatusBadRequest, badRequest(words)
	}
	if params.Query == "" && id == "" {
		return persisted{}, http.StatusBadRequest, badRequest("query is missing")
	}
	var found persisted
	if t.Manifest != nil {
		trusted, contradiction := t.Manifest.find(id, params)
		switch {
		case contradiction:
			return persisted{}, http.StatusBadRequest, badRequest(wrongHash)
		case trusted:
			return persisted{}, 0, nil
		case !t.ManifestLogOnly:
			return persisted{}, 0, apierror.New(apierror.CodeOperationNotAllowed, "", "This server runs only the operations that it was told of beforehand")
		}
		found.untrusted = true
	}
	return t.automatic(found, id, params)
}

const wrongHash = "extensions.persistedQuery.sha256Hash is not that of the query"

// automatic is Apollo's protocol of automatic persisted queries, for an id that may be empty.
func (t *httpTransport) automatic(found persisted, id string, params *graphql.RawParams) (persisted, int, *gqlerror.Error) {
	switch {
	case id == "":
		return found, 0, nil
	case t.persistedQueries == nil && params.Query != "": // the manifest's log: its ids may be anything
		return found, 0, nil
	case t.persistedQueries == nil:
		return found, 0, notFound()
	}
	sum, ok := parseDigest(id)
	if !ok {
		return found, http.StatusBadRequest, badRequest("extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits in lower case")
	}
	if params.Query == "" {
		if params.Query, ok = t.persistedQueries.get(sum); !ok {
			return found, 0, notFound()
		}
		return found, 0, nil
	}
	if digest(sha256.Sum256([]byte(params.Query))) != sum {
		return found, http.StatusBadRequest, badRequest(wrongHash)
	}
	found.keep = &sum
	return found, 0, nil
}

// notFound makes a client send the whole document: Apollo Client waits for this message or this code.
func notFound() *gqlerror.Error {
	return apierror.New(apierror.CodePersistedQueryNotFound, "", "PersistedQueryNotFound")
}

// readPersistedQuery reads the extension persistedQuery. The id is empty when it is absent or null; words say
// what is wrong with it.
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
		return "", "extensions.persistedQuery.sha256Hash must be a string that is neither empty nor too long"
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
