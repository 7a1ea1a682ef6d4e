package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

const maxFloatBytes = 20 // 1767269040.123456789

// A Value is the text of one JSON value, which was read to its end; nil where there is none.
type Value []byte

// String returns what a string stands for, without quotes and escapes. It isn't ok for other
// values.
func (v Value) String() (text string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		inner = unescape(inner)
	}
	return string(inner), true
}

// Strings returns the items of an array of strings. It isn't ok for other values, and for an array
// with anything else in it.
func (v Value) Strings() (list []string, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		return nil, false
	}
	list, ok = make([]string, 0, 4), true
	err := ScanItems(v, func(item Value) {
		text, isString := item.String()
		list, ok = append(list, text), ok && isString
	})
	return list, ok && err == nil
}

// Float returns a number of at most 20 characters, enough for a date with nanoseconds. It isn't ok
// for other values.
func (v Value) Float() (value float64, ok bool) {
	if len(v) == 0 || len(v) > maxFloatBytes || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(v), 64)
	return value, err == nil
}

// Equal reports whether the value has exactly this text, such as true or null.
func (v Value) Equal(text string) bool { return string(v) == text }

// Quoted shows the value to operators: bounded, and in ASCII, so that it can't forge lines of a
// log.
func (v Value) Quoted() string {
	if v == nil {
		return "missing"
	}
	return Escape(200, string(v))
}

// Quote shows a text as Value.Quoted shows a string.
func Quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return "unreadable"
	}
	return Escape(200, string(quoted))
}

// Escape returns a text in printable ASCII, cut off after maxBytes bytes of it.
func Escape(maxBytes int, text string) string {
	var b strings.Builder
	b.Grow(min(len(text), maxBytes+3))
	for i, r := range text {
		if i >= maxBytes {
			return b.String() + "..."
		}
		if r >= ' ' && r < 0x7f {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u{%x}", r)
		}
	}
	return b.String()
}
