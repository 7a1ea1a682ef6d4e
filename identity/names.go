package identity

import (
	"strings"
	"unicode"
)

// NormalizedUsername returns the form of Username with which Keycloak looks up the user, both by
// username and by email address. It is Username in Java's lower case, and isn't trimmed. All
// spellings of a name that Keycloak considers equal have the same normalized form. Names that
// differ only in σ and ς also have the same normalized form, because in Java the lower case of Σ
// depends on its position in the word.
func (c Credentials) NormalizedUsername() string {
	var builder strings.Builder
	builder.Grow(len(c.Username))
	for _, r := range c.Username {
		switch {
		case r == 'İ': // the only letter whose lower case in Java is two letters
			builder.WriteString("i\u0307")
		case r == 'ς':
			builder.WriteRune('σ')
		default:
			builder.WriteRune(lowerRune(r))
		}
	}
	return builder.String()
}

// lowerRune returns the lower case of r in Java 25, which has Unicode 16. Go 1.26 and Java 21 have
// Unicode 15, which lacks the letters in the switch below.
func lowerRune(r rune) rune {
	switch {
	case r >= 0x10d50 && r <= 0x10d65: // Garay
		return r + 0x20
	case r == 0x1c89, r == 0xa7cc, r == 0xa7da:
		return r + 1
	case r == 0xa7cb:
		return 0x264
	case r == 0xa7dc:
		return 0x19b
	}
	return unicode.ToLower(r)
}
