package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxFloatBytes  = 20  // enough for 1767269040.123456789
	maxQuotedBytes = 200 // of the text that an error or a log line quotes
)

// A Value is the text of one scanned JSON value. A nil Value means that there is no value.
type Value []byte

// String returns the content of a JSON string, unescaped. ok is false for other values.
func (v Value) String() (text string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	raw := v[1 : len(v)-1]
	if bytes.IndexByte(raw, '\\') >= 0 {
		raw = unescape(raw)
	}
	return string(raw), true
}

// Strings returns the items of an array of strings. ok is false for other values, and for arrays
// with an item that isn't a string.
func (v Value) Strings() (list []string, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		return nil, false
	}
	list, ok = make([]string, 0, 4), true
	err := VisitItemsLenient(v, func(item Value) {
		text, isString := item.String()
		list, ok = append(list, text), ok && isString
	})
	return list, ok && err == nil
}

// Float returns the value of a number. ok is false for other values, and for numbers of more than
// 20 characters. 20 characters are enough for a date with nanoseconds.
func (v Value) Float() (value float64, ok bool) {
	if len(v) == 0 || len(v) > maxFloatBytes || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(v), 64)
	return value, err == nil
}

// Equal reports whether the value has exactly this text, such as true or null.
func (v Value) Equal(text string) bool { return string(v) == text }

// Quoted returns the value's text for operators, in printable ASCII and with bounded length, so
// that it can't forge log lines.
func (v Value) Quoted() string {
	if v == nil {
		return "missing"
	}
	return Escape(maxQuotedBytes, string(v))
}

// Quote returns text as a JSON string, escaped and bounded like Value.Quoted.
func Quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return "unreadable"
	}
	return Escape(maxQuotedBytes, string(quoted))
}

// Escape returns text in printable ASCII, cut off after its first maxBytes bytes.
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
