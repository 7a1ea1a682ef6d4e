package identity

import (
	"strings"
	"unicode"
)

// LookupName returns the username as Keycloak looks it up, both as a username and as an e-mail
// address: in Java's lower case, and not trimmed. All spellings of a name that Keycloak considers
// equal have the same lookup name. So do names that differ only in σ and ς, because Java lowers Σ
// depending on its position in the word.
func (c Credentials) LookupName() string {
	var lowered strings.Builder
	lowered.Grow(len(c.Username))
	for _, r := range c.Username {
		switch {
		case r == 'İ': // the only letter that Java lowers to two
			lowered.WriteString("i\u0307")
		case r == 'ς':
			lowered.WriteRune('σ')
		default:
			lowered.WriteRune(lowerRune(r))
		}
	}
	return lowered.String()
}

// lowerRune returns r's lower case in Java 25, which has Unicode 16. Go 1.26 and Java 21 have
// Unicode 15, which lacks the letters handled here.
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
