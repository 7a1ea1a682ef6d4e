package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/throttle"
)

// A row is one setting. All that is said of a setting, in the reference and in errors, comes from
// its row.
type row struct {
	name string

	// defaultValue is used if the setting isn't set; "" is none. defaultText is what the reference
	// says in its place, where there is more to say than a value.
	defaultValue, defaultText string

	// required is what is expected of a setting that has to be set: "the client id". The setting
	// unless may be set instead.
	required, unless string

	to destination

	// doc is for operators, in full sentences, with names and values in backticks. The first
	// sentence stands by itself.
	doc string

	// library is the name that CloakQL's packages have for the setting in errors and log lines, or
	// several with ", " between them.
	library string
}

// A destination is where a setting's value goes, and what has to be true of it there.
type destination struct {
	pointer any          // to a field of a draft
	values  string       // the accepted values, for people; "" is any of the type
	check   func() error // returns what is wrong with the value
}

// to accepts any value of the type.
func to[T any](pointer *T) destination {
	return destination{pointer: pointer, check: func() error { return nil }}
}

// checked accepts the values for which check returns nil.
func checked[T any](pointer *T, check func(T) error) destination {
	return destination{pointer: pointer, check: func() error { return check(*pointer) }}
}

// within accepts the values from min to max.
func within[T int | int64 | time.Duration](pointer *T, min, max T) destination {
	values := format(min) + " to " + format(max)
	return destination{pointer, values, func() error {
		if *pointer < min || *pointer > max {
			return fmt.Errorf("is %s: expected %s", format(*pointer), values)
		}
		return nil
	}}
}

// zeroOr accepts zero besides.
func zeroOr[T int | int64 | time.Duration](pointer *T, min, max T) destination {
	values := "0, or " + format(min) + " to " + format(max)
	return destination{pointer, values, func() error {
		if *pointer != 0 && (*pointer < min || *pointer > max) {
			return fmt.Errorf("is %s: expected %s", format(*pointer), values)
		}
		return nil
	}}
}

// oneOf accepts the words of a list.
func oneOf(pointer *string, words ...string) destination {
	last := len(words) - 1
	values := strings.Join(words[:last], ", ") + " or " + words[last]
	return destination{pointer, values, func() error {
		if !slices.Contains(words, *pointer) {
			return errors.New("expected " + values)
		}
		return nil
	}}
}

// listOf accepts lists without an empty item.
func listOf(pointer *[]string, items string) destination {
	return destination{pointer: pointer, check: func() error {
		if slices.Contains(*pointer, "") {
			return fmt.Errorf("expected %s with a comma between them, and none empty", items)
		}
		return nil
	}}
}

// each accepts lists of what read accepts, and keeps what it returns.
func each(pointer *[]string, read func(item string) (string, error)) destination {
	return destination{pointer: pointer, check: func() error {
		var errs []error
		for i, item := range *pointer {
			value, err := read(item)
			errs = append(errs, err)
			(*pointer)[i] = value
		}
		return errors.Join(errs...)
	}}
}

// rate accepts budgets of attempts. An address or an account shares five times its budget, which
// throttle bounds.
func rate(pointer *throttle.Rate) destination {
	return destination{pointer: pointer, check: func() error {
		if r := *pointer; r.Burst < 1 || r.Burst > 2_000 || r.Every < 5*time.Millisecond ||
			r.Every > 24*time.Hour {
			return errors.New("expected " + rateForm + ": 1 to 2000, and 5ms to 24h")
		}
		return nil
	}}
}

const rateForm = "attempts and how long it takes until there is one more, such as 10/1m"

// format returns a number or a duration as a setting has it: 1m, not 1m0s.
func format[T int | int64 | time.Duration](value T) string {
	text := fmt.Sprint(value)
	if _, ok := any(value).(time.Duration); ok {
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		if text == "0s" {
			text = "0"
		}
	}
	return text
}

// formatRate returns a budget as a setting has it.
func formatRate(r throttle.Rate) string { return strconv.Itoa(r.Burst) + "/" + format(r.Every) }

// A shownError is an error whose text may be shown: it holds no value of a setting that could be
// secret.
type shownError struct{ error }

// parsers read the types that env doesn't know.
var parsers = map[reflect.Type]env.ParserFunc{
	reflect.TypeFor[identity.Secret](): func(text string) (any, error) {
		return identity.NewSecret(text), nil
	},
	reflect.TypeFor[[]string](): func(text string) (any, error) {
		return splitList(text), nil
	},
	reflect.TypeFor[[]netip.Prefix](): func(text string) (any, error) {
		proxies, err := throttle.ParseProxies(splitList(text))
		if err != nil {
			return nil, shownError{err}
		}
		return proxies, nil
	},
	reflect.TypeFor[throttle.Rate](): func(text string) (any, error) {
		burst, every, _ := strings.Cut(text, "/")
		number, errBurst := strconv.Atoi(burst)
		interval, errEvery := time.ParseDuration(every)
		return throttle.Rate{Burst: number, Every: interval}, errors.Join(errBurst, errEvery)
	},
}

// form says how the values of a type are written.
func form(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 10s or 24h"
	case reflect.TypeFor[bool](), reflect.TypeFor[*bool]():
		return "true or false"
	case reflect.TypeFor[throttle.Rate]():
		return rateForm
	}
	return "a whole number"
}

// splitList returns the items between commas without the blanks around them, each once.
func splitList(text string) (list []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// parse writes the values to the rows' destinations and checks each by itself. The reader is env:
// it is given a struct with a field for each row.
func parse(rows []row, values map[string]string, p *problems) {
	fields := make([]reflect.StructField, len(rows))
	ours := map[string]string{}
	for i, r := range rows {
		fields[i] = reflect.StructField{
			Name: r.name, // which is an exported identifier too
			Type: reflect.TypeOf(r.to.pointer).Elem(),
			Tag:  reflect.StructTag(fmt.Sprintf("env:%q envDefault:%q", r.name, r.defaultValue)),
		}
		if value, ok := values[r.name]; ok {
			ours[r.name] = value
		}
	}
	parsed := reflect.New(reflect.StructOf(fields))
	failed := map[string]error{}
	err := env.ParseWithOptions(parsed.Interface(),
		env.Options{Environment: ours, FuncMap: parsers})
	all, _ := errors.AsType[env.AggregateError](err)
	for _, err := range all.Errors {
		parseError, ok := errors.AsType[env.ParseError](err)
		if !ok {
			panic("settings: " + err.Error()) // a row of a type that nothing reads
		}
		failed[parseError.Name] = parseError.Err
	}
	for i, r := range rows {
		reflect.ValueOf(r.to.pointer).Elem().Set(parsed.Elem().Field(i))
		err := failed[r.name]
		shown, ok := errors.AsType[shownError](err)
		switch {
		case ok:
			p.addEach(r.name, shown.error)
		case err != nil: // env's own text shows the value
			expected := form(fields[i].Type)
			if r.to.values != "" {
				expected += ": " + r.to.values
			}
			p.add(r.name, "expected %s", expected)
		case r.required != "" && values[r.name] == "" && values[r.unless] == "":
			p.add(r.name, "is missing: expected %s", r.required)
		default:
			if err := r.to.check(); err != nil {
				p.addEach(r.name, err)
			}
			continue
		}
		p.suppress(r.name) // its value is zero, which may be wrong in other ways
	}
}
