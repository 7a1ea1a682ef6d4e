package contract

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// How times are compared: the server creates a time, such as iat, while a request is in flight. On
// a slow machine, a request can take long. The recording has the offset of the time from the
// response as it would be if requests took no time and only scenario.wait did. A scenario passes if
// the recorded offset is possible, given when requests were sent and when responses were received.

// timeout limits a request, and a wait until Keycloak reaches a state.
const timeout = 3 * time.Minute

// A window is the time in which a request was in flight, by the server's clock.
type window struct {
	sentAt, receivedAt time.Time
	waited             time.Duration // the total time in scenario.wait before the request
}

// isZero reports whether w is the zero window.
func (w window) isZero() bool { return w.sentAt.IsZero() }

// A span is the range of possible values of a number, from min to max.
type span struct{ min, max int64 }

// formatOffset formats an offset from base, such as <iat+300>, or <iat+299..+300> if both offsets
// are possible.
func formatOffset(base string, s span) string {
	format := "%+d"
	if base == "~" {
		format = "%d"
	}
	if s.min == s.max {
		return fmt.Sprintf("<"+base+format+">", s.min)
	}
	return fmt.Sprintf("<"+base+format+".."+format+">", s.min, s.max)
}

// offset returns the possible offsets of a time from the response in base, as if requests took no
// time. w is the window in which the time was created.
func (w window) offset(unixTime int64, base window) span {
	waited := w.waited - base.waited
	return span{unixTime - w.receivedAt.Add(-waited).Unix(),
		unixTime - w.sentAt.Add(-waited).Unix()}
}

// offset is like window.offset, for a time that any request of the scenario may have created.
func (s *scenario) offset(unixTime int64, base window) span {
	return span{unixTime - base.receivedAt.Unix(), unixTime - s.startedAt.Add(base.waited).Unix()}
}

// remaining returns the possible values of a number of seconds that remain after the response in w,
// as if requests took no time.
func (s *scenario) remaining(seconds int64, w window) span {
	return span{seconds, seconds + w.receivedAt.Unix() - s.startedAt.Add(w.waited).Unix()}
}

// windowSinceStart returns the window from the start of the scenario until now.
func (s *scenario) windowSinceStart() window { return window{s.startedAt, s.kc.now(), s.waited} }

// resetStart moves the start of the scenario to now. Times that are recorded afterwards must have
// been created after the new start.
func (s *scenario) resetStart() { s.startedAt = s.kc.now().Add(-s.waited) }

// claimTime returns the time in a claim.
func (s *scenario) claimTime(claim any) time.Time { return time.Unix(asInt(claim), 0) }

// waitUntil waits until t, which may be in the past.
func (s *scenario) waitUntil(t time.Time) {
	if d := t.Sub(s.kc.now()); d > 0 {
		s.wait(d)
	}
}

// storeWindows stores the window of the request that issued the tokens in a response.
func (s *scenario) storeWindows(body string, w window) {
	var fields object
	json.Unmarshal([]byte(body), &fields)
	for _, value := range fields {
		if decoded, ok := decodeToken(asString(value)); ok {
			if id := asString(decoded.claims["jti"]); id != "" && s.issueWindows[id].isZero() {
				s.issueWindows[id] = w
			}
		}
	}
}

// issueWindow returns the window of the request that issued these claims, or the zero window if
// they have no iat.
func (s *scenario) issueWindow(claims object, w window) window {
	if claims["iat"] == nil {
		return window{}
	}
	if storedWindow := s.issueWindows[asString(claims["jti"])]; !storedWindow.isZero() {
		return storedWindow
	}
	return w
}

// setDeadline sets a deadline for requests that must be done before a token or a session expires.
// The deadline applies until done is called or the scenario ends. If the requests take longer than
// d, the machine is too slow, and the scenario runs again.
func (s *scenario) setDeadline(d time.Duration) (done func()) {
	dl := &deadline{s.kc.now(), d}
	s.deadlines = append(s.deadlines, dl)
	return func() {
		s.checkDeadlines()
		s.deadlines = slices.DeleteFunc(s.deadlines, func(other *deadline) bool {
			return other == dl
		})
	}
}

// A deadline limits how long requests may take.
type deadline struct {
	startedAt time.Time
	limit     time.Duration
}

// A missedDeadline is the panic value of a scenario that must run again.
type missedDeadline struct{ took, limit time.Duration }

func (m missedDeadline) String() string {
	return fmt.Sprintf("the machine is too slow: requests took %v, want at most %v",
		m.took.Round(time.Millisecond), m.limit)
}

// checkDeadlines panics with a missedDeadline if a deadline has passed.
func (s *scenario) checkDeadlines() {
	for _, dl := range s.deadlines {
		if took := s.kc.now().Sub(dl.startedAt); took > dl.limit {
			panic(missedDeadline{took, dl.limit})
		}
	}
}

// Fatal ends the scenario with a failure. If a deadline has passed, which may be the cause, the
// scenario runs again instead.
func (s *scenario) Fatal(args ...any) {
	s.Helper()
	s.checkDeadlines()
	s.T.Fatal(args...)
}

// Fatalf is like Fatal, with a format.
func (s *scenario) Fatalf(format string, args ...any) {
	s.Helper()
	s.checkDeadlines()
	s.T.Fatalf(format, args...)
}

// offsetPattern matches an offset: <iat+300>, <now-2> or <~300> in a recording, and also a span
// such as <now-3..-2> in a running scenario.
var offsetPattern = regexp.MustCompile(`<(now|iat|~)([+-]?\d+)(?:\.\.([+-]?\d+))?>`)

