package redisstore

import (
	"fmt"
	"io"
	"log/slog"
)

const redactedText = "[redacted]"

// A Secret is a text that can't be printed, logged or encoded by accident: the result is always
// "[redacted]". The zero value is the empty text.
//
// The text is behind a pointer, because fmt doesn't call methods of unexported fields.
type Secret struct{ text *string }

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret { return Secret{&text} }

// reveal returns the text.
func (s Secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "[redacted]".
func (Secret) String() string { return redactedText }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redactedText }

// Format writes "[redacted]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redactedText) }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redactedText) }

// MarshalText returns "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redactedText), nil }
