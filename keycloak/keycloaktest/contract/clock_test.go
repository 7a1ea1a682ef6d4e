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

// How times are compared: a time in a response was made while a request was in flight, which can
// take long on a slow machine. The record has the offset of the time from its response, as if only
// x.wait took time. An exchange passes if that offset is possible, given when its requests were
// sent and their responses received.

// patience is the timeout of requests and of waiting for Keycloak.
const patience = 3 * time.Minute

// A window is when a request was in flight, by the server's clock.
type window struct {
	sent, received time.Time
	waited         time.Duration // how long the exchange had waited before, in x.wait
}

func (w window) zero() bool { return w.sent.IsZero() }

// A span is the possible values of a number, from min to max.
type span struct{ min, max int64 }

// clockText formats an offset, such as <iat+300>, or <iat+299..+300> if both are possible.
func clockText(from string, s span) string {
	format := "%+d"
	if from == "~" {
		format = "%d"
	}
	if s.min == s.max {
		return fmt.Sprintf("<"+from+format+">", s.min)
	}
	return fmt.Sprintf("<"+from+format+".."+format+">", s.min, s.max)
}

// offset returns the offset of a time that was made in w from the response to the request from, as
// if requests took no time.
func (w window) offset(at int64, from window) span {
	apart := w.waited - from.waited
	return span{at - w.received.Add(-apart).Unix(), at - w.sent.Add(-apart).Unix()}
}

// offset is like window.offset for a time that any request of the exchange may have made.
func (x *exchange) offset(at int64, from window) span {
	return span{at - from.received.Unix(), at - x.started.Add(from.waited).Unix()}
}

// remaining returns the number of remaining seconds, as if requests took no time.
func (x *exchange) remaining(seconds int64, w window) span {
	return span{seconds, seconds + w.received.Unix() - x.started.Add(w.waited).Unix()}
}

// sinceStart returns the window from the start of the exchange until now.
func (x *exchange) sinceStart() window { return window{x.started, x.kc.now(), x.waited} }

// resetStart makes the exchange start now: only times that are made from now on will be recorded.
func (x *exchange) resetStart() { x.started = x.kc.now().Add(-x.waited) }

// secondOf returns the time in a claim.
func (x *exchange) secondOf(claim any) time.Time { return time.Unix(seconds(claim), 0) }

// waitUntil waits until t, which may be in the past.
func (x *exchange) waitUntil(t time.Time) {
	if d := t.Sub(x.kc.now()); d > 0 {
		x.wait(d)
	}
}

// noteTokens stores the window of the request that issued the tokens of a response.
func (x *exchange) noteTokens(body string, w window) {
	var members object
	json.Unmarshal([]byte(body), &members)
	for _, value := range members {
		if decoded, ok := decodeToken(text(value)); ok {
			if id := text(decoded.claims["jti"]); id != "" && x.issuedBy[id].zero() {
				x.issuedBy[id] = w
			}
		}
	}
}

// issued returns the window of the request that issued these claims, or zero if they have no iat.
func (x *exchange) issued(claims object, w window) window {
	if claims["iat"] == nil {
		return window{}
	}
	if by := x.issuedBy[text(claims["jti"])]; !by.zero() {
		return by
	}
	return w
}

// within starts a time limit for requests that must be done before something expires. The limit
// ends with the exchange, or when done is called. If the requests took longer than d, the machine
// was too slow, and the exchange runs again.
func (x *exchange) within(d time.Duration) (done func()) {
	l := &limit{x.kc.now(), d}
	x.limits = append(x.limits, l)
	return func() {
		x.checkLimits()
		x.limits = slices.DeleteFunc(x.limits, func(other *limit) bool { return other == l })
	}
}

// A limit is a time limit.
type limit struct {
	started time.Time
	max     time.Duration
}

// tooSlow is the panic of an exchange that must run again.
type tooSlow struct{ took, max time.Duration }

func (s tooSlow) String() string {
	return fmt.Sprintf("the machine is too slow: requests took %v, want at most %v",
		s.took.Round(time.Millisecond), s.max)
}

// checkLimits panics with tooSlow if a time limit has passed.
func (x *exchange) checkLimits() {
	for _, l := range x.limits {
		if took := x.kc.now().Sub(l.started); took > l.max {
			panic(tooSlow{took, l.max})
		}
	}
}

// Fatal ends the exchange with a failure, unless the machine was too slow, which may be the cause.
func (x *exchange) Fatal(args ...any) {
	x.Helper()
	x.checkLimits()
	x.T.Fatal(args...)
}

func (x *exchange) Fatalf(format string, args ...any) {
	x.Helper()
	x.checkLimits()
	x.T.Fatalf(format, args...)
}

// clockNumber matches an offset: <iat+300>, <now-2> or <~300> in the record, and also a span such
// as <now-3..-2> in a running exchange.
var clockNumber = regexp.MustCompile(`<(now|iat|~)([+-]?\d+)(?:\.\.([+-]?\d+))?>`)

