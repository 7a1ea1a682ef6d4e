package identity

import (
	"strings"
	"unicode"
)

// LookupName returns the username as Keycloak looks it up, both as a username and as an email
// address: in Java's lower case, and not trimmed. All spellings of a name that Keycloak considers
// equal have the same lookup name. So do names that differ only in σ and ς, because in Java the
// lower case of Σ depends on its position in the word.
func (c Credentials) LookupName() string {
	var lower strings.Builder
	lower.Grow(len(c.Username))
	for _, r := range c.Username {
		switch {
		case r == 'İ': // the only letter whose lower case in Java is two letters
			lower.WriteString("i\u0307")
		case r == 'ς':
			lower.WriteRune('σ')
		default:
			lower.WriteRune(lowerRune(r))
		}
	}
	return lower.String()
}

// lowerRune returns r's lower case in Java 25, which has Unicode 16. Go 1.26 and Java 21 have
// Unicode 15, which lacks the letters in this switch.
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
