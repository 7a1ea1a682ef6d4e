package apierror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/identity"
)

var (
	errOutOfStock = errors.New("none of " + canary + " is left")
	errReserved   = fmt.Errorf("reserved: %w", errOutOfStock)
	outOfStock    = Row{Err: errOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"}
)

// A row of a product answers for its error wherever it is found, with its own message.
func TestPresenter_Present_rowOfAProduct(t *testing.T) {
	const want = `{"message":"This is sold out","extensions":{"code":"OUT_OF_STOCK"}}`
	for name, err := range map[string]error{
		"itself":                  errOutOfStock,
		"wrapped":                 fmt.Errorf("buy: %w", errReserved),
		"located":                 &gqlerror.Error{Message: canary, Err: errOutOfStock},
		"beside another":          errors.Join(errDatabase, errOutOfStock),
		"around one of CloakQL's": fmt.Errorf("%w: %w", errOutOfStock, context.DeadlineExceeded),
		"inside one of CloakQL's": fmt.Errorf("%w: %w", identity.ErrProviderUnavailable,
			errOutOfStock),
		"with an operator's words": errors.Join(errOutOfStock, &identity.Error{Detail: canary}),
	} {
		p, log := newPresenter(true, Row{Err: errDatabase, Code: "X", Message: "x"}, outOfStock)
		p.Rows[0].Err = errors.New("another")
		if got := shown(t, p.Present(t.Context(), err)); got != want || log.Len() != 0 {
			t.Errorf("%s: %s, logged %q, want %s and nothing logged", name, got, log, want)
		}
	}
}

// A row with a reason and a level has both.
func TestPresenter_Present_reasonAndLevel(t *testing.T) {
	p, log := newPresenter(false,
		Row{errOutOfStock, CodeServiceUnavailable, "WAREHOUSE", "Later", slog.LevelWarn})
	check(t, shown(t, p.Present(t.Context(), errOutOfStock)),
		`{"message":"Later","extensions":{"code":"SERVICE_UNAVAILABLE","reason":"WAREHOUSE"}}`)
	if got := log.String(); !strings.Contains(got, "level=WARN") ||
		!strings.Contains(got, "code=SERVICE_UNAVAILABLE") {
		t.Errorf("logged %q, want a warning with the code", got)
	}
}

// The first row of a product that fits is the one that counts.
func TestPresenter_Present_firstRow(t *testing.T) {
	p, _ := newPresenter(false,
		Row{Err: errReserved, Code: "RESERVED", Message: "Somebody was faster"}, outOfStock)
	for err, want := range map[error]Code{errReserved: "RESERVED", errOutOfStock: "OUT_OF_STOCK"} {
		if got := p.Present(t.Context(), err).Extensions["code"]; got != string(want) {
			t.Errorf("%v is %v, want %s", err, got, want)
		}
	}
	if err := p.Validate(); err != nil {
		t.Errorf("Validate() = %v", err)
	}
}

// Each fault is reported by Validate; where it isn't called, the error is hidden and logged, or has
// CloakQL's row.
func TestPresenter_Validate(t *testing.T) {
	const hidden = `{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}`
	for name, tt := range map[string]struct {
		row         Row
		says, shown string
	}{
		"nothing":  {Row{}, "row 0 (<nil>) has no Err", hidden},
		"no error": {Row{Code: "X", Message: "x"}, "row 0 (<nil>) has no Err", hidden},
		"no code":  {Row{Err: errOutOfStock, Message: "x"}, `has the Code ""`, hidden},
		"lower case": {Row{Err: errOutOfStock, Code: "outOfStock", Message: "x"},
			`has the Code "outOfStock"`, hidden},
		"a long code": {Row{Err: errOutOfStock, Code: Code(strings.Repeat("A", 65)),
			Message: "x"}, "at most 64 capitals", hidden},
		"a bad reason": {Row{Err: errOutOfStock, Code: "X", Reason: "sold out", Message: "x"},
			`has the Reason "sold out"`, hidden},
		"no message": {Row{Err: errOutOfStock, Code: "X"}, "has no Message", hidden},
		"one of ours": {Row{Err: identity.ErrBadCredentials, Code: "X", Message: canary},
			"replaces a row of CloakQL's", ""},
		"an ended time": {Row{Err: context.DeadlineExceeded, Code: "X", Message: canary}, "replaces a row of CloakQL's", ""},
	} {
		p, log := newPresenter(true, tt.row)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: Validate() = %v, want %q in it", name, err, tt.says)
		}
		failure := tt.row.Err
		if failure == nil {
			failure = errOutOfStock
		}
		want := tt.shown
		if want == "" {
			ours, _ := newPresenter(true)
			want = shown(t, ours.Present(t.Context(), failure))
		}
		got := shown(t, p.Present(t.Context(), failure))
		check(t, got, want)
		if tt.row.Err != nil && !strings.Contains(log.String(), "error row isn't used") {
			t.Errorf("%s: logged %q, want what is wrong with the row", name, log)
		}
	}
}

// All faults are told at once, each with the number of its row.
func TestPresenter_Validate_everyFault(t *testing.T) {
	p, _ := newPresenter(false, outOfStock, Row{}, Row{Err: errReserved, Code: "X", Message: "x"},
		outOfStock)
	err := p.Validate()
	for _, want := range []string{"row 1 (<nil>) has no Err", "row 2 (reserved", "row 3 (none",
		"is never used"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want %q in it", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), "row 0") {
		t.Errorf("Validate() = %v, want nothing of row 0, which is good", err)
	}
}

// An error type of a product that can't be compared is no reason to panic.
func TestPresenter_Validate_uncomparable(t *testing.T) {
	p, _ := newPresenter(false,
		Row{Err: list{"a"}, Code: "X", Message: "x"}, Row{Err: list{"a"}, Code: "X", Message: "x"})
	if err := p.Validate(); err != nil {
		t.Errorf("Validate() = %v", err)
	}
	if got := p.Present(t.Context(), list{"a"}).Extensions["code"]; got != "INTERNAL_SERVER_ERROR" {
		t.Errorf("the code is %v", got)
	}
}

type list []string

func (l list) Error() string { return strings.Join(l, " ") }

// The zero Presenter and none at all show nothing beyond CloakQL's rows, and log by slog.Default.
func TestPresenter_zero(t *testing.T) {
	log := slog.Default()
	t.Cleanup(func() { slog.SetDefault(log) })
	for name, p := range map[string]*Presenter{"zero": {}, "nil": nil} {
		_, lines := newPresenter(false)
		slog.SetDefault(slog.New(slog.NewTextHandler(lines, nil)))
		check(t,
			shown(t,
				p.Present(t.Context(),
					&identity.Error{Reason: identity.ErrTokenExpired, Detail: canary})),
			`{"message":"Token has expired","extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_EXPIRED"}}`)
		check(t, shown(t, p.Present(t.Context(), errDatabase)),
			`{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}`)
		check(t, shown(t, p.Present(t.Context(), p.Recover(t.Context(), canary))),
			`{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}`)
		if err := p.Validate(); err != nil {
			t.Errorf("%s: Validate() = %v", name, err)
		}
		if got := lines.String(); strings.Count(got, "\n") != 2 ||
			!strings.Contains(got, "connection refused") {
			t.Errorf("%s: logged %q, want the hidden error and the panic", name, got)
		}
	}
}

// What Rows returns is the caller's to change.
func TestRows_areACopy(t *testing.T) {
	Rows()[0].Message = canary
	if table[0].Message == canary {
		t.Error("a caller of Rows changes the table")
	}
}