// parseSpan returns the span of a match of offsetPattern.
func parseSpan(match []string) span {
	min, _ := strconv.ParseInt(match[2], 10, 64)
	max := min
	if match[3] != "" {
		max, _ = strconv.ParseInt(match[3], 10, 64)
	}
	return span{min, max}
}

// sameText reports whether the recorded text and the text of a running scenario are equal. A
// recorded offset equals a span that contains it.
func sameText(want, got string) bool {
	return slices.EqualFunc(strings.Split(want, "\n"), strings.Split(got, "\n"), sameLine)
}

// sameLine is like sameText, for one line.
func sameLine(want, got string) bool {
	if want == got {
		return true
	}
	if offsetPattern.ReplaceAllString(want, "<$1>") != offsetPattern.ReplaceAllString(got, "<$1>") {
		return false
	}
	gotMatches := offsetPattern.FindAllStringSubmatch(got, -1)
	for i, match := range offsetPattern.FindAllStringSubmatch(want, -1) {
		wantSpan, gotSpan := parseSpan(match), parseSpan(gotMatches[i])
		if wantSpan.max < gotSpan.min || wantSpan.min > gotSpan.max {
			return false
		}
	}
	return true
}

// roundOffsets replaces each span with its roundest number, for the recording.
func roundOffsets(text string) string {
	return offsetPattern.ReplaceAllStringFunc(text, func(number string) string {
		match := offsetPattern.FindStringSubmatch(number)
		return formatOffset(match[1], roundest(parseSpan(match)))
	})
}

// roundest returns the roundest number in a span.
func roundest(s span) span {
	if s.min <= 0 && s.max >= 0 {
		return span{}
	}
	for _, step := range []int64{3600, 600, 100, 60, 10, 5, 1} {
		for n := s.min; n <= s.max; n++ {
			if n%step == 0 {
				return span{n, n}
			}
		}
	}
	return s
}

// TestClockOffsets checks which recorded offsets are possible, given when requests were in flight.
func TestClockOffsets(t *testing.T) {
	const start = 2_000_000_000
	startedAt := time.Unix(start, 0)
	at := func(seconds float64) time.Time {
		return startedAt.Add(time.Duration(seconds * float64(time.Second)))
	}
	s := &scenario{startedAt: startedAt,
		issueWindows: map[string]window{"old": {at(0.5), at(3.5), 0}}}
	// The response arrived nine seconds after the start; two of the seconds were spent in wait.
	slowResponse := timing{window: window{at(6), at(9), 2 * time.Second}}
	for _, row := range []struct {
		key      string
		claims   object
		recorded string
		want     bool // whether the recorded offset is possible
	}{
		{"iat", object{"iat": start + 6.0}, "<now+0>", true},
		{"iat", object{"iat": start + 9.0}, "<now+0>", true},
		{"iat", object{"iat": start + 5.0}, "<now+0>", false},  // before the request
		{"iat", object{"iat": start + 10.0}, "<now+0>", false}, // after the response
		{"iat", object{"iat": start + 3.0, "jti": "old"}, "<now-2>", true},
		{"iat", object{"iat": start + 0.0, "jti": "old"}, "<now-2>", true},
		{"iat", object{"iat": start + 4.0, "jti": "old"}, "<now-2>", false},
		{"iat", object{"iat": start + 0.0, "jti": "old"}, "<now+0>", false},
		{"exp", object{"iat": start + 6.0, "exp": start + 309.0}, "<iat+300>", true},
		{"exp", object{"iat": start + 9.0, "exp": start + 310.0}, "<iat+300>", false},
		{"exp", object{"iat": start + 9.0, "exp": start + 301.0}, "<iat+300>", false},
		// Exp was set when the session started.
		{"exp", object{"iat": start + 9.0, "exp": start + 304.0}, "<iat+302>", true},
		{"auth_time", object{"iat": start + 6.0, "auth_time": start + 1.0}, "<iat-2>", true},
		{"auth_time", object{"iat": start + 9.0, "auth_time": start - 1.0}, "<iat-2>", false},
		{"auth_time", object{"auth_time": start + 8.0}, "<now-2>", false},
		{"expires_in", object{"expires_in": 300.0}, "<~300>", true},
		{"expires_in", object{"expires_in": 293.0}, "<~300>", true},
		{"expires_in", object{"expires_in": 292.0}, "<~300>", false},
		{"expires_in", object{"expires_in": 301.0}, "<~300>", false},
		// The number is negative if the token expires before a slow server responds.
		{"expires_in", object{"expires_in": 0.0}, "<~0>", true},
		{"expires_in", object{"expires_in": -1.0}, "<~0>", true},
		{"expires_in", object{"expires_in": -8.0}, "<~0>", false},
		{"refresh_expires_in", object{"refresh_expires_in": 0.0}, "0", true}, // for ever
		{"refresh_expires_in", object{"refresh_expires_in": -1.0}, "0", false},
	} {
		tm := slowResponse
		tm.issueWindow = s.issueWindow(row.claims, tm.window)
		got := s.formatNumber(row.key, row.claims[row.key], tm)
		if sameLine(row.recorded, got) != row.want {
			t.Errorf("%s of %v: got %s; matches the recorded %s: %t, want %t", row.key, row.claims,
				got, row.recorded, !row.want, row.want)
		}
	}
	if got := roundOffsets("<iat+298..+301> <now-3..+0> <~35999..36003> <now-2>"); got !=
		"<iat+300> <now+0> <~36000> <now-2>" {
		t.Errorf("roundOffsets: got %s, want <iat+300> <now+0> <~36000> <now-2>", got)
	}
}
