package identity

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// javaLower is what Java 25 makes of texts, as testdata/Lower.java printed it.
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

// decode reads code points in hexadecimal digits with blanks between them.
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

// mergeSigmas is the one thing in which a lookup name is coarser than Java's lower case.
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
			t.Errorf("%U is %+q, want %+q", r, got, want)
		}
	}
}

func TestCredentials_LookupName_words(t *testing.T) {
	words := 0
	for word, want := range javaLower(t) {
		if got := (Credentials{Username: word}).LookupName(); got != mergeSigmas(want) {
			t.Errorf("%+q is %+q, want %+q", word, got, want)
		}
		if strings.ContainsRune(word, 'Σ') && strings.ContainsRune(want, 'ς') {
			words++
		}
	}
	if words < 50 {
		t.Errorf("%d words have a final sigma: the table doesn't test them", words)
	}
}

// A neighbour of a name is another account, and has another lookup name.
func TestCredentials_LookupName_neighbours(t *testing.T) {
	for _, name := range []string{"dave@example.com\u00a0", " dave@example.com",
		"dave@example.com\u2003", "d\u0430ve@example.com", "dave@ex\u00e4mple.com"} {
		if got := (Credentials{Username: name}).LookupName(); got != name {
			t.Errorf("%+q is %+q, want it unchanged", name, got)
		}
	}
	for _, pair := range [][2]string{{"ſ", "s"}, {"\u0131", "i"}, {"i\u0307", "i"}, {"ß", "ss"},
		{"ﬁ", "fi"}} {
		one, other := Credentials{Username: pair[0]}.LookupName(),
			Credentials{Username: pair[1]}.LookupName()
		if one == other {
			t.Errorf("%+q and %+q are both %+q", pair[0], pair[1], one)
		}
	}
}

// Whatever Keycloak takes for one name is one for counting too: a spelling is no fresh budget.
func TestCredentials_Account_isCoarser(t *testing.T) {
	for word, lowered := range javaLower(t) {
		one, other := Credentials{Username: word}.Account(),
			Credentials{Username: lowered}.Account()
		if one != other {
			t.Errorf("%+q counts as %+q, and %+q, the same for Keycloak, as %+q", word, one,
				lowered, other)
		}
	}
}
