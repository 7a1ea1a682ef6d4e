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

// How times are compared. A time in an answer is made while a request is under way, and a slow
// machine takes long for that. The record says how far a time is from its answer when nothing takes
// any time but pass; what is played holds when that distance is possible, given when the exchange's
// requests were sent and answered.

// patience is how long the suite waits for what must happen.
const patience = 3 * time.Minute

// A window is when a request was under way, by the side's clock.
type window struct {
	sent, received time.Time
	passed         time.Duration // what pass had let go by in the exchange until then
}

func (w window) zero() bool { return w.sent.IsZero() }

// A span is the whole numbers from min to max.
type span struct{ min, max int64 }

// clockText writes a number that comes from a clock: <iat+300>, or <iat+299..+300> where either is
// possible.
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

// distance is how far a time that was made in w is from the answer of another request, as if
// neither had taken time.
func (w window) distance(at int64, from window) span {
	apart := w.passed - from.passed
	return span{at - w.received.Add(-apart).Unix(), at - w.sent.Add(-apart).Unix()}
}

// distance is window.distance for a time that any request of the exchange may have made.
func (x *exchange) distance(at int64, from window) span {
	return span{at - from.received.Unix(), at - x.began.Add(from.passed).Unix()}
}

// left is how many seconds were left, as if no request had taken time.
func (x *exchange) left(seconds int64, w window) span {
	return span{seconds, seconds + w.received.Unix() - x.began.Add(w.passed).Unix()}
}

// sinceBegin is the window of whatever happened since the exchange began.
func (x *exchange) sinceBegin() window { return window{x.began, x.side.now(), x.passed} }

// beginAnew says that whatever is shown from now on holds no time that was made before.
func (x *exchange) beginAnew() { x.began = x.side.now().Add(-x.passed) }

// secondOf is a time of a claim.
func (x *exchange) secondOf(claim any) time.Time { return time.Unix(seconds(claim), 0) }

// passTo lets time go by until then; it may be over already.
func (x *exchange) passTo(then time.Time) {
	if d := then.Sub(x.side.now()); d > 0 {
		x.pass(d)
	}
}

// noteTokens keeps which request issued the tokens of an answer.
func (x *exchange) noteTokens(body string, w window) {
	var members object
	json.Unmarshal([]byte(body), &members)
	for _, value := range members {
		if opened, ok := openToken(text(value)); ok {
			if id := text(opened.claims["jti"]); id != "" && x.issuedBy[id].zero() {
				x.issuedBy[id] = w
			}
		}
	}
}

// issued is the window of the request that issued these claims, or zero when they have no iat.
func (x *exchange) issued(claims object, w window) window {
	if claims["iat"] == nil {
		return window{}
	}
	if by := x.issuedBy[text(claims["jti"])]; !by.zero() {
		return by
	}
	return w
}

// within begins a time that may not take longer than d, because something ends then. It ends when
// the returned function is called, or with the exchange. If it took longer, the machine was too
// slow, and the exchange is played again.
func (x *exchange) within(d time.Duration) (done func()) {
	l := &limit{x.side.now(), d}
	x.limits = append(x.limits, l)
	return func() {
		x.wantInTime()
		x.limits = slices.DeleteFunc(x.limits, func(other *limit) bool { return other == l })
	}
}

// A limit is how long what began may take.
type limit struct {
	began time.Time
	most  time.Duration
}

// tooSlow is the panic of an exchange that is to be played again.
type tooSlow struct{ took, most time.Duration }

func (s tooSlow) String() string {
	return fmt.Sprintf("too slow to see what ends: it took %v, and may take %v",
		s.took.Round(time.Millisecond), s.most)
}

// wantInTime panics with tooSlow when time is up.
func (x *exchange) wantInTime() {
	for _, l := range x.limits {
		if took := x.side.now().Sub(l.began); took > l.most {
			panic(tooSlow{took, l.most})
		}
	}
}

// Fatal fails the exchange, unless the machine was too slow: what went wrong may have gone wrong
// because of that.
func (x *exchange) Fatal(args ...any) {
	x.Helper()
	x.wantInTime()
	x.T.Fatal(args...)
}

func (x *exchange) Fatalf(format string, args ...any) {
	x.Helper()
	x.wantInTime()
	x.T.Fatalf(format, args...)
}

// A number that comes from a clock stands in the record as <iat+300>, <now-2> or <~300>; what is
// played may have several that are possible: <now-3..-2>.
var clockNumber = regexp.MustCompile(`<(now|iat|~)([+-]?\d+)(?:\.\.([+-]?\d+))?>`)

