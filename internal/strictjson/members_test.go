package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What our strict reader accepts, encoding/json accepts too and sees the same in it. What it
// refuses, and encoding/json doesn't, is refused for one of the reasons that the reader names.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { "a" : [ 1 , {"b":null} ] , "c" : -1.5e3 } `, `{"\u0064":"\ud83d\ude00"}`,
		`{"a":"\ud800"}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`,
		`[]`, `null`, ``, `{`, `{"a"`, `{"a":`, `{"a":1,}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`,
		`{"a":+1}`, `{"a":1e}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\u12G4"}`, `{"a":1e400}`,
		`{"a":1e-400}`, `{"a":` + strings.Repeat("9", 65) + `}`, `{"x":` + nested(31) + `}`,
		`{"x":` + nested(40) + `}`, "{\"a\":\"\xff\"}", `{} {}`, "\ufeff{}",
		`{"a":"\u0000\b\f\n\r\t\/\\\""}`, "{\"a\":\"\x00\"}", `{1:2}`, `{"a" 1}`, `{"a":1 "b":2}`,
		manyMembers(40), manyMembers(33) + "x",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		kept := bytes.Clone(text)
		ours := map[string]any{}
		err := Members(text, func(name []byte, value Value) {
			if _, twice := ours[string(name)]; twice {
				t.Errorf("%q is visited twice", name)
			}
			ours[string(name)] = decodeJSON(t, value)
			checkValue(t, value, ours[string(name)])
		})
		if !bytes.Equal(kept, text) {
			t.Error("the text was changed")
		}
		var theirs map[string]any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		theirErr := decoder.Decode(&theirs)
		if _, end := decoder.Token(); theirErr == nil && end != io.EOF {
			theirErr = errors.New("more follows")
		}
		switch {
		case err == nil && (theirErr != nil || !reflect.DeepEqual(ours, theirs)):
			t.Errorf("%q: we read %v, encoding/json %v and %v", text, ours, theirs, theirErr)
		case err != nil && theirErr == nil && theirs != nil &&
			!slices.ContainsFunc([]string{"twice", "UTF-8", "deeper than", "no character",
				"too large", "characters"},
				func(word string) bool { return strings.Contains(err.Error(), word) }):
			t.Errorf("%q: encoding/json reads %v, we fail with %v", text, theirs, err)
		}
		if lenient := ScanMembers(text, func([]byte, Value) {}); err == nil && lenient != nil {
			t.Errorf("%q: ScanMembers fails with %v", text, lenient)
		}
	})
}

func decodeJSON(t *testing.T, text []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return value
}

// checkValue compares what a Value says of itself with what encoding/json made of it.
func checkValue(t *testing.T, v Value, value any) {
	t.Helper()
	text, isText := v.String()
	if want, ok := value.(string); ok != isText || text != want {
		t.Errorf("%q is the text %q, %v; want %q", v, text, isText, want)
	}
	number, isNumber := v.Float()
	if want, ok := value.(json.Number); ok && len(v) <= maxFloatBytes != isNumber ||
		isNumber && !sameFloat(number, want) {
		t.Errorf("%q is the number %v, %v; want %v", v, number, isNumber, want)
	}
	list, isList := v.Strings()
	items, ok := value.([]any)
	ok = ok &&
		!slices.ContainsFunc(items, func(item any) bool { _, text := item.(string); return !text })
	if ok != isList || ok && fmt.Sprint(items) != fmt.Sprint(list) {
		t.Errorf("%q is the list %q, %v; want %q", v, list, isList, items)
	}
	if shown := v.Quoted(); len(shown) > 2300 ||
		strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q is shown as %q", v, shown)
	}
}

func manyMembers(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func sameFloat(got float64, want json.Number) bool {
	f, err := want.Float64()
	return err == nil && got == f
}

// Every fault has a reason for the program, and a text for people.
func TestMembers_refuses(t *testing.T) {
	for _, tt := range []struct {
		text   string
		reason Reason
		says   string
	}{
		{`{"a":1`, NotJSON, "is not JSON"},
		{"{\"a\":\"\xff\"}", NotUTF8, "is not UTF-8"},
		{"\ufeff{}", NotJSON, "is not JSON"},
		{`{} {}`, Trailing, "is followed by more"},
		{`[]`, WrongType, "is not a JSON object"},
		{`{"a":{"b":1,"\u0062":2}}`, MemberTwice, `has the member "b" twice`},
		{`{"a":"\ud800"}`, HalfSurrogate, "has an escape that stands for no character"},
		{`{"a":` + nested(maxDepth) + `}`, TooDeep, "nests deeper than 32"},
		{`{"a":1e308}`, NumberTooLarge, "has the number 1e308, which is too large"},
		{`{"a":` + strings.Repeat("1", 65) + `}`, NumberTooLong, "has a number of 65 characters; accepted: 64"},
	} {
		err := Members([]byte(tt.text), func([]byte, Value) {})
		if failed, ok := errors.AsType[*Error](err); !ok || failed.Reason != tt.reason ||
			failed.Error() != tt.says {
			t.Errorf("%s: %#v, want %q for the reason %q", tt.text, err, tt.says, tt.reason)
		}
	}
	for _, text := range []string{`{"a":` + nested(maxDepth-1) + `}`, `{"a":1e307}`,
		`{"a":` + strings.Repeat("1", 64) + `}`, `{"a":{"b":1},"b":1}`} {
		if err := Members([]byte(text), func([]byte, Value) {}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// One reader reads text after text, and mixes none of them up.
func TestReader_Members_again(t *testing.T) {
	var r Reader
	for range 3 {
		var names []string
		err := r.Members([]byte(`{"b":1,"a":{"b":[{"a":2}]}}`), func(name []byte, value Value) {
			names = append(names, string(name)+string(value))
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"b1", `a{"b":[{"a":2}]}`}; !slices.Equal(names, want) {
			t.Errorf("visited %q, want %q", names, want)
		}
	}
}

// A stranger's text in the log is bounded, and can't turn the line around or end it.
func TestQuote(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{"ID", `"ID"`},
		{"a\u202eb\nc\x1b", `"a\u{202e}b\nc\u001b"`},
		{"ü", `"\u{fc}"`},
		{strings.Repeat("x", 300), `"` + strings.Repeat("x", 199) + "..."},
	} {
		if got := Quote(tt.value); got != tt.want {
			t.Errorf("Quote(%q) = %s, want %s", tt.value, got, tt.want)
		}
	}
	for _, tt := range []struct {
		value Value
		want  string
	}{
		{nil, "missing"},
		{Value("null"), "null"},
		{Value("[\"a\",\n\"\u202e\"]"), `["a",\u{a}"\u{202e}"]`},
		{Value("[" + strings.Repeat("1", 300)), "[" + strings.Repeat("1", 199) + "..."},
	} {
		if got := tt.value.Quoted(); got != tt.want {
			t.Errorf("%q is shown as %s, want %s", tt.value, got, tt.want)
		}
	}
}
