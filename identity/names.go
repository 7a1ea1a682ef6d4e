package identity

import (
	"strings"
	"unicode"
)

// LookupName returns the username in the spelling in which Keycloak looks it up, as a username and
// as an e-mail address: lowered as Java does, and not trimmed. Spellings of one account have one
// lookup name. Accounts share one only where their names differ in σ and ς, which Java chooses by
// their place in a word.
func (c Credentials) LookupName() string {
	var lowered strings.Builder
	lowered.Grow(len(c.Username))
	for _, r := range c.Username {
		switch {
		case r == 'İ': // the one letter that Java lowers to two
			lowered.WriteString("i\u0307")
		case r == 'ς':
			lowered.WriteRune('σ')
		default:
			lowered.WriteRune(lowerRune(r))
		}
	}
	return lowered.String()
}

// lowerRune lowers as Java 25 does, by Unicode 16. Go 1.26 and Java 21 have Unicode 15, without the
// letters that are named here.
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
