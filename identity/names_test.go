package identity

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// javaLowerCase returns texts with their lower case in Java 25, as testdata/Lower.java printed
// them.
func javaLowerCase(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.ReadFile("testdata/java-lower.txt")
	if err != nil {
		t.Fatal(err)
	}
	lowerTexts := map[string]string{}
	for line := range strings.Lines(string(file)) {
		if text, lowerText, ok := strings.Cut(strings.TrimSpace(line), "; "); ok {
			lowerTexts[decodeCodePoints(t, text)] = decodeCodePoints(t, lowerText)
		}
	}
	return lowerTexts
}

// decodeCodePoints returns the text that consists of these code points, which are hexadecimal and
// separated by blanks.
func decodeCodePoints(t *testing.T, codePoints string) string {
	t.Helper()
	var text strings.Builder
	for _, codePoint := range strings.Fields(codePoints) {
		n, err := strconv.ParseInt(codePoint, 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteRune(rune(n))
	}
	return text.String()
}

// mergeSigmas replaces ς with σ. NormalizedUsername is Java's lower case with this replacement.
func mergeSigmas(text string) string { return strings.ReplaceAll(text, "ς", "σ") }

// For every code point, NormalizedUsername returns the lower case in Java.
func TestCredentials_NormalizedUsername_everyCodePoint(t *testing.T) {
	lowerTexts := javaLowerCase(t)
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if r >= 0xd800 && r <= 0xdfff {
			continue
		}
		want, ok := lowerTexts[string(r)]
		if !ok {
			want = string(r)
		}
		got := Credentials{Username: string(r)}.NormalizedUsername()
		if got != mergeSigmas(want) {
			t.Errorf("NormalizedUsername() of %U = %+q, want %+q", r, got, want)
		}
	}
}

// For words, including words with Σ, NormalizedUsername returns the lower case in Java.
func TestCredentials_NormalizedUsername_words(t *testing.T) {
	finalSigmaCount := 0
	for word, want := range javaLowerCase(t) {
		if got := (Credentials{Username: word}).NormalizedUsername(); got != mergeSigmas(want) {
			t.Errorf("NormalizedUsername() of %+q = %+q, want %+q", word, got, want)
		}
		if strings.ContainsRune(word, 'Σ') && strings.ContainsRune(want, 'ς') {
			finalSigmaCount++
		}
	}
	if finalSigmaCount < 50 {
		t.Errorf("%d words have a final sigma, want at least 50", finalSigmaCount)
	}
}

// Names that look alike but belong to different accounts have different normalized forms.
func TestCredentials_NormalizedUsername_similar(t *testing.T) {
	for _, name := range []string{"dave@example.com\u00a0", " dave@example.com",
		"dave@example.com\u2003", "d\u0430ve@example.com", "dave@ex\u00e4mple.com"} {
		if got := (Credentials{Username: name}).NormalizedUsername(); got != name {
			t.Errorf("NormalizedUsername() of %+q = %+q, want it unchanged", name, got)
		}
	}
	for _, pair := range [][2]string{{"ſ", "s"}, {"\u0131", "i"}, {"i\u0307", "i"}, {"ß", "ss"},
		{"ﬁ", "fi"}} {
		a, b := Credentials{Username: pair[0]}.NormalizedUsername(),
			Credentials{Username: pair[1]}.NormalizedUsername()
		if a == b {
			t.Errorf("NormalizedUsername() of %+q and of %+q = %+q, want different names",
				pair[0], pair[1], a)
		}
	}
}

// A name and its lower case in Java have the same key. Otherwise an attacker could evade the limit
// of an account with another spelling of its name.
func TestCredentials_AccountKey_java(t *testing.T) {
	for word, lower := range javaLowerCase(t) {
		a, b := Credentials{Username: word}.AccountKey(),
			Credentials{Username: lower}.AccountKey()
		if a != b {
			t.Errorf("AccountKey() of %+q = %+q, of its lower case %+q = %+q, want the same", word,
				a,
				lower, b)
		}
	}
}
