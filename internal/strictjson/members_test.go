package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Members and encoding/json read the same members. Members rejects a text that encoding/json
// accepts only for one of the documented reasons.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { "a" : [ 1 , {"b":null} ] , "c" : -1.5e3 } `, `{"\u0064":"\ud83d\ude00"}`,
		`{"a":"\ud800"}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`,
		`[]`, `null`, ``, `{`, `{"a"`, `{"a":`, `{"a":1,}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`,
		`{"a":+1}`, `{"a":1e}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\u12G4"}`, `{"a":1e400}`,
		`{"a":1e-400}`, `{"a":` + strings.Repeat("9", 65) + `}`, `{"x":` + nestedArrays(31) + `}`,
		`{"x":` + nestedArrays(40) + `}`, "{\"a\":\"\xff\"}", `{} {}`, "\ufeff{}",
		`{"a":"\u0000\b\f\n\r\t\/\\\""}`, "{\"a\":\"\x00\"}", `{1:2}`, `{"a" 1}`, `{"a":1 "b":2}`,
		objectWithMembers(40), objectWithMembers(33) + "x",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		got := map[string]any{}
		err := Members(text, func(name []byte, value Value) {
			if _, duplicate := got[string(name)]; duplicate {
				t.Errorf("Members(%q) visits %q twice", text, name)
			}
			got[string(name)] = decodeValue(t, value)
			checkValue(t, value, got[string(name)])
		})
		if !bytes.Equal(before, text) {
			t.Errorf("Members changed its argument to %q, want it unchanged: %q", text, before)
		}
		var want map[string]any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		stdErr := decoder.Decode(&want)
		if _, end := decoder.Token(); stdErr == nil && end != io.EOF {
			stdErr = errors.New("trailing data")
		}
		switch {
		case err == nil && (stdErr != nil || !reflect.DeepEqual(got, want)):
			t.Errorf("Members(%q) visits %v; encoding/json returns %v, %v", text, got, want, stdErr)
		case err != nil && stdErr == nil && want != nil &&
			!slices.ContainsFunc([]string{"twice", "UTF-8", "deeper than", "no character",
				"too large", "characters"},
				func(reason string) bool { return strings.Contains(err.Error(), reason) }):
			t.Errorf("Members(%q): %v; want a documented reason, as encoding/json returns %v", text,
				err, want)
		}
		if scanErr := ScanMembers(text, func([]byte, Value) {}); err == nil && scanErr != nil {
			t.Errorf("ScanMembers(%q) = %v, want nil as from Members", text, scanErr)
		}
	})
}

// Each error of Members has a Reason for programs and a text for operators.
func TestMembers_errors(t *testing.T) {
	for _, tt := range []struct {
		text   string
		reason Reason
		want   string
	}{
		{`{"a":1`, NotJSON, "is not JSON"},
		{"{\"a\":\"\xff\"}", NotUTF8, "is not UTF-8"},
		{"\ufeff{}", NotJSON, "is not JSON"},
		{`{} {}`, TrailingData, "is followed by more"},
		{`[]`, WrongType, "is not a JSON object"},
		{`{"a":{"b":1,"\u0062":2}}`, DuplicateMember, `has the member "b" twice`},
		{`{"a":"\ud800"}`, LoneSurrogate, "has an escape that stands for no character"},
		{`{"a":` + nestedArrays(maxDepth) + `}`, TooDeep, "nests deeper than 32"},
		{`{"a":1e308}`, NumberTooLarge, "has the number 1e308, which is too large"},
		{`{"a":` + strings.Repeat("1", 65) + `}`, NumberTooLong, "has a number of 65 characters; accepted: 64"},
	} {
		err := Members([]byte(tt.text), func([]byte, Value) {})
		if membersErr, ok := errors.AsType[*Error](err); !ok || membersErr.Reason != tt.reason ||
			membersErr.Error() != tt.want {
			t.Errorf("Members(%s) = %#v, want %q with the reason %q", tt.text, err, tt.want,
				tt.reason)
		}
	}
	for _, text := range []string{`{"a":` + nestedArrays(maxDepth-1) + `}`, `{"a":1e307}`,
		`{"a":` + strings.Repeat("1", 64) + `}`, `{"a":{"b":1},"b":1}`} {
		if err := Members([]byte(text), func([]byte, Value) {}); err != nil {
			t.Errorf("Members(%s) = %v, want nil", text, err)
		}
	}
}

// A Reader can read several texts, one after another.
func TestReader_Members_reuse(t *testing.T) {
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

// Quoted text has a bounded length, and can neither end a log line nor reverse its direction.
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
			t.Errorf("Value(%q).Quoted() = %s, want %s", tt.value, got, tt.want)
		}
	}
}
