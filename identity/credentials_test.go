package identity

import (
	"errors"
	"strings"
	"testing"
	"unicode"
)

// An argument describes an argument that clients send: its name, its limit, and the function that
// checks its values.
type argument struct {
	name     string
	maxBytes int
	parse    func(value string) (got string, err error) // returns the value, or an error
}

// arguments returns all arguments of NewCredentials and NewRefreshToken.
func arguments() []argument {
	return []argument{
		{"username", 1020, func(v string) (string, error) {
			c, err := NewCredentials(v, "password", nil)
			return c.Username, err
		}},
		{"password", 4096, func(v string) (string, error) {
			c, err := NewCredentials("alice", v, nil)
			return c.Password.Reveal(), err
		}},
		{"otp", 64, func(v string) (string, error) {
			c, err := NewCredentials("alice", "password", &v)
			return c.OTP.Reveal(), err
		}},
		{"refreshToken", 32768, func(v string) (string, error) {
			token, err := NewRefreshToken(v)
			return token.Reveal(), err
		}},
	}
}

// If an argument is invalid, the error is ErrBadInput. The message names the argument, but doesn't
// contain its value.
func TestArguments_invalid(t *testing.T) {
	for _, arg := range arguments() {
		for _, tt := range []struct{ name, value, want string }{
			{"empty", "", "is empty"},
			{"NUL", canary + "\x00", "holds a control character"},
			{"only NUL", "\x00", "holds a control character"},
			{"tab", "\t" + canary, "holds a control character"},
			{"line feed", canary + "\n", "holds a control character"},
			{"carriage return", canary + "\r" + canary, "holds a control character"},
			{"escape", "\x1b[31m" + canary, "holds a control character"},
			{"unit separator", canary + "\x1f", "holds a control character"},
			{"delete", canary + "\x7f", "holds a control character"},
			{"next line (C1)", canary + "\u0085", "holds a control character"},
			{"not UTF-8", canary + "\xff", "is not UTF-8"},
			{"incomplete rune", canary + "\xc3", "is not UTF-8"},
			{"surrogate half", canary + "\xed\xa0\x80", "is not UTF-8"},
		} {
			got, err := arg.parse(tt.value)
			checkBadInput(t, arg.name+": "+tt.name, got, err, arg.name+" "+tt.want)
		}
	}
}

// checkBadInput checks that err is ErrBadInput with the message want, and that the value got is
// empty.
func checkBadInput(t *testing.T, name, got string, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrBadInput) {
		t.Fatalf("%s: error %v, want ErrBadInput", name, err)
	}
	if text := err.Error(); text != "bad input: "+want {
		t.Errorf("%s: error %q, want %q", name, text, "bad input: "+want)
	}
	if got != "" {
		t.Errorf("%s: got a value along with an error, want none", name)
	}
}

// An argument may have as many bytes as its limit, and not one more.
func TestArguments_maxBytes(t *testing.T) {
	wantMessages := map[string]string{
		"username": "is longer than 1020 bytes", "password": "is longer than 4096 bytes",
		"otp": "is longer than 64 bytes", "refreshToken": "is longer than 32768 bytes",
	}
	for _, arg := range arguments() {
		longestValue := strings.Repeat("x", arg.maxBytes)
		if got, err := arg.parse(longestValue); err != nil || got != longestValue {
			t.Errorf("%s of %d bytes: %v, want no error", arg.name, arg.maxBytes, err)
		}
		got, err := arg.parse(longestValue + "x")
		checkBadInput(t, arg.name, got, err, arg.name+" "+wantMessages[arg.name])

		// The limit counts bytes, not runes, because it bounds memory.
		multibyteValue := strings.Repeat("ü", arg.maxBytes/2)
		if got, err := arg.parse(multibyteValue); err != nil || got != multibyteValue {
			t.Errorf("%s of %d bytes in two-byte runes: %v, want no error", arg.name, arg.maxBytes,
				err)
		}
		got, err = arg.parse(multibyteValue + "ü")
		checkBadInput(
			t, arg.name+" in two-byte runes", got, err, arg.name+" "+wantMessages[arg.name])
	}
}

// Valid arguments are returned unchanged, because blanks may be part of a password, and the realm
// decides which usernames are equal.
func TestArguments_unchanged(t *testing.T) {
	for _, arg := range arguments() {
		for _, value := range []string{
			"a", " ", "  alice  ", "\u00a0alice", "Alice", "ALICE@Example.ORG",
			`a&b+c%20d"e\f`, "a=b;c#d?e/f", "%00", `\u0000`, "${x}", "{{x}}", "<b>", "null", "0",
			"[redacted]", "jürgen", "пароль", "密码", "🔑🔑", "e\u0301", "\u200f", "a\u2028b", "\ufeff",
			"\ufffd",
		} {
			if got, err := arg.parse(value); err != nil || got != value {
				t.Errorf("%s %q: got %q, %v, want it unchanged", arg.name, value, got, err)
			}
		}
	}
}

