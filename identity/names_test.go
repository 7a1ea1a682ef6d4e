package identity

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// javaLower returns the lower case of texts in Java 25, as testdata/Lower.java printed it.
func javaLower(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.ReadFile("testdata/java-lower.txt")
	if err != nil {
		t.Fatal(err)
	}
	lowered := map[string]string{}
	for line := range strings.Lines(string(file)) {
		if before, after, ok := strings.Cut(strings.TrimSpace(line), "; "); ok {
			lowered[decode(t, before)] = decode(t, after)
		}
	}
	return lowered
}

// decode returns the text of these hexadecimal code points, which are separated by blanks.
func decode(t *testing.T, points string) string {
	t.Helper()
	var text strings.Builder
	for _, point := range strings.Fields(points) {
		n, err := strconv.ParseInt(point, 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteRune(rune(n))
	}
	return text.String()
}

// mergeSigmas replaces ς with σ: the one way in which LookupName differs from Java's lower case.
func mergeSigmas(text string) string { return strings.ReplaceAll(text, "ς", "σ") }

func TestCredentials_LookupName_everyCodePoint(t *testing.T) {
	java := javaLower(t)
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if r >= 0xd800 && r <= 0xdfff {
			continue
		}
		want, ok := java[string(r)]
		if !ok {
			want = string(r)
		}
		if got := (Credentials{Username: string(r)}).LookupName(); got != mergeSigmas(want) {
			t.Errorf("LookupName() of %U = %+q, want %+q", r, got, want)
		}
	}
}

func TestCredentials_LookupName_words(t *testing.T) {
	words := 0
	for word, want := range javaLower(t) {
		if got := (Credentials{Username: word}).LookupName(); got != mergeSigmas(want) {
			t.Errorf("LookupName() of %+q = %+q, want %+q", word, got, want)
		}
		if strings.ContainsRune(word, 'Σ') && strings.ContainsRune(want, 'ς') {
			words++
		}
	}
	if words < 50 {
		t.Errorf("%d words have a final sigma, want at least 50", words)
	}
}

// Similar names are different accounts, and have different lookup names.
func TestCredentials_LookupName_similar(t *testing.T) {
	for _, name := range []string{"dave@example.com\u00a0", " dave@example.com",
		"dave@example.com\u2003", "d\u0430ve@example.com", "dave@ex\u00e4mple.com"} {
		if got := (Credentials{Username: name}).LookupName(); got != name {
			t.Errorf("LookupName() of %+q = %+q, want it unchanged", name, got)
		}
	}
	for _, pair := range [][2]string{{"ſ", "s"}, {"\u0131", "i"}, {"i\u0307", "i"}, {"ß", "ss"},
		{"ﬁ", "fi"}} {
		one, other := Credentials{Username: pair[0]}.LookupName(),
			Credentials{Username: pair[1]}.LookupName()
		if one == other {
			t.Errorf("LookupName() of %+q and of %+q = %+q, want different names", pair[0], pair[1],
				one)
		}
	}
}

// Names that Keycloak considers equal share a key: otherwise another spelling would get a new
// limit.
func TestCredentials_AccountKey_java(t *testing.T) {
	for word, lowered := range javaLower(t) {
		one, other := Credentials{Username: word}.AccountKey(),
			Credentials{Username: lowered}.AccountKey()
		if one != other {
			t.Errorf("AccountKey() of %+q = %+q, of its lower case %+q = %+q, want the same", word, one,
				lowered, other)
		}
	}
}
