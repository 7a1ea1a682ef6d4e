package identity

import (
	"errors"
	"strings"
	"testing"
	"unicode"
)

// An argument is one way into the domain. Each obeys the same rules.
type argument struct {
	name     string
	maxBytes int
	make     func(value string) (got string, err error)
}

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

func TestFaultyArgumentsAreRefusedByNameAndNeverByValue(t *testing.T) {
	for _, arg := range arguments() {
		for _, fault := range []struct{ name, value, want string }{
			{"empty", "", "is empty"},
			{"NUL", canary + "\x00", "holds a control character"},
			{"NUL alone", "\x00", "holds a control character"},
			{"tab", "\t" + canary, "holds a control character"},
			{"line feed", canary + "\n", "holds a control character"},
			{"carriage return", canary + "\r" + canary, "holds a control character"},
			{"escape", "\x1b[31m" + canary, "holds a control character"},
			{"unit separator", canary + "\x1f", "holds a control character"},
			{"delete", canary + "\x7f", "holds a control character"},
			{"next line, of C1", canary + "\u0085", "holds a control character"},
			{"not UTF-8", canary + "\xff", "is not UTF-8"},
			{"half a rune", canary + "\xc3", "is not UTF-8"},
			{"a surrogate", canary + "\xed\xa0\x80", "is not UTF-8"},
		} {
			got, err := arg.make(fault.value)
			checkRefused(t, arg.name+": "+fault.name, got, err, arg.name+" "+fault.want)
		}
	}
}

// checkRefused wants ErrBadInput, the exact words, and nothing of the value in any of them.
func checkRefused(t *testing.T, name, got string, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrBadInput) {
		t.Fatalf("%s: error %v, want ErrBadInput", name, err)
	}
	if text := err.Error(); text != "bad input: "+want {
		t.Errorf("%s: error %q, want %q", name, text, "bad input: "+want)
	}
	if got != "" {
		t.Errorf("%s: a refused value came back", name)
	}
}

func TestBoundsAreExact(t *testing.T) {
	bounds := map[string]string{
		"username": "is longer than 1020 bytes", "password": "is longer than 4096 bytes",
		"otp": "is longer than 64 bytes", "refreshToken": "is longer than 32768 bytes",
	}
	for _, arg := range arguments() {
		longest := strings.Repeat("x", arg.maxBytes)
		if got, err := arg.make(longest); err != nil || got != longest {
			t.Errorf("%s of %d bytes: %v, want it to pass", arg.name, arg.maxBytes, err)
		}
		got, err := arg.make(longest + "x")
		checkRefused(t, arg.name, got, err, arg.name+" "+bounds[arg.name])

		// Bytes count, not runes: the bound is there for the sake of memory.
		wide := strings.Repeat("ü", arg.maxBytes/2)
		if got, err := arg.make(wide); err != nil || got != wide {
			t.Errorf("%s of %d bytes in wide runes: %v, want it to pass", arg.name, arg.maxBytes,
				err)
		}
		got, err = arg.make(wide + "ü")
		checkRefused(t, arg.name+" in wide runes", got, err, arg.name+" "+bounds[arg.name])
	}
}

// Blanks may be part of a password, and the realm decides what a user name is: nothing is trimmed,
// folded or encoded on the way.
func TestEveryOtherTextPassesUnchanged(t *testing.T) {
	for _, arg := range arguments() {
		for _, value := range []string{
			"a", " ", "  alice  ", "\u00a0alice", "Alice", "ALICE@Example.ORG",
			`a&b+c%20d"e\f`, "a=b;c#d?e/f", "%00", `\u0000`, "${x}", "{{x}}", "<b>", "null", "0",
			"[redacted]", "jürgen", "пароль", "密码", "🔑🔑", "e\u0301", "\u200f", "a\u2028b", "\ufeff",
			"\ufffd",
		} {
			if got, err := arg.make(value); err != nil || got != value {
				t.Errorf("%s %q: got %q, %v", arg.name, value, got, err)
			}
		}
	}
}

func TestAbsentOTPIsNone(t *testing.T) {
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
		t.Errorf("credentials came back mixed up, or %v", err)
	}
}

// One fault of several is told: the first, in the order of the arguments.
func TestFirstFaultIsNamed(t *testing.T) {
	otp := ""
	_, err := NewCredentials("", "", &otp)
	checkRefused(t, "all empty", "", err, "username is empty")
	_, err = NewCredentials("alice", "", &otp)
	checkRefused(t, "password and otp empty", "", err, "password is empty")
}

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
				t.Fatal("refused, and credentials all the same")
			}
			return
		}
		if credentials.Username != username || credentials.Password.Reveal() != password ||
			credentials.OTP.Reveal() != otp {
			t.Fatal("a value changed on its way")
		}
	})
}

// Whatever Keycloak takes for one account is counted as one: a spelling of its own would be a fresh
// budget.
func TestSpellingsOfOneAccount(t *testing.T) {
	for _, names := range [][]string{
		{"alice", "Alice", "ALICE", " alice ", "alice\u00a0", "\u2003aLiCe"},
		{"kim", "KIM", "\u212aim"}, // the Kelvin sign
		{"ärger", "ÄRGER"},
		{"σας", "ΣΑΣ", "Σασ", "ςας"}, // Java lowers Σ by its place in the word
		{"i\u0307d", "İD", "İd"},
		{"straße", "STRAẞE"},
		{"ſam", "SAM", "sam"},
		{"ǆ", "ǅ", "Ǆ"},
		{"ϐ", "β", "Β"},
		{"𐐨", "𐐀"},
	} {
		want := Credentials{Username: names[0]}.Account()
		for _, name := range names {
			if got := (Credentials{Username: name}).Account(); got != want {
				t.Errorf("Account() of %q is %q, of %q %q: want the same", name, got, names[0],
					want)
			}
		}
	}
	seen := map[string]string{}
	for _, name := range []string{"alice", "alíce", "al ice", "alice1", "alice@example.org", "іd",
		"id", "ıd", "i\u0307d"} {
		account := Credentials{Username: name}.Account()
		if other, twice := seen[account]; twice {
			t.Errorf("%q and %q are one account", name, other)
		}
		seen[account] = name
	}
}

// What lowering takes for equal, Account does too: every letter there is, and İ as Java lowers it.
func TestNoLetterEscapesTheFolding(t *testing.T) {
	account := func(name string) string { return Credentials{Username: name}.Account() }
	letters := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		lower := string(unicode.ToLower(r))
		if r == 'İ' {
			lower = "i\u0307"
		}
		if lower != string(r) {
			letters++
		}
		if a, b := account(string(r)), account(lower); a != b {
			t.Errorf("Account() of %q is %q, of %q %q", string(r), a, lower, b)
		}
		if once := account(string(r)); account(once) != once {
			t.Errorf("Account() of %q isn't settled: %q, %q", string(r), once, account(once))
		}
	}
	if letters < 1000 {
		t.Errorf("%d letters have a lower case, want more", letters)
	}
}
