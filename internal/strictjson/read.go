package strictjson

import (
	"errors"
	"unicode/utf8"
)

// A Reader reads objects, one after the other. Its zero value is ready to use; reusing one saves
// the table of names. It isn't safe for concurrent use.
type Reader struct{ names nameSet }

// Members reads a JSON object and calls visit with each of its members, in their order: the name
// without its escapes, and the text of the value.
//
// visit is called while the text is being read: what it was given counts for nothing when Members
// fails. Neither argument may be changed, and name is valid until visit returns.
func (r *Reader) Members(text []byte, visit func(name []byte, value Value)) error {
	r.names.clear()
	return members(&scanner{text: text, names: &r.names, boundNumbers: true, maxDepth: maxDepth},
		visit)
}

// Members is Reader.Members, for a single text.
func Members(text []byte, visit func(name []byte, value Value)) error {
	var r Reader
	return r.Members(text, visit)
}

// ScanMembers is Members without its strictness: the text must be JSON by its grammar, and nest no
// deeper than 1,000. It is for objects that were read before, and for those whose members are read
// with more care one by one, so that a bad one costs no other.
func ScanMembers(text []byte, visit func(name []byte, value Value)) error {
	return members(&scanner{text: text, lenient: true, maxDepth: maxLenientDepth}, visit)
}

func members(s *scanner, visit func(name []byte, value Value)) error {
	if err := s.begin('{', "object"); err != nil {
		return err
	}
	if _, err := s.object(visit); err != nil {
		return err
	}
	return s.end()
}

// ScanItems reads a JSON array as ScanMembers reads an object.
func ScanItems(text []byte, visit func(item Value)) error {
	s := &scanner{text: text, lenient: true, maxDepth: maxLenientDepth}
	if err := s.begin('[', "array"); err != nil {
		return err
	}
	if _, err := s.array(visit); err != nil {
		return err
	}
	return s.end()
}

// Limits bound a text for Decode. Both are needed.
type Limits struct {
	Depth  int // of lists and objects within each other
	Values int // in all: the text itself, and each value in a list or an object, counted one by one
}

// Decode reads a JSON text and makes Go values of it: map[string]any, []any, string, bool, nil; and
// of a number an int64 if it is an integer that fits, else the nearest float64, as in JavaScript.
// There is no json.Number, since gqlgen and gqlparser would take one for the string that it is. It
// fails with an Error.
func Decode(text []byte, limits Limits) (value any, err error) {
	if !utf8.Valid(text) {
		return nil, errNotUTF8
	}
	s := scanner{text: text, maxDepth: limits.Depth, maxValues: limits.Values}
	// Scanned first: a list costs many times its text, and what is refused must cost little.
	if _, err = s.document(); err == nil {
		s = scanner{text: text, build: true, maxDepth: limits.Depth, maxValues: limits.Values}
		value, err = s.document()
	}
	if failed, ok := errors.AsType[*Error](err); ok {
		located := *failed
		located.Member = string(s.member)
		return nil, &located
	}
	return value, nil
}
