package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redactedText = "[redacted]"

// A Secret is a password or a token that can't be printed, logged or encoded by accident: the
// result is always "[redacted]". Only two methods reveal the text: Reveal, for the realm, and
// MarshalGQL, for the client that the secret belongs to. The zero value is the empty secret. A
// Secret is immutable, and safe for concurrent use.
//
// The text is behind a pointer, because fmt doesn't call methods of unexported fields. If an
// unexported field is a Secret, fmt prints the address of the text instead of the text.
type Secret struct{ text *string }

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text. Call it only to send the text to its recipient.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "[redacted]".
func (Secret) String() string { return redactedText }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redactedText }

// Format writes "[redacted]" for every verb, even for %x and %d.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redactedText) }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redactedText) }

// MarshalText returns "[redacted]". encoding/json and encoding/xml call it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// MarshalGQL writes the text as a GraphQL string, for the client that the secret belongs to.
func (s Secret) MarshalGQL(w io.Writer) {
	text, err := json.Marshal(s.Reveal())
	if err != nil { // impossible for a string
		panic("identity: " + err.Error())
	}
	w.Write(text)
}

// UnmarshalGQL sets the text from a GraphQL string. Its error doesn't repeat the value.
func (s *Secret) UnmarshalGQL(v any) error {
	text, ok := v.(string)
	if !ok {
		return errors.New("must be a string")
	}
	*s = NewSecret(text)
	return nil
}
