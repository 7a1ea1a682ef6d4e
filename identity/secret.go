package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// A Secret is a password or a token that can't be printed, logged or encoded: every such attempt
// gives "[redacted]". Reveal is the way out to the secret's recipient, MarshalGQL the way out to
// the client that is to have it. The zero value is the empty secret. A Secret is immutable and safe
// for concurrent use.
//
// The text sits behind a pointer because fmt doesn't call methods on unexported fields: printing a
// struct that holds a Secret in one shows an address, never the text.
type Secret struct{ text *string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text. Call it where the text leaves for its destination, and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb, %x and %d included.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]"; encoding/json and encoding/xml use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalGQL writes the text as a GraphQL string: the field is the client's to read.
func (s Secret) MarshalGQL(w io.Writer) {
	text, err := json.Marshal(s.Reveal())
	if err != nil { // a string always encodes
		panic("identity: " + err.Error())
	}
	w.Write(text)
}

// UnmarshalGQL reads a GraphQL string. Its error doesn't repeat the value.
func (s *Secret) UnmarshalGQL(v any) error {
	text, ok := v.(string)
	if !ok {
		return errors.New("must be a string")
	}
	*s = NewSecret(text)
	return nil
}
