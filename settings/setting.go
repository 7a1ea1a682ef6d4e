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

// A setting is the definition of one setting: how it is parsed and checked, and its documentation.
type setting struct {
	name string

	// defaultValue is the value of the setting if it isn't set, or "" if there is no default. The
	// reference shows defaultText instead of defaultValue, unless defaultText is empty.
	defaultValue, defaultText string

	// requiredText describes the value of a required setting, as in "the client ID". It is empty if
	// the setting is optional. If alternative isn't empty, it is the name of another setting; a
	// required setting may be missing if that setting is set.
	requiredText, alternative string

	dest destination

	// doc is the documentation for operators, in full sentences, with names and values in
	// backticks. The first sentence must make sense by itself, because .local.env.example shows
	// only that sentence.
	doc string

	// fieldNames are the names that errors and logs of CloakQL's packages use for this setting,
	// such as "ClientConfig.Timeout". They are separated by ", ".
	fieldNames string
}

// A destination says where the value of a setting is stored, and which values are accepted.
type destination struct {
	pointer        any          // to a field of a rawSettings
	acceptedValues string       // for the reference; "" means all values of the type
	check          func() error // returns an error if the stored value isn't accepted
}

// anyValue accepts any value of the type.
func anyValue[T any](pointer *T) destination {
	return destination{pointer: pointer, check: func() error { return nil }}
}

// checkedValue accepts the values for which check returns nil.
func checkedValue[T any](pointer *T, check func(T) error) destination {
	return destination{pointer: pointer, check: func() error { return check(*pointer) }}
}

// inRange accepts the values from min to max.
func inRange[T int | int64 | time.Duration](pointer *T, min, max T) destination {
	acceptedRange := format(min) + " to " + format(max)
	return destination{pointer, acceptedRange, func() error {
		if *pointer < min || *pointer > max {
			return fmt.Errorf("is %s: expected %s", format(*pointer), acceptedRange)
		}
		return nil
	}}
}

// zeroOrInRange accepts zero, and the values from min to max.
func zeroOrInRange[T int | int64 | time.Duration](pointer *T, min, max T) destination {
	acceptedRange := "0, or " + format(min) + " to " + format(max)
	return destination{pointer, acceptedRange, func() error {
		if *pointer != 0 && (*pointer < min || *pointer > max) {
			return fmt.Errorf("is %s: expected %s", format(*pointer), acceptedRange)
		}
		return nil
	}}
}

// oneOf accepts each of the words.
func oneOf(pointer *string, words ...string) destination {
	lastIndex := len(words) - 1
	acceptedWords := strings.Join(words[:lastIndex], ", ") + " or " + words[lastIndex]
	return destination{pointer, acceptedWords, func() error {
		if !slices.Contains(words, *pointer) {
			return errors.New("expected " + acceptedWords)
		}
		return nil
	}}
}

// listOf accepts lists without empty items. plural is the word for the items in its errors, such as
// "issuers".
func listOf(pointer *[]string, plural string) destination {
	return destination{pointer: pointer, check: func() error {
		if slices.Contains(*pointer, "") {
			return fmt.Errorf("expected %s with a comma between them, and none empty", plural)
		}
		return nil
	}}
}

// eachItem accepts lists if parse returns no error for any item. It stores the values that parse
// returns.
func eachItem(pointer *[]string, parse func(item string) (string, error)) destination {
	return destination{pointer: pointer, check: func() error {
		var errs []error
		for i, item := range *pointer {
			value, err := parse(item)
			errs = append(errs, err)
			(*pointer)[i] = value
		}
		return errors.Join(errs...)
	}}
}

// rateLimit accepts rate limits. The maximum burst and the minimum interval leave room for package
// throttle, which multiplies some limits by five.
func rateLimit(pointer *throttle.Rate) destination {
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

// A safeError is a parse error whose text can't contain a secret, so it may be shown.
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
		burstText, intervalText, _ := strings.Cut(text, "/")
		burst, burstErr := strconv.Atoi(burstText)
		interval, intervalErr := time.ParseDuration(intervalText)
		return throttle.Rate{Burst: burst, Every: interval}, errors.Join(burstErr, intervalErr)
	},
}

// syntaxOf describes how values of a type are written.
func syntaxOf(t reflect.Type) string {
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

// parse parses and checks the values, and stores them in the destinations of the settings. Package
// env parses them into a struct with a field for each setting.
func parse(settings []setting, values map[string]string, p *problems) {
	fields := make([]reflect.StructField, len(settings))
	environment := map[string]string{}
	for i, s := range settings {
		fields[i] = reflect.StructField{
			Name: s.name, // all capitals, so the field is exported
			Type: reflect.TypeOf(s.dest.pointer).Elem(),
			Tag:  reflect.StructTag(fmt.Sprintf("env:%q envDefault:%q", s.name, s.defaultValue)),
		}
		if value, ok := values[s.name]; ok {
			environment[s.name] = value
		}
	}
	parsedStruct := reflect.New(reflect.StructOf(fields))
	parseErrors := map[string]error{}
	err := env.ParseWithOptions(parsedStruct.Interface(),
		env.Options{Environment: environment, FuncMap: parsers})
	aggregate, _ := errors.AsType[env.AggregateError](err)
	for _, err := range aggregate.Errors {
		parseError, ok := errors.AsType[env.ParseError](err)
		if !ok {
			panic("settings: " + err.Error()) // a setting's type has no parser
		}
		parseErrors[parseError.Name] = parseError.Err
	}
	for i, s := range settings {
		reflect.ValueOf(s.dest.pointer).Elem().Set(parsedStruct.Elem().Field(i))
		err := parseErrors[s.name]
		safeErr, ok := errors.AsType[safeError](err)
		switch {
		case ok:
			p.addEach(s.name, safeErr.error)
		case err != nil: // err isn't in the message, because err shows the value
			expected := syntaxOf(fields[i].Type)
			if s.dest.acceptedValues != "" {
				expected += ": " + s.dest.acceptedValues
			}
			p.add(s.name, "expected %s", expected)
		case s.requiredText != "" && values[s.name] == "" && values[s.alternative] == "":
			p.add(s.name, "is missing: expected %s", s.requiredText)
		default:
			if err := s.dest.check(); err != nil {
				p.addEach(s.name, err)
			}
			continue
		}
		p.suppress(s.name) // the setting now has its zero value, which may cause further problems
	}
}
