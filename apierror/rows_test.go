package apierror

import (
	"bytes"
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
	outOfStockRow = Row{Err: errOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"}
)

// An application's row matches its error, also if the error is wrapped. It takes precedence over
// CloakQL's rows.
func TestPresenter_Present_applicationRow(t *testing.T) {
	const want = `{"message":"This is sold out","extensions":{"code":"OUT_OF_STOCK"}}`
	for name, err := range map[string]error{
		"unwrapped":             errOutOfStock,
		"wrapped":               fmt.Errorf("buy: %w", errReserved),
		"in a gqlerror.Error":   &gqlerror.Error{Message: canary, Err: errOutOfStock},
		"joined":                errors.Join(errDatabase, errOutOfStock),
		"wraps CloakQL's error": fmt.Errorf("%w: %w", errOutOfStock, context.DeadlineExceeded),
		"wrapped by CloakQL's error": fmt.Errorf("%w: %w", identity.ErrProviderUnavailable,
			errOutOfStock),
		"with a detail": errors.Join(errOutOfStock, &identity.Error{Detail: canary}),
	} {
		p, log := newPresenter(true, Row{Err: errDatabase, Code: "X", Message: "x"}, outOfStockRow)
		p.Rows[0].Err = errors.New("another error") // so that the first row doesn't match
		if got := errorJSON(t, p.Present(t.Context(), err)); got != want || log.Len() != 0 {
			t.Errorf("%s: got %s and logged %q, want %s and nothing", name, got, log, want)
		}
	}
}

// Present adds the row's reason to the error, and logs the error at the row's level.
func TestPresenter_Present_reasonAndLevel(t *testing.T) {
	p, log := newPresenter(false,
		Row{errOutOfStock, CodeServiceUnavailable, "WAREHOUSE", "Later", slog.LevelWarn})
	checkEqual(t, errorJSON(t, p.Present(t.Context(), errOutOfStock)),
		`{"message":"Later","extensions":{"code":"SERVICE_UNAVAILABLE","reason":"WAREHOUSE"}}`)
	if got := log.String(); !strings.Contains(got, "level=WARN") ||
		!strings.Contains(got, "code=SERVICE_UNAVAILABLE") {
		t.Errorf("logged %q, want a warning with the code", got)
	}
}

// If several of the application's rows match an error, Present uses the first of them.
func TestPresenter_Present_firstRow(t *testing.T) {
	p, _ := newPresenter(false,
		Row{Err: errReserved, Code: "RESERVED", Message: "This is reserved"}, outOfStockRow)
	for err, want := range map[error]Code{errReserved: "RESERVED", errOutOfStock: "OUT_OF_STOCK"} {
		if got := p.Present(t.Context(), err).Extensions["code"]; got != string(want) {
			t.Errorf("Present(%v): code %v, want %s", err, got, want)
		}
	}
	if err := p.Validate(); err != nil {
		t.Errorf("Validate() = %v, want no error", err)
	}
}

// Validate returns an error for each invalid row. If Validate isn't called, Present ignores the
// row: it uses CloakQL's row for the error or, if there is none, hides and logs the error.
func TestPresenter_Validate(t *testing.T) {
	const internalError = `{"message":"Internal ` +
		`error","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}`
	for name, tt := range map[string]struct {
		row         Row
		want        string // in Validate's error
		wantPresent string // the client's error; "" means the error of CloakQL's row
	}{
		"zero value": {Row{}, "row 0 (<nil>) has no Err", internalError},
		"no Err":     {Row{Code: "X", Message: "x"}, "row 0 (<nil>) has no Err", internalError},
		"no Code":    {Row{Err: errOutOfStock, Message: "x"}, `has the Code ""`, internalError},
		"Code in lower case": {Row{Err: errOutOfStock, Code: "outOfStock", Message: "x"},
			`has the Code "outOfStock"`, internalError},
		"Code too long": {Row{Err: errOutOfStock, Code: Code(strings.Repeat("A", 65)),
			Message: "x"}, "at most 64 capitals", internalError},
		"Reason with a blank": {Row{Err: errOutOfStock, Code: "X", Reason: "sold out",
			Message: "x"},
			`has the Reason "sold out"`, internalError},
		"no Message": {Row{Err: errOutOfStock, Code: "X"}, "has no Message", internalError},
		"Err is CloakQL's": {Row{Err: identity.ErrBadCredentials, Code: "X", Message: canary},
			"replaces one of CloakQL's rows", ""},
		"Err is DeadlineExceeded": {Row{Err: context.DeadlineExceeded, Code: "X", Message: canary},
			"replaces one of CloakQL's rows", ""},
	} {
		p, log := newPresenter(true, tt.row)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Validate() = %v, want %q in it", name, err, tt.want)
		}
		rowErr := tt.row.Err
		if rowErr == nil {
			rowErr = errOutOfStock
		}
		want := tt.wantPresent
		if want == "" {
			defaultPresenter, _ := newPresenter(true)
			want = errorJSON(t, defaultPresenter.Present(t.Context(), rowErr))
		}
		got := errorJSON(t, p.Present(t.Context(), rowErr))
		checkEqual(t, got, want)
		if tt.row.Err != nil && !strings.Contains(log.String(), "error row isn't used") {
			t.Errorf("%s: logged %q, want a line that says that the row isn't used", name, log)
		}
	}
}

