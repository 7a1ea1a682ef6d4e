package strictjson

import (
	"errors"
	"unicode/utf8"
)

// A Reader reads objects one after another, and reuses its table of member names. The zero value is
// ready to use. It isn't safe for concurrent use.
type Reader struct{ names nameSet }

// Members reads a JSON object and calls visit with each member in order: the unescaped name, and
// the text of the value.
//
// visit is called before the whole text is checked: if Members fails, ignore the members that were
// visited. visit must not change its arguments; name is valid only until visit returns.
func (r *Reader) Members(text []byte, visit func(name []byte, value Value)) error {
	r.names.clear()
	s := &scanner{text: text, names: &r.names, boundNumbers: true, maxDepth: maxDepth}
	return visitMembers(s, visit)
}

// Members reads one JSON object, as Reader.Members does.
func Members(text []byte, visit func(name []byte, value Value)) error {
	var r Reader
	return r.Members(text, visit)
}

// ScanMembers is a lenient Members: it checks only the grammar, and that nesting is at most 1,000
// levels deep. It is for objects that were checked before. It is also for objects whose members are
// checked one by one afterwards, so that a bad member doesn't affect the others.
func ScanMembers(text []byte, visit func(name []byte, value Value)) error {
	return visitMembers(&scanner{text: text, lenient: true, maxDepth: maxLenientDepth}, visit)
}

func visitMembers(s *scanner, visit func(name []byte, value Value)) error {
	if err := s.start('{', "object"); err != nil {
		return err
	}
	if _, err := s.scanObject(visit); err != nil {
		return err
	}
	return s.checkEnd()
}

// ScanItems reads a JSON array as ScanMembers reads an object.
func ScanItems(text []byte, visit func(item Value)) error {
	s := &scanner{text: text, lenient: true, maxDepth: maxLenientDepth}
	if err := s.start('[', "array"); err != nil {
		return err
	}
	if _, err := s.scanArray(visit); err != nil {
		return err
	}
	return s.checkEnd()
}

// Limits bound a text for Decode. Both are required.
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
		s = scanner{text: text, build: true, maxDepth: limits.Depth, maxValues: limits.Values}
		value, err = s.scanDocument()
	}
	if decodeErr, ok := errors.AsType[*Error](err); ok {
		errWithMember := *decodeErr // copy it: some errors are shared
		errWithMember.Member = string(s.member)
		return nil, &errWithMember
	}
	return value, nil
}
