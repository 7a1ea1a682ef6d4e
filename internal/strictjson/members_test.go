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

// VisitMembers and encoding/json read the same members. If VisitMembers rejects a text that
// encoding/json accepts, the error has one of the documented reasons.
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
		textBefore := bytes.Clone(text)
		got := map[string]any{}
		err := VisitMembers(text, func(name []byte, value Value) {
			if _, duplicate := got[string(name)]; duplicate {
				t.Errorf("VisitMembers(%q) visits %q twice", text, name)
			}
			got[string(name)] = stdlibValue(t, value)
			checkValue(t, value, got[string(name)])
		})
		if !bytes.Equal(textBefore, text) {
			t.Errorf("VisitMembers changed its argument to %q, want %q", text, textBefore)
		}
		var want map[string]any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		stdErr := decoder.Decode(&want)
		if _, endErr := decoder.Token(); stdErr == nil && endErr != io.EOF {
			stdErr = errors.New("trailing data")
		}
		switch {
		case err == nil && (stdErr != nil || !reflect.DeepEqual(got, want)):
			t.Errorf("VisitMembers(%q) visits %v; encoding/json returns %v, %v", text, got, want,
				stdErr)
		case err != nil && stdErr == nil && want != nil &&
			!slices.ContainsFunc([]string{"twice", "UTF-8", "deeper than", "no character",
				"too large", "characters"},
				func(reason string) bool { return strings.Contains(err.Error(), reason) }):
			t.Errorf("VisitMembers(%q): %v; want a documented reason, because encoding/json "+
				"returns %v", text, err, want)
		}
		lenientErr := VisitMembersLenient(text, func([]byte, Value) {})
		if err == nil && lenientErr != nil {
			t.Errorf("VisitMembersLenient(%q) = %v, want nil as from VisitMembers", text,
				lenientErr)
		}
	})
}

// Each error of VisitMembers has a Reason for programs and a text for operators.
func TestVisitMembers_errors(t *testing.T) {
	for _, tt := range []struct {
		text   string
		reason Reason
		want   string
	}{
		{`{"a":1`, NotJSON, "is not JSON"},
		{"{\"a\":\"\xff\"}", NotUTF8, "is not UTF-8"},
		{"\ufeff{}", NotJSON, "is not JSON"},
		{`{} {}`, TrailingData, "is followed by more data"},
		{`[]`, WrongType, "is not a JSON object"},
		{`{"a":{"b":1,"\u0062":2}}`, DuplicateMember, `has the member "b" twice`},
		{`{"a":"\ud800"}`, LoneSurrogate, "has an escape that stands for no character"},
		{`{"a":` + nestedArrays(maxStrictDepth) + `}`, TooDeep, "nests deeper than 32"},
		{`{"a":1e308}`, NumberTooLarge, "has the number 1e308, which is too large"},
		{`{"a":` + strings.Repeat("1", 65) + `}`, NumberTooLong,
			"has a number of 65 characters; accepted: 64"},
	} {
		err := VisitMembers([]byte(tt.text), func([]byte, Value) {})
		if jsonErr, ok := errors.AsType[*Error](err); !ok || jsonErr.Reason != tt.reason ||
			jsonErr.Error() != tt.want {
			t.Errorf("VisitMembers(%s) = %#v, want %q with the reason %q", tt.text, err, tt.want,
				tt.reason)
		}
	}
	for _, text := range []string{`{"a":` + nestedArrays(maxStrictDepth-1) + `}`, `{"a":1e307}`,
		`{"a":` + strings.Repeat("1", 64) + `}`, `{"a":{"b":1},"b":1}`} {
		if err := VisitMembers([]byte(text), func([]byte, Value) {}); err != nil {
			t.Errorf("VisitMembers(%s) = %v, want nil", text, err)
		}
	}
}

// A Reader can read several texts, one after another.
func TestReader_reuse(t *testing.T) {
	var r Reader
	for range 3 {
		var members []string // name and value
		text := []byte(`{"b":1,"a":{"b":[{"a":2}]}}`)
		err := r.VisitMembers(text, func(name []byte, value Value) {
			members = append(members, string(name)+string(value))
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"b1", `a{"b":[{"a":2}]}`}; !slices.Equal(members, want) {
			t.Errorf("visited %q, want %q", members, want)
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
