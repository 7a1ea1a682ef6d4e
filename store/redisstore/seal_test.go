package redisstore

import (
	"bytes"
	"errors"
	"testing"
)

// mustSealer returns a sealer with these secrets.
func mustSealer(t *testing.T, secrets ...string) *sealer {
	t.Helper()
	var list []Secret
	for _, secret := range secrets {
		list = append(list, NewSecret(secret))
	}
	s, err := newSealer(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	firstSecret  = "the first secret, 1"
	secondSecret = "the second secret, 2"
)

// open returns what was sealed, and only with the same secret and context.
func TestSealer(t *testing.T) {
	s := mustSealer(t, firstSecret)
	for _, value := range []string{"", "x", "a token\x00\xff"} {
		sealed := s.seal([]byte(value), "context")
		if len(value) > 1 && bytes.Contains(sealed, []byte(value)) {
			t.Errorf("the sealed value has the value %q", value)
		}
		if bytes.Equal(sealed, s.seal([]byte(value), "context")) {
			t.Errorf("%q was sealed to the same bytes twice", value)
		}
		got, err := s.open(sealed, "context")
		if err != nil || got == nil || string(got) != value {
			t.Errorf("open() = %q, %v, want %q", got, err, value)
		}
		if _, err := s.open(sealed, "context2"); !errors.Is(err, errSealed) {
			t.Errorf("open() with another context = %v, want %v", err, errSealed)
		}
		other := mustSealer(t, secondSecret)
		if _, err := other.open(sealed, "context"); !errors.Is(err, errSealed) {
			t.Errorf("open() with another secret = %v, want %v", err, errSealed)
		}
		for i := range sealed {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1
			if _, err := s.open(changed, "context"); !errors.Is(err, errSealed) {
				t.Errorf("open() with byte %d changed = %v, want %v", i, err, errSealed)
			}
			if _, err := s.open(sealed[:i], "context"); !errors.Is(err, errSealed) {
				t.Errorf("open() of the first %d bytes = %v, want %v", i, err, errSealed)
			}
		}
	}
}

// The first secret seals, and all open.
func TestSealer_rotation(t *testing.T) {
	first, second := mustSealer(t, firstSecret), mustSealer(t, secondSecret)
	both := mustSealer(t, firstSecret, secondSecret)
	swapped := mustSealer(t, secondSecret, firstSecret)
	value := []byte("value")
	for _, tt := range []struct {
		name         string
		seals, opens *sealer
		want         bool
	}{
		{"old process, process that knows both", first, both, true},
		{"process that knows both, old process", both, first, true},
		{"old process, process that seals with the new secret", first, swapped, true},
		{"process that seals with the new secret, process that knows both", swapped, both, true},
		{"process that seals with the new secret, old process", swapped, first, false},
		{"process that seals with the new secret, new process", swapped, second, true},
	} {
		_, err := tt.opens.open(tt.seals.seal(value, "c"), "c")
		if (err == nil) != tt.want {
			t.Errorf("%s: %v, want success %t", tt.name, err, tt.want)
		}
	}
}