// If otp is nil, the credentials have no one-time code.
func TestNewCredentials_otp(t *testing.T) {
	credentials, err := NewCredentials("alice", canary, nil)
	if err != nil {
		t.Fatal(err)
	}
	if credentials.OTP.Reveal() != "" {
		t.Errorf("OTP = %q, want none", credentials.OTP.Reveal())
	}
	otp := "123456"
	credentials, err = NewCredentials("alice", canary, &otp)
	if err != nil || credentials.OTP.Reveal() != "123456" ||
		credentials.Password.Reveal() != canary || credentials.Username != "alice" {
		t.Errorf("NewCredentials() = %+v, %v, want each argument in its field", credentials, err)
	}
}

// If several arguments are invalid, the error names the first.
func TestNewCredentials_firstError(t *testing.T) {
	otp := ""
	_, err := NewCredentials("", "", &otp)
	checkBadInput(t, "all arguments empty", "", err, "username is empty")
	_, err = NewCredentials("alice", "", &otp)
	checkBadInput(t, "password and otp empty", "", err, "password is empty")
}

// NewCredentials returns its arguments unchanged, or ErrBadInput and no credentials.
func FuzzNewCredentials(f *testing.F) {
	f.Add("alice", canary, "123456")
	f.Add("", "\x00", "\xff")
	f.Fuzz(func(t *testing.T, username, password, otp string) {
		credentials, err := NewCredentials(username, password, &otp)
		if err != nil {
			if !errors.Is(err, ErrBadInput) {
				t.Fatalf("error %v, want ErrBadInput", err)
			}
			if credentials != (Credentials{}) {
				t.Fatal("NewCredentials() returned credentials along with an error, want none")
			}
			return
		}
		if credentials.Username != username || credentials.Password.Reveal() != password ||
			credentials.OTP.Reveal() != otp {
			t.Fatal("NewCredentials() changed a value, want it unchanged")
		}
	})
}

// Names that Keycloak considers equal have the same key. Otherwise an attacker could evade the
// limit of an account with another spelling of its name.
func TestCredentials_AccountKey_spellings(t *testing.T) {
	for _, names := range [][]string{
		{"alice", "Alice", "ALICE", " alice ", "alice\u00a0", "\u2003aLiCe"},
		{"kim", "KIM", "\u212aim"}, // the Kelvin sign
		{"ärger", "ÄRGER"},
		// In Java, the lower case of Σ depends on its position in the word.
		{"σας", "ΣΑΣ", "Σασ", "ςας"},
		{"i\u0307d", "İD", "İd"},
		{"straße", "STRAẞE"},
		{"ſam", "SAM", "sam"},
		{"ǆ", "ǅ", "Ǆ"},
		{"ϐ", "β", "Β"},
		{"𐐨", "𐐀"},
	} {
		want := Credentials{Username: names[0]}.AccountKey()
		for _, name := range names {
			if got := (Credentials{Username: name}).AccountKey(); got != want {
				t.Errorf("AccountKey() of %q = %q, want %q, like %q", name, got, want, names[0])
			}
		}
	}
	namesByKey := map[string]string{}
	for _, name := range []string{"alice", "alíce", "al ice", "alice1", "alice@example.org", "іd",
		"id", "ıd", "i\u0307d"} {
		key := Credentials{Username: name}.AccountKey()
		if otherName, ok := namesByKey[key]; ok {
			t.Errorf("AccountKey() of %q and of %q = %q, want different keys", name, otherName, key)
		}
		namesByKey[key] = name
	}
}

// Every letter has the same key as its lower case. That includes İ, whose lower case in Java is two
// letters.
func TestCredentials_AccountKey_everyLetter(t *testing.T) {
	key := func(name string) string { return Credentials{Username: name}.AccountKey() }
	letterCount := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		lower := string(unicode.ToLower(r))
		if r == 'İ' {
			lower = "i\u0307"
		}
		if lower != string(r) {
			letterCount++
		}
		if a, b := key(string(r)), key(lower); a != b {
			t.Errorf("AccountKey() of %q = %q, of %q = %q, want the same", string(r), a, lower, b)
		}
		if k := key(string(r)); key(k) != k {
			t.Errorf("AccountKey() of %q = %q, whose AccountKey() is %q, want it unchanged",
				string(r), k, key(k))
		}
	}
	if letterCount < 1000 {
		t.Errorf("%d letters have another lower case, want at least 1000", letterCount)
	}
}
