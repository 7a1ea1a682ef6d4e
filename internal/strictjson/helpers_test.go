package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// decode calls Decode and returns the Member and Reason of its error.
func decode(text string, limits Limits) (value any, topMember string, reason Reason) {
	value, err := Decode([]byte(text), limits)
	if decodeErr, ok := errors.AsType[*Error](err); ok {
		return value, decodeErr.Member, decodeErr.Reason
	}
	return value, "", ""
}

// isSyntaxError reports whether reason means that the text isn't a single JSON value in UTF-8.
func isSyntaxError(reason Reason) bool {
	return reason == NotJSON || reason == NotUTF8 || reason == TrailingData
}

// decodeWithStdlib decodes a text with encoding/json, and converts numbers as Decode does.
func decodeWithStdlib(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("more than one value")
	}
	return convertNumbers(value)
}

// convertNumbers replaces each json.Number in value by an int64 or a float64.
func convertNumbers(value any) (_ any, err error) {
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n, nil
		}
		return value.Float64()
	case map[string]any:
		for name := range value {
			if value[name], err = convertNumbers(value[name]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range value {
			if value[i], err = convertNumbers(value[i]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// stdlibValue decodes one value with encoding/json, without converting numbers.
func stdlibValue(t *testing.T, text []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Errorf("encoding/json rejects %q: %v", text, err)
	}
	return value
}

// checkValue compares the results of v's methods with value, which is the result of encoding/json
// for the same text.
func checkValue(t *testing.T, v Value, value any) {
	t.Helper()
	text, isText := v.String()
	if want, ok := value.(string); ok != isText || text != want {
		t.Errorf("Value(%q).String() = %q, %v; want %q, %v", v, text, isText, want, ok)
	}
	number, isNumber := v.Float()
	if want, ok := value.(json.Number); ok && len(v) <= maxFloatBytes != isNumber ||
		isNumber && !equalFloat(number, want) {
		t.Errorf("Value(%q).Float() = %v, %v; want %v as from encoding/json", v, number, isNumber,
			want)
	}
	list, isList := v.Strings()
	items, ok := value.([]any)
	ok = ok && !slices.ContainsFunc(items,
		func(item any) bool { _, isString := item.(string); return !isString })
	if ok != isList || ok && fmt.Sprint(items) != fmt.Sprint(list) {
		t.Errorf("Value(%q).Strings() = %q, %v; want %q, %v", v, list, isList, items, ok)
	}
	if quoted := v.Quoted(); len(quoted) > 2300 ||
		strings.ContainsFunc(quoted, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("Value(%q).Quoted() = %q, want at most 2300 printable ASCII characters", v,
			quoted)
	}
}

// objectWithMembers returns an object with n members.
func objectWithMembers(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// nestedArrays returns arrays nested to this depth.
func nestedArrays(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

// equalFloat reports whether got is the float64 of want.
func equalFloat(got float64, want json.Number) bool {
	f, err := want.Float64()
	return err == nil && got == f
}