// The error of Validate lists all invalid rows, each with its index.
func TestPresenter_Validate_severalRows(t *testing.T) {
	p, _ := newPresenter(false, outOfStockRow, Row{},
		Row{Err: errReserved, Code: "X", Message: "x"}, outOfStockRow)
	err := p.Validate()
	for _, want := range []string{"row 1 (<nil>) has no Err", "row 2 (reserved", "row 3 (none",
		"is never used"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want %q in it", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), "row 0") {
		t.Errorf("Validate() = %v, want nothing about row 0, which is valid", err)
	}
}

// Validate and Present don't panic if the type of an application's error isn't comparable.
func TestPresenter_Validate_uncomparable(t *testing.T) {
	row := Row{Err: listError{"a"}, Code: "X", Message: "x"}
	p, _ := newPresenter(false, row, row)
	if err := p.Validate(); err != nil {
		t.Errorf("Validate() = %v, want no error", err)
	}
	got := p.Present(t.Context(), listError{"a"}).Extensions["code"]
	if got != "INTERNAL_SERVER_ERROR" {
		t.Errorf("Present() has the code %v, want INTERNAL_SERVER_ERROR", got)
	}
}

// A listError is an error that isn't comparable.
type listError []string

func (l listError) Error() string { return strings.Join(l, " ") }

// The zero Presenter and a nil Presenter have only CloakQL's rows, and log to slog.Default().
func TestPresenter_zeroValue(t *testing.T) {
	defaultLog := slog.Default()
	t.Cleanup(func() { slog.SetDefault(defaultLog) })
	for name, p := range map[string]*Presenter{"zero": {}, "nil": nil} {
		var log bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		checkEqual(t,
			errorJSON(t,
				p.Present(t.Context(),
					&identity.Error{Reason: identity.ErrTokenExpired, Detail: canary})),
			`{"message":"Token has `+
				`expired","extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_EXPIRED"}}`)
		checkEqual(t, errorJSON(t, p.Present(t.Context(), errDatabase)),
			`{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}`)
		checkEqual(t, errorJSON(t, p.Present(t.Context(), p.Recover(t.Context(), canary))),
			`{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}`)
		if err := p.Validate(); err != nil {
			t.Errorf("%s: Validate() = %v, want no error", name, err)
		}
		if got := log.String(); strings.Count(got, "\n") != 2 ||
			!strings.Contains(got, "connection refused") {
			t.Errorf("%s: logged %q, want the hidden error and the panic", name, got)
		}
	}
}

// Rows returns a copy, so a caller can't change the table.
func TestRows_copy(t *testing.T) {
	Rows()[0].Message = canary
	if table[0].Message == canary {
		t.Error("changing the result of Rows changed the table")
	}
}
