package strictjson

import (
	"errors"
	"unicode/utf8"
)

// A Reader reads objects one after another, and reuses its table of member names. The zero value is
// ready to use. It isn't safe for concurrent use.
type Reader struct{ names nameSet }

// VisitMembers reads a JSON object and calls visit with each member in order: the unescaped name,
// and the text of the value.
//
// VisitMembers calls visit before it has checked the whole text. If it returns an error, ignore the
// visited members. visit must not change its arguments; name is valid only until visit returns.
func (r *Reader) VisitMembers(text []byte, visit func(name []byte, value Value)) error {
	r.names.clear()
	s := &scanner{text: text, names: &r.names, boundNumbers: true, maxDepth: maxStrictDepth}
	return visitObject(s, visit)
}

// VisitMembers reads one JSON object, as Reader.VisitMembers does.
func VisitMembers(text []byte, visit func(name []byte, value Value)) error {
	var r Reader
	return r.VisitMembers(text, visit)
}

// VisitMembersLenient is like VisitMembers, but checks only the grammar, and that nesting is at
// most 1,000 levels deep. It is for objects that were checked before, and for objects whose members
// are checked one by one afterwards, so that a bad member doesn't affect the others.
func VisitMembersLenient(text []byte, visit func(name []byte, value Value)) error {
	return visitObject(&scanner{text: text, lenient: true, maxDepth: maxLenientDepth}, visit)
}

func visitObject(s *scanner, visit func(name []byte, value Value)) error {
	if err := s.expectOpening('{', "object"); err != nil {
		return err
	}
	if _, err := s.scanObject(visit); err != nil {
		return err
	}
	return s.checkEnd()
}

// VisitItemsLenient reads a JSON array as VisitMembersLenient reads an object.
func VisitItemsLenient(text []byte, visit func(item Value)) error {
	s := &scanner{text: text, lenient: true, maxDepth: maxLenientDepth}
	if err := s.expectOpening('[', "array"); err != nil {
		return err
	}
	if _, err := s.scanArray(visit); err != nil {
		return err
	}
	return s.checkEnd()
}

// Limits are the limits of Decode. Both are required.
type Limits struct {
	Depth  int // of nested arrays and objects
	Values int // in total: the outermost value, and each array item and member value
}

// Decode parses a JSON text into Go values: map[string]any, []any, string, bool and nil. A number
// becomes an int64 if it is an integer that fits, and otherwise the nearest float64, as in
// JavaScript. It never becomes a json.Number, which is a string to gqlgen and gqlparser. Any error
// is an *Error.
func Decode(text []byte, limits Limits) (value any, err error) {
	if !utf8.Valid(text) {
		return nil, errNotUTF8
	}
	s := scanner{text: text, maxDepth: limits.Depth, maxValues: limits.Values}
	// Scan first, without building values: an array's value takes many times the memory of its
	// text, and rejecting a text must be cheap.
	if _, err = s.scanDocument(); err == nil {
		s = scanner{text: text, buildValues: true, maxDepth: limits.Depth, maxValues: limits.Values}
		value, err = s.scanDocument()
	}
	if decodeErr, ok := errors.AsType[*Error](err); ok {
		errWithMember := *decodeErr // a copy, since some errors are shared
		errWithMember.Member = string(s.currentMember)
		return nil, &errWithMember
	}
	return value, nil
}