func parseSpan(found []string) span {
	min, _ := strconv.ParseInt(found[2], 10, 64)
	max := min
	if found[3] != "" {
		max, _ = strconv.ParseInt(found[3], 10, 64)
	}
	return span{min, max}
}

// sameText compares line by line. Clock numbers are the same when the recorded one is among those
// that are possible.
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
	for i, found := range clockNumber.FindAllStringSubmatch(want, -1) {
		w, g := parseSpan(found), parseSpan(gots[i])
		if w.max < g.min || w.min > g.max {
			return false
		}
	}
	return true
}

// settled is a text for the record: of the clock numbers that are possible, the roundest stand in
// it.
func settled(text string) string {
	return clockNumber.ReplaceAllStringFunc(text, func(number string) string {
		found := clockNumber.FindStringSubmatch(number)
		return clockText(found[1], roundest(parseSpan(found)))
	})
}

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

// What these tests pin is what the suite's verdicts on times rest on.
func TestClockNumbers(t *testing.T) {
	const second0 = 2_000_000_000
	began := time.Unix(second0, 0)
	at := func(seconds float64) time.Time {
		return began.Add(time.Duration(seconds * float64(time.Second)))
	}
	x := &exchange{began: began, issuedBy: map[string]window{"old": {at(0.5), at(3.5), 0}}}
	// two seconds were let pass, seven weren't
	slow := normal{window: window{at(6), at(9), 2 * time.Second}}
	for _, row := range []struct {
		key    string
		claims object
		want   string // what the record says
		holds  bool
	}{
		{"iat", object{"iat": second0 + 6.0}, "<now+0>", true},
		{"iat", object{"iat": second0 + 9.0}, "<now+0>", true},
		{"iat", object{"iat": second0 + 5.0}, "<now+0>", false},  // before it was asked for
		{"iat", object{"iat": second0 + 10.0}, "<now+0>", false}, // after it was answered
		{"iat", object{"iat": second0 + 3.0, "jti": "old"}, "<now-2>", true},
		{"iat", object{"iat": second0 + 0.0, "jti": "old"}, "<now-2>", true},
		{"iat", object{"iat": second0 + 4.0, "jti": "old"}, "<now-2>", false},
		{"iat", object{"iat": second0 + 0.0, "jti": "old"}, "<now+0>", false},
		{"exp", object{"iat": second0 + 6.0, "exp": second0 + 309.0}, "<iat+300>", true},
		{"exp", object{"iat": second0 + 9.0, "exp": second0 + 310.0}, "<iat+300>", false},
		{"exp", object{"iat": second0 + 9.0, "exp": second0 + 301.0}, "<iat+300>", false},
		{"exp", object{"iat": second0 + 9.0, "exp": second0 + 304.0}, "<iat+302>", true}, // of a session that began when it began
		{"auth_time", object{"iat": second0 + 6.0, "auth_time": second0 + 1.0}, "<iat-2>", true},
		{"auth_time", object{"iat": second0 + 9.0, "auth_time": second0 - 1.0}, "<iat-2>", false},
		{"auth_time", object{"auth_time": second0 + 8.0}, "<now-2>", false},
		{"expires_in", object{"expires_in": 300.0}, "<~300>", true},
		{"expires_in", object{"expires_in": 293.0}, "<~300>", true},
		{"expires_in", object{"expires_in": 292.0}, "<~300>", false},
		{"expires_in", object{"expires_in": 301.0}, "<~300>", false},
		// Of what has ended already when it is answered: a slow server counts below zero.
		{"expires_in", object{"expires_in": 0.0}, "<~0>", true},
		{"expires_in", object{"expires_in": -1.0}, "<~0>", true},
		{"expires_in", object{"expires_in": -8.0}, "<~0>", false},
		{"refresh_expires_in", object{"refresh_expires_in": 0.0}, "0", true}, // for ever
		{"refresh_expires_in", object{"refresh_expires_in": -1.0}, "0", false},
	} {
		n := slow
		n.issued = x.issued(row.claims, n.window)
		got := x.number(row.key, row.claims[row.key], n)
		if sameLine(row.want, got) != row.holds {
			t.Errorf("%s of %v is %s: that it is %s is %t, want %t", row.key, row.claims, got,
				row.want, !row.holds, row.holds)
		}
	}
	if got := settled("<iat+298..+301> <now-3..+0> <~35999..36003> <now-2>"); got !=
		"<iat+300> <now+0> <~36000> <now-2>" {
		t.Error("settled to", got)
	}
}
