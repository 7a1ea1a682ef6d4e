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

// A row describes one setting: how it is parsed and checked, and what the reference says about it.
type row struct {
	name string

	// defaultValue is used if the setting is unset; "" means that there is none. The reference
	// shows defaultText instead if it isn't empty.
	defaultValue, defaultText string

	// required says what is expected of a setting without a default: "the client id". The setting
	// named unless may be set instead.
	required, unless string

	to destination

	// doc is the documentation for operators, in full sentences, with names and values in
	// backticks. The first sentence must make sense by itself: .local.env.example shows only that.
	doc string

	// library is what CloakQL's packages call the setting in errors and in the log. Several names
	// are separated by ", ".
	library string
}

// A destination is where a setting's value is stored, and which values are accepted.
type destination struct {
	pointer any          // to a field of a draft
	values  string       // the accepted values, for the reference; "" if any value of the type is
	check   func() error // returns an error if the stored value isn't accepted
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

// zeroOr accepts zero, and the values from min to max.
func zeroOr[T int | int64 | time.Duration](pointer *T, min, max T) destination {
	values := "0, or " + format(min) + " to " + format(max)
	return destination{pointer, values, func() error {
		if *pointer != 0 && (*pointer < min || *pointer > max) {
			return fmt.Errorf("is %s: expected %s", format(*pointer), values)
		}
		return nil
	}}
}

// oneOf accepts each of the words.
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

// listOf accepts lists without empty items. In errors, items is the word for them.
func listOf(pointer *[]string, items string) destination {
	return destination{pointer: pointer, check: func() error {
		if slices.Contains(*pointer, "") {
			return fmt.Errorf("expected %s with a comma between them, and none empty", items)
		}
		return nil
	}}
}

// each accepts lists whose items read accepts, and stores what read returns.
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

// rate accepts rate limits. The maximum burst is a fifth of throttle's, which multiplies some
// limits by five.
func rate(pointer *throttle.Rate) destination {
	return destination{pointer: pointer, check: func() error {
		if r := *pointer; r.Burst < 1 || r.Burst > 2_000 || r.Every < 5*time.Millisecond ||
			r.Every > 24*time.Hour {
			return errors.New("expected " + rateForm +
				": a burst of 1 to 2000, and an interval of 5ms to 24h")
		}
		return nil
	}}
}

const rateForm = "burst/interval, such as 10/1m"

// format writes a number or a duration the way settings do: 1m, not 1m0s.
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

// formatRate writes a rate the way settings do.
func formatRate(r throttle.Rate) string { return strconv.Itoa(r.Burst) + "/" + format(r.Every) }

// A safeError is a parse error whose text may be shown, because it contains no value that could be
// secret.
type safeError struct{ error }

// parsers parse the types that package env doesn't support.
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
			return nil, safeError{err}
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

// form describes how values of a type are written.
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

// splitList splits text at commas, trims the items and drops duplicates.
func splitList(text string) (list []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// parse stores the values in the rows' destinations and checks each of them. Package env does the
// parsing, into a struct with a field for each row.
func parse(rows []row, values map[string]string, p *problems) {
	fields := make([]reflect.StructField, len(rows))
	environment := map[string]string{}
	for i, r := range rows {
		fields[i] = reflect.StructField{
			Name: r.name, // all capitals, so the field is exported
			Type: reflect.TypeOf(r.to.pointer).Elem(),
			Tag:  reflect.StructTag(fmt.Sprintf("env:%q envDefault:%q", r.name, r.defaultValue)),
		}
		if value, ok := values[r.name]; ok {
			environment[r.name] = value
		}
	}
	parsed := reflect.New(reflect.StructOf(fields))
	failed := map[string]error{}
	err := env.ParseWithOptions(parsed.Interface(),
		env.Options{Environment: environment, FuncMap: parsers})
	all, _ := errors.AsType[env.AggregateError](err)
	for _, err := range all.Errors {
		parseError, ok := errors.AsType[env.ParseError](err)
		if !ok {
			panic("settings: " + err.Error()) // a row's type has no parser
		}
		failed[parseError.Name] = parseError.Err
	}
	for i, r := range rows {
		reflect.ValueOf(r.to.pointer).Elem().Set(parsed.Elem().Field(i))
		err := failed[r.name]
		safe, ok := errors.AsType[safeError](err)
		switch {
		case ok:
			p.addEach(r.name, safe.error)
		case err != nil: // env's own error shows the value
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
		p.suppress(r.name) // the zero value may cause further errors
	}
}