// parseSpan returns the span of a match of clockNumber.
func parseSpan(match []string) span {
	min, _ := strconv.ParseInt(match[2], 10, 64)
	max := min
	if match[3] != "" {
		max, _ = strconv.ParseInt(match[3], 10, 64)
	}
	return span{min, max}
}

// sameText compares line by line. An offset is the same if the recorded one is in the span.
func sameText(want, got string) bool {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	return slices.EqualFunc(wants, gots, sameLine)
}

func sameLine(want, got string) bool {
	if want == got {
		return true
	}
	if clockNumber.ReplaceAllString(want, "<$1>") != clockNumber.ReplaceAllString(got, "<$1>") {
		return false
	}
	gots := clockNumber.FindAllStringSubmatch(got, -1)
	for i, match := range clockNumber.FindAllStringSubmatch(want, -1) {
		w, g := parseSpan(match), parseSpan(gots[i])
		if w.max < g.min || w.min > g.max {
			return false
		}
	}
	return true
}

// roundClocks replaces spans by their roundest number, for the record.
func roundClocks(text string) string {
	return clockNumber.ReplaceAllStringFunc(text, func(number string) string {
		match := clockNumber.FindStringSubmatch(number)
		return clockText(match[1], roundest(parseSpan(match)))
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

// Offsets compare as possible or impossible, given when requests were in flight.
func TestClockNumbers(t *testing.T) {
	const second0 = 2_000_000_000
	started := time.Unix(second0, 0)
	at := func(seconds float64) time.Time {
		return started.Add(time.Duration(seconds * float64(time.Second)))
	}
	x := &exchange{started: started, issuedBy: map[string]window{"old": {at(0.5), at(3.5), 0}}}
	// nine seconds after the start, of which the exchange waited two
	slow := timing{window: window{at(6), at(9), 2 * time.Second}}
	for _, row := range []struct {
		key      string
		claims   object
		recorded string
		want     bool // whether the recorded offset is possible
	}{
		{"iat", object{"iat": second0 + 6.0}, "<now+0>", true},
		{"iat", object{"iat": second0 + 9.0}, "<now+0>", true},
		{"iat", object{"iat": second0 + 5.0}, "<now+0>", false},  // before the request
		{"iat", object{"iat": second0 + 10.0}, "<now+0>", false}, // after the response
		{"iat", object{"iat": second0 + 3.0, "jti": "old"}, "<now-2>", true},
		{"iat", object{"iat": second0 + 0.0, "jti": "old"}, "<now-2>", true},
		{"iat", object{"iat": second0 + 4.0, "jti": "old"}, "<now-2>", false},
		{"iat", object{"iat": second0 + 0.0, "jti": "old"}, "<now+0>", false},
		{"exp", object{"iat": second0 + 6.0, "exp": second0 + 309.0}, "<iat+300>", true},
		{"exp", object{"iat": second0 + 9.0, "exp": second0 + 310.0}, "<iat+300>", false},
		{"exp", object{"iat": second0 + 9.0, "exp": second0 + 301.0}, "<iat+300>", false},
		{"exp", object{"iat": second0 + 9.0, "exp": second0 + 304.0}, "<iat+302>", true}, // set when the session started
		{"auth_time", object{"iat": second0 + 6.0, "auth_time": second0 + 1.0}, "<iat-2>", true},
		{"auth_time", object{"iat": second0 + 9.0, "auth_time": second0 - 1.0}, "<iat-2>", false},
		{"auth_time", object{"auth_time": second0 + 8.0}, "<now-2>", false},
		{"expires_in", object{"expires_in": 300.0}, "<~300>", true},
		{"expires_in", object{"expires_in": 293.0}, "<~300>", true},
		{"expires_in", object{"expires_in": 292.0}, "<~300>", false},
		{"expires_in", object{"expires_in": 301.0}, "<~300>", false},
		// A slow server's number is negative if the token expires before the response.
		{"expires_in", object{"expires_in": 0.0}, "<~0>", true},
		{"expires_in", object{"expires_in": -1.0}, "<~0>", true},
		{"expires_in", object{"expires_in": -8.0}, "<~0>", false},
		{"refresh_expires_in", object{"refresh_expires_in": 0.0}, "0", true}, // for ever
		{"refresh_expires_in", object{"refresh_expires_in": -1.0}, "0", false},
	} {
		n := slow
		n.issued = x.issued(row.claims, n.window)
		got := x.number(row.key, row.claims[row.key], n)
		if sameLine(row.recorded, got) != row.want {
			t.Errorf("%s of %v is %s; possible as %s: %t, want %t", row.key, row.claims, got,
				row.recorded, !row.want, row.want)
		}
	}
	if got := roundClocks("<iat+298..+301> <now-3..+0> <~35999..36003> <now-2>"); got !=
		"<iat+300> <now+0> <~36000> <now-2>" {
		t.Errorf("roundClocks() = %s", got)
	}
}
