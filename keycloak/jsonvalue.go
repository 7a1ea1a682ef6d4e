package keycloak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

const maxDateBytes = 20 // 1767269040.123456789

// raw is the JSON text of one value, which a jsonReader has read to its end; nil where there is
// none.
type raw []byte

// text is a string's, without quotes and escapes.
func (v raw) text() (text string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		return string(unescape(inner)), true
	}
	return string(inner), true
}

// texts is an array of strings. It is not ok when it is no array, or anything else is in it.
func (v raw) texts() (list []string, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		return nil, false
	}
	list, ok = make([]string, 0, 4), true
	err := eachItem(v, func(item raw) {
		text, isText := item.text()
		list, ok = append(list, text), ok && isText
	})
	return list, ok && err == nil
}

// number is a number's value, if its text is short enough to be a date's.
func (v raw) number() (value float64, ok bool) {
	if len(v) == 0 || len(v) > maxDateBytes || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(v), 64)
	return value, err == nil
}

// is tells whether the value is this text of JSON: true, false, null, or a number as it was
// written.
func (v raw) is(word string) bool { return string(v) == word }

// quote shows a value out of a token: bounded, and in ASCII, so that it can't turn the lines of a
// log around.
func (v raw) quote() string {
	if v == nil {
		return "missing"
	}
	return ascii(string(v))
}

// quote shows a text as raw.quote does.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return "unreadable"
	}
	return ascii(string(quoted))
}

func ascii(text string) string { return asciiUpTo(200, text) }

func asciiUpTo(maxBytes int, text string) string {
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
