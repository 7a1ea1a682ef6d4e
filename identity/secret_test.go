package identity

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

// canary is a secret that must not appear in any output.
const canary = "c4nary-p4ssw0rd"

// leaks reports whether text contains the canary, or the canary's bytes as fmt formats them with %x
// or %d.
func leaks(text string) bool {
	for _, encoded := range []string{
		canary,
		fmt.Sprintf("%x", canary),
		strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
	} {
		if strings.Contains(strings.ToLower(text), encoded) {
			return true
		}
	}
	return false
}

// leaks finds the canary in the formats that fmt's verbs produce. Otherwise the tests below would
// prove nothing.
func TestLeaks(t *testing.T) {
	for _, format := range []string{"%v", "%q", "%x", "%X", "%#v", "%d"} {
		var value any = canary
		if format == "%d" {
			value = []byte(canary)
		}
		if text := fmt.Sprintf(format, value); !leaks(text) {
			t.Errorf("leaks(%q) = false, want true", text)
		}
	}
}

// secretHolders returns values that contain a Secret with the canary. The key describes the value.
func secretHolders() map[string]any {
	type exportedField struct{ Password Secret }
	type pointerField struct{ Password *Secret }
	type unexportedField struct{ password Secret }
	type unexportedPointerField struct{ password *Secret }
	type embeddedField struct{ Secret }
	type nestedField struct{ inner struct{ list []Secret } }
	secret := NewSecret(canary)
	nestedStruct := nestedField{}
	nestedStruct.inner.list = []Secret{secret}
	return map[string]any{
		"Secret":                          secret,
		"*Secret":                         &secret,
		"exported field":                  exportedField{secret},
		"exported field with a pointer":   pointerField{&secret},
		"unexported field":                unexportedField{secret},
		"unexported field with a pointer": unexportedPointerField{&secret},
		"pointer to a struct":             &unexportedField{secret},
		"embedded field":                  embeddedField{secret},
		"slice in an unexported field":    nestedStruct,
		"slice":                           []Secret{secret},
		"slice of pointers":               []*Secret{&secret},
		"array":                           [1]Secret{secret},
		"map value":                       map[string]Secret{"password": secret},
		"map key":                         map[Secret]int{secret: 1},
		"slice of any":                    []any{secret},
		"error":                           fmt.Errorf("sign in with %v", secret),
		"wrapped error":                   fmt.Errorf("sign in: %w", fmt.Errorf("%s", secret)),
		"Credentials": Credentials{Username: "u", Password: secret,
			OTP: secret},
		"OpenIDToken": &OpenIDToken{AccessToken: secret, RefreshToken: &secret,
			IDToken: &secret},
		"any in an unexported field": struct{ v any }{secret},
	}
}

// fmt doesn't print the text of a Secret, with any verb.
func TestSecret_fmt(t *testing.T) {
	for name, holder := range secretHolders() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x",
			"%d", "%t", "%c", "%U", "%e", "%T", "%100v", "%-5.3s"} {
			if text := fmt.Sprintf(verb, holder); leaks(text) {
				t.Errorf("%s of %s prints %s, want no secret in it", verb, name, text)
			}
		}
		if text := fmt.Sprint(holder) + fmt.Sprintln(holder); leaks(text) {
			t.Errorf("Sprint of %s prints %s, want no secret in it", name, text)
		}
	}
}

// A Secret is printed as [redacted].
func TestSecret_redacted(t *testing.T) {
	secret := NewSecret(canary)
	for verb, want := range map[string]string{
		"%v": "[redacted]", "%+v": "[redacted]", "%#v": "[redacted]", "%s": "[redacted]",
		"%q": "[redacted]",
		"%x": "[redacted]", "%d": "[redacted]", "%T": "identity.Secret",
	} {
		if got := fmt.Sprintf(verb, secret); got != want {
			t.Errorf("%s = %s, want %s", verb, got, want)
		}
	}
	for name, got := range map[string]string{
		"String": secret.String(), "GoString": secret.GoString(),
		"LogValue":    secret.LogValue().String(),
		"a map's key": fmt.Sprint(map[Secret]int{secret: 1}),
	} {
		if !strings.Contains(got, "[redacted]") {
			t.Errorf("%s = %s, want [redacted] in it", name, got)
		}
	}
}

// slog's handlers don't write the text of a Secret.
func TestSecret_slog(t *testing.T) {
	var out bytes.Buffer
	handlers := map[string]slog.Handler{
		"text": slog.NewTextHandler(&out, &slog.HandlerOptions{AddSource: true}),
		"json": slog.NewJSONHandler(&out, nil),
	}
	for handlerName, handler := range handlers {
		log := slog.New(handler)
		for name, holder := range secretHolders() {
			out.Reset()
			log.Info("sign in", "value", holder, slog.Group("group", "value", holder))
			log.With("value", holder).WithGroup("later").Info("sign in", slog.Any("again", holder))
			if leaks(out.String()) {
				t.Errorf("the %s handler writes %s for %s, want no secret in it", handlerName,
					out.String(), name)
			}
		}
		out.Reset()
		log.Info("sign in", "password", NewSecret(canary))
		if !strings.Contains(out.String(), "[redacted]") {
			t.Errorf("the %s handler wrote %s, want [redacted] in it", handlerName, out.String())
		}
	}
}

