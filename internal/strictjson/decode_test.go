package strictjson

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// Decode returns Go values. Its errors have a reason, and name the top-level member that the error
// is in.
func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		text      string
		want      any
		topMember string
		reason    Reason
	}{
		{text: `null`}, {text: ` true `, want: true}, {text: "\t\r\nfalse\n", want: false},
		{text: `{}`, want: map[string]any{}}, {text: `[]`, want: []any{}}, {text: `""`, want: ""},
		{text: `{"a":{"a":[{"a":1}]}}`,
			want: map[string]any{"a": map[string]any{"a": []any{map[string]any{"a": int64(1)}}}}},
		{text: `[0,-0,10,9223372036854775807,-9223372036854775808]`,
			want: []any{int64(0), int64(0), int64(10), int64(1<<63 - 1), int64(-1 << 63)}},
		{text: `[9223372036854775808,1.0,1e2,1E-2,-1.5e+1,0.0,1e-999]`,
			want: []any{9223372036854775808.0, 1.0, 100.0, 0.01, -15.0, 0.0, 0.0}},
		{text: `"\"\\\/\b\f\n\r\t\u0041\u00e9"`, want: "\"\\/\b\f\n\r\tAé"},
		{text: `"\ud83d\udd11"`, want: "🔑"}, {text: `"\ud83d"`,
			reason: LoneSurrogate}, {text: `"\ud83dx"`, reason: LoneSurrogate},
		{text: `{"variables":{"\ud83d":1}}`, topMember: "variables", reason: LoneSurrogate},
		{text: `"\ud83d\ud83d\udd11"`, reason: LoneSurrogate}, {text: `["\udd11\ud83d"]`,
			reason: LoneSurrogate}, {text: `"\ufffd"`, want: "\ufffd"}, {text: `"ü\u2028` +
			"\u2028" + `"`, want: "ü\u2028\u2028"},

		{text: `{"a":1,"a":1}`, reason: DuplicateMember},
		{text: `{"a":1,"\u0061":1}`, reason: DuplicateMember},
		{text: `{"variables":{"a":{"b":1,"c":2,"b":3}}}`, topMember: "variables",
			reason: DuplicateMember},
		{text: `{"variables":[{"":1,"":1}]}`, topMember: "variables", reason: DuplicateMember},
		{text: `{"x":1,"variables":[1e999]}`, topMember: "variables", reason: NumberTooLarge},
		{text: `-1e400`, reason: NumberTooLarge}, {text: "1" + strings.Repeat("0", 400),
			reason: NumberTooLarge},
		{text: `{"x":[[[[1]]]]}`, topMember: "x", reason: TooDeep}, {text: `[[[[[`,
			reason: TooDeep}, {text: `{"a":{"b":{"c":{"d":{`, topMember: "a", reason: TooDeep},
		{text: `[1,2,3,4,5,6,7,8,9,10,11]`,
			want: []any{int64(1), int64(2), int64(3), int64(4), int64(5), int64(6), int64(7),
				int64(8), int64(9), int64(10), int64(11)}},
		{text: `[1,2,3,4,5,6,7,8,9,10,11,12]`,
			reason: TooManyValues},
		{text: `{"x":{"":[1,2,3,4],"a":[1,2,3,4,`, topMember: "x", reason: TooManyValues},
		{text: `{"x":[[[1]]]}`, want: map[string]any{"x": []any{[]any{[]any{int64(1)}}}}},
	} {
		value, topMember, reason := decode(tt.text, Limits{Depth: 4, Values: 12})
		if !reflect.DeepEqual(value, tt.want) || topMember != tt.topMember || reason != tt.reason {
			t.Errorf("Decode(%s) = %#v, error %q in %q; want %#v, error %q in %q", tt.text,
				value, reason, topMember, tt.want, tt.reason, tt.topMember)
		}
	}
	for _, text := range []string{
		``, ` `, `{`, `[`, `"`, `{]`, `[}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a" 1}`,
		`{"a":1 "b":2}`, `{a:1}`, `{'a':1}`, `{1:1}`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `nul`,
		`nulll`, `NULL`, `True`, `undefined`, `NaN`, `Infinity`, `-`, `+1`, `01`, `-01`, `00`, `1.`,
		`.5`, `1.e1`, `1e`, `1e+`, `0x1`, `1_000`, `--1`, `1 1`, `{}{}`, `{} x`, `[]]`, `"a`, `"\`,
		`"\"`, `"\x41"`, `"\u"`, `"\u00"`, `"\u00g0"`, `"\u{41}"`, `"\ud83d\u"`, "\"\x00\"",
		"\"\n\"", "\"\t\"", "\"\x1f\"", "\"a\\n\x01\"", "\x00", "\ufeff{}", "\u00a0{}",
		"\f{}", "{}\x00", `// x`, `/**/{}`, "\"\xff\"", "\xc3", "\"\xed\xa0\x80\"",
	} {
		value, _, reason := decode(text, Limits{Depth: 4, Values: 12})
		if !isSyntaxError(reason) || value != nil {
			t.Errorf("Decode(%q) = %#v, %q; want a syntax error", text, value, reason)
		}
	}
}

// Decode and encoding/json return the same value. If Decode rejects a text, so does encoding/json,
// unless the text breaks one of Decode's stricter rules.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"query":"{ leaf }","variables":{"a":[1,1.5,-0,1e3,null,true,"\ud83d\udd11\ud83d\n"]}}`,
		`{"a":1,"\u0061":2}`, `[[[[[[[[[[]]]]]]]]]]`,
		`[123456789012345678901234567890,1e999,0.1e-7]`, "\"\xff\"", `{"a":}`, "[1\x00]", `"\u12`,
		`01`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _, reason := decode(string(text), Limits{Depth: 8, Values: 1000})
		want, err := decodeWithStdlib(text)
		switch {
		case reason == "" && (err != nil || !reflect.DeepEqual(got, want)):
			t.Errorf("Decode(%q) = %#v, want %#v, %v as from encoding/json", text, got, want, err)
		case reason == NumberTooLarge && err == nil,
			isSyntaxError(reason) && err == nil && !bytes.ContainsRune(text, '\ufffd') &&
				bytes.Equal(text, bytes.ToValidUTF8(text, nil)):
			t.Errorf("Decode(%q): error %q, want %#v as from encoding/json", text, reason, want)
		case reason != "" && got != nil:
			t.Errorf("Decode(%q) = %#v, error %q; want no value with an error", text, got, reason)
		}
	})
}
