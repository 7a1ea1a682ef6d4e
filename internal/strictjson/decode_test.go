package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  any
		top   string
		fault Reason
	}{
		{text: `null`}, {text: ` true `, want: true}, {text: "\t\r\nfalse\n", want: false},
		{text: `{}`, want: map[string]any{}}, {text: `[]`, want: []any{}}, {text: `""`, want: ""},
		{text: `{"a":{"a":[{"a":1}]}}`, want: map[string]any{"a": map[string]any{"a": []any{map[string]any{"a": int64(1)}}}}},
		{text: `[0,-0,10,9223372036854775807,-9223372036854775808]`, want: []any{int64(0), int64(0), int64(10), int64(1<<63 - 1), int64(-1 << 63)}},
		{text: `[9223372036854775808,1.0,1e2,1E-2,-1.5e+1,0.0,1e-999]`, want: []any{9223372036854775808.0, 1.0, 100.0, 0.01, -15.0, 0.0, 0.0}},
		{text: `"\"\\\/\b\f\n\r\t\u0041\u00e9"`, want: "\"\\/\b\f\n\r\tAé"},
		{text: `"\ud83d\udd11"`, want: "🔑"}, {text: `"\ud83d"`, fault: HalfSurrogate}, {text: `"\ud83dx"`, fault: HalfSurrogate}, {text: `{"variables":{"\ud83d":1}}`, top: "variables", fault: HalfSurrogate},
		{text: `"\ud83d\ud83d\udd11"`, fault: HalfSurrogate}, {text: `["\udd11\ud83d"]`, fault: HalfSurrogate}, {text: `"\ufffd"`, want: "\ufffd"}, {text: `"ü\u2028` + "\u2028" + `"`, want: "ü\u2028\u2028"},

		{text: `{"a":1,"a":1}`, fault: MemberTwice},
		{text: `{"a":1,"\u0061":1}`, fault: MemberTwice},
		{text: `{"variables":{"a":{"b":1,"c":2,"b":3}}}`, top: "variables", fault: MemberTwice},
		{text: `{"variables":[{"":1,"":1}]}`, top: "variables", fault: MemberTwice},
		{text: `{"x":1,"variables":[1e999]}`, top: "variables", fault: NumberTooLarge},
		{text: `-1e400`, fault: NumberTooLarge}, {text: "1" + strings.Repeat("0", 400), fault: NumberTooLarge},
		{text: `{"x":[[[[1]]]]}`, top: "x", fault: TooDeep}, {text: `[[[[[`, fault: TooDeep}, {text: `{"a":{"b":{"c":{"d":{`, top: "a", fault: TooDeep},
		{text: `[1,2,3,4,5,6,7,8,9,10,11]`, want: []any{int64(1), int64(2), int64(3), int64(4), int64(5), int64(6), int64(7), int64(8), int64(9), int64(10), int64(11)}},
		{text: `[1,2,3,4,5,6,7,8,9,10,11,12]`, fault: TooManyValues}, {text: `{"x":{"":[1,2,3,4],"a":[1,2,3,4,`, top: "x", fault: TooManyValues},
		{text: `{"x":[[[1]]]}`, want: map[string]any{"x": []any{[]any{[]any{int64(1)}}}}},
	} {
		value, top, fault := decode(tt.text, Limits{4, 12})
		if !reflect.DeepEqual(value, tt.want) || top != tt.top || fault != tt.fault {
			t.Errorf("%s: %#v, %q, fault %q; want %#v, %q, %q", tt.text, value, top, fault, tt.want,
				tt.top, tt.fault)
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
		if value, _, fault := decode(text, Limits{4, 12}); !notText(fault) || value != nil {
			t.Errorf("%q: %#v, fault %q; want %q", text, value, fault, NotJSON)
		}
	}
}

// decode is Decode, with what its error says.
func decode(text string, limits Limits) (value any, member string, reason Reason) {
	value, err := Decode([]byte(text), limits)
	if failed, ok := errors.AsType[*Error](err); ok {
		return value, failed.Member, failed.Reason
	}
	return value, "", ""
}

// notText reports whether a reason is that a text isn't one JSON value in UTF-8.
func notText(reason Reason) bool {
	return reason == NotJSON || reason == NotUTF8 || reason == Trailing
}

// readElsewhere is encoding/json, with numbers as GraphQL's clients mean them.
func readElsewhere(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("more than one value")
	}
	return number(value)
}

func number(value any) (_ any, err error) {
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n, nil
		}
		return value.Float64()
	case map[string]any:
		for name := range value {
			if value[name], err = number(value[name]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range value {
			if value[i], err = number(value[i]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// What the strict reader accepts, encoding/json accepts and sees the same; what it refuses,
// encoding/json refuses too, but for what makes it strict.
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
		got, _, fault := decode(string(text), Limits{8, 1000})
		want, err := readElsewhere(text)
		switch {
		case fault == "" && (err != nil || !reflect.DeepEqual(got, want)):
			t.Errorf("%q: %#v, encoding/json sees %#v, %v", text, got, want, err)
		case fault == NumberTooLarge && err == nil,
			notText(fault) && err == nil && !bytes.ContainsRune(text, '\ufffd') &&
				bytes.Equal(text, bytes.ToValidUTF8(text, nil)):
			t.Errorf("%q: %s, encoding/json sees %#v", text, fault, want)
		case fault != "" && got != nil:
			t.Errorf("%q: %s, and yet %#v", text, fault, got)
		}
	})
}