// Encoded in JSON or XML, values don't contain the text of a Secret.
func TestSecret_encoding(t *testing.T) {
	for name, holder := range secretHolders() {
		if text, err := json.Marshal(holder); leaks(string(text)) ||
			err != nil && leaks(err.Error()) {
			t.Errorf("JSON of %s: %s, %v; want no secret in it", name, text, err)
		}
		if text, err := xml.Marshal(holder); leaks(string(text)) ||
			err != nil && leaks(err.Error()) {
			t.Errorf("XML of %s: %s, %v; want no secret in it", name, text, err)
		}
	}
	type form struct {
		Password Secret
		Attr     Secret `xml:"attr,attr"`
	}
	if got, err := json.Marshal(form{NewSecret(canary), NewSecret(canary)}); err != nil ||
		string(got) != `{"Password":"[redacted]","Attr":"[redacted]"}` {
		t.Errorf("json.Marshal() = %s, %v, want redacted values", got, err)
	}
	if got, err := xml.Marshal(form{NewSecret(canary), NewSecret(canary)}); err != nil ||
		string(got) != `<form attr="[redacted]"><Password>[redacted]</Password></form>` {
		t.Errorf("xml.Marshal() = %s, %v, want redacted values", got, err)
	}
}

// The zero Secret is printed like any other Secret. In GraphQL it is an empty string.
func TestSecret_zero(t *testing.T) {
	var zero Secret
	if zero.Reveal() != "" {
		t.Errorf("Reveal() = %q, want \"\"", zero.Reveal())
	}
	a, b := fmt.Sprintf("%v %#v", zero, zero),
		fmt.Sprintf("%v %#v", NewSecret(canary), NewSecret(canary))
	if a != b {
		t.Errorf("the zero Secret is printed as %s, another Secret as %s, want the same", a, b)
	}
	var out bytes.Buffer
	zero.MarshalGQL(&out)
	if out.String() != `""` {
		t.Errorf("MarshalGQL wrote %s, want an empty string", out.String())
	}
	text := fmt.Sprintf("%v %+v %s", (*Secret)(nil), (*Secret)(nil), (*Secret)(nil))
	if text != "<nil> <nil> <nil>" {
		t.Errorf("nil pointers are printed as %s, want <nil> <nil> <nil>", text)
	}
}

// Reveal returns the text, also if the Secret was copied.
func TestSecret_Reveal(t *testing.T) {
	secret := NewSecret(canary)
	secretCopy := secret
	if secretCopy.Reveal() != canary {
		t.Errorf("Reveal() of a copy = %q, want %q", secretCopy.Reveal(), canary)
	}
}

// MarshalGQL writes a JSON string with the text.
func TestSecret_MarshalGQL(t *testing.T) {
	for name, text := range map[string]string{
		"ASCII text":                canary,
		"empty":                     "",
		"quotes, backslash":         `"say \"hi\" \ u0000"`,
		"control characters":        "\x00\x01\b\f\n\r\t\x1f\x7f",
		"HTML":                      "<script>&amp;</script>",
		"line separators":           "a\u2028b\u2029c",
		"supplementary code points": "\U0001f511\U0010fffd",
		"lone surrogate":            "\xed\xa0\x80",
		"invalid UTF-8":             "a\xff\xc3b\x80",
		"JWT":                       "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_",
	} {
		var out bytes.Buffer
		NewSecret(text).MarshalGQL(&out)
		var got string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Errorf("%s: %s isn't JSON: %v", name, out.Bytes(), err)
			continue
		}
		// JSON can't represent invalid UTF-8, so its text isn't compared.
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && got != want {
			t.Errorf("%s: %s decodes to %q, want %q", name, out.Bytes(), got, want)
		}
		if !utf8.Valid(out.Bytes()) {
			t.Errorf("%s: %q isn't UTF-8", name, out.Bytes())
		}
	}
}

// UnmarshalGQL accepts only strings.
func TestSecret_UnmarshalGQL(t *testing.T) {
	var secret Secret
	if err := secret.UnmarshalGQL(canary); err != nil || secret.Reveal() != canary {
		t.Errorf("UnmarshalGQL(%q) = %v with the text %q, want nil and the same text", canary, err,
			secret.Reveal())
	}
	for _, value := range []any{nil, 5, int64(5), 1.5, true, []byte(canary), []any{canary},
		map[string]any{canary: canary}, json.Number("5"), errors.New(canary)} {
		secret := NewSecret("before")
		err := secret.UnmarshalGQL(value)
		if err == nil || err.Error() != "must be a string" {
			t.Errorf("UnmarshalGQL(%T) = %v, want: must be a string", value, err)
		}
		if secret.Reveal() != "before" {
			t.Errorf("UnmarshalGQL(%T) changed the Secret, want it unchanged", value)
		}
	}
}

// A Secret equals its copies, but not another Secret with the same text. Otherwise code could find
// out the text by comparing the Secret with guesses.
func TestSecret_equality(t *testing.T) {
	a := NewSecret(canary)
	if b := a; a != b {
		t.Error("a copy of a Secret isn't equal to it, want it equal")
	}
	if NewSecret(canary) == a {
		t.Error("two Secrets with the same text are equal, want them different")
	}
}
