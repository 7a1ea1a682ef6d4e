package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/throttle"
)

// limitSettings are what one request's document and variables may be: a setting for each field of
// limits.Limits, whose comments say what is counted. The tag range holds the least and the most.
type limitSettings struct {
	Tokens             int `env:"TOKENS" envDefault:"1000" range:"100 10000"`
	Nesting            int `env:"NESTING" envDefault:"32" range:"16 128"`
	NameBytes          int `env:"NAME_BYTES" envDefault:"128" range:"32 1024"`
	StringBytes        int `env:"STRING_BYTES" envDefault:"16384" range:"256 1048576"`
	NumberBytes        int `env:"NUMBER_BYTES" envDefault:"64" range:"16 1024"`
	Depth              int `env:"DEPTH" envDefault:"15" range:"2 50"`
	Fields             int `env:"FIELDS" envDefault:"1000" range:"10 10000"`
	RootFields         int `env:"ROOT_FIELDS" envDefault:"50" range:"1 1000"`
	Aliases            int `env:"ALIASES" envDefault:"100" range:"1 1000"`
	Operations         int `env:"OPERATIONS" envDefault:"20" range:"1 100"`
	Fragments          int `env:"FRAGMENTS" envDefault:"50" range:"1 500"`
	Spreads            int `env:"SPREADS" envDefault:"200" range:"1 2000"`
	Directives         int `env:"DIRECTIVES" envDefault:"100" range:"1 1000"`
	DirectivesAt       int `env:"DIRECTIVES_AT" envDefault:"5" range:"1 50"`
	Arguments          int `env:"ARGUMENTS" envDefault:"50" range:"5 1000"`
	Variables          int `env:"VARIABLES" envDefault:"50" range:"1 500"`
	Values             int `env:"VALUES" envDefault:"250" range:"10 10000"`
	ValueDepth         int `env:"VALUE_DEPTH" envDefault:"10" range:"1 50"`
	ValueBytes         int `env:"VALUE_BYTES" envDefault:"32768" range:"1024 1048576"`
	Introspection      int `env:"INTROSPECTION" envDefault:"2" range:"1 2"`
	IntrospectionRoots int `env:"INTROSPECTION_ROOTS" envDefault:"10" range:"5 100"`
	VariableBytes      int `env:"VARIABLE_BYTES" envDefault:"65536" range:"1024 1048576"`
	VariableItems      int `env:"VARIABLE_ITEMS" envDefault:"1000" range:"10 100000"`
	VariableDepth      int `env:"VARIABLE_DEPTH" envDefault:"10" range:"1 50"`
	Coercions          int `env:"COERCIONS" envDefault:"5000" range:"100 100000"`
}

// document are the limits of this server's documents. A request can sign in once, refresh once and
// sign out once: what asks more often than that guesses.
func (s settings) document() limits.Limits {
	l := s.Limits
	return limits.Limits{
		Bytes: s.MaxBodyBytes, Tokens: l.Tokens, Nesting: l.Nesting, NameBytes: l.NameBytes, StringBytes: l.StringBytes,
		NumberBytes: l.NumberBytes, Depth: l.Depth, Fields: l.Fields, RootFields: l.RootFields, Aliases: l.Aliases,
		Operations: l.Operations, Fragments: l.Fragments, Spreads: l.Spreads, Directives: l.Directives, DirectivesAt: l.DirectivesAt,
		Arguments: l.Arguments, Variables: l.Variables, Values: l.Values, ValueDepth: l.ValueDepth, ValueBytes: l.ValueBytes,
		Introspection: l.Introspection, IntrospectionRoots: l.IntrospectionRoots,
		VariableBytes: l.VariableBytes, VariableItems: l.VariableItems, VariableDepth: l.VariableDepth, Coercions: l.Coercions,
		Most: map[string]int{"login": 1, "refresh": 1, "logout": 1},
	}
}

// A budget is written as the number of attempts at once, and how long it takes until there is one
// more: 10/1m.
type budget throttle.Rate

// UnmarshalText reads a budget. Its errors show nothing of the text: settings can hold anything.
func (b *budget) UnmarshalText(text []byte) error {
	burst, every, _ := strings.Cut(string(text), "/")
	var err, errEvery error
	b.Burst, err = strconv.Atoi(burst)
	b.Every, errEvery = time.ParseDuration(every)
	return errors.Join(err, errEvery)
}

// expected says what the text of a setting must be.
func expected(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 10s or 24h"
	case reflect.TypeFor[bool](), reflect.TypeFor[*bool]():
		return "true or false"
	case reflect.TypeFor[budget]():
		return "attempts and how long it takes until there is one more, such as 10/1m"
	}
	return "a whole number"
}

// A setting is one of settings, those inside of its parts included.
type setting struct {
	name, preset string
	field        reflect.StructField
	value        reflect.Value
}

// all are the settings in their order.
func (s settings) all() []setting {
	var list []setting
	var add func(v reflect.Value, prefix string)
	add = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if inner, ok := field.Tag.Lookup("envPrefix"); ok {
				add(v.Field(i), prefix+inner)
				continue
			}
			list = append(list, setting{prefix + field.Tag.Get("env"), field.Tag.Get("envDefault"), field, v.Field(i)})
		}
	}
	add(reflect.ValueOf(s), "")
	return list
}

// checkRanges holds the whole numbers to the ranges in their tags.
func (s settings) checkRanges(f *faults) {
	for _, one := range s.all() {
		var least, most int64
		if text, ok := one.field.Tag.Lookup("range"); !ok || one.value.Kind() != reflect.Int {
			continue
		} else if _, err := fmt.Sscan(text, &least, &most); err != nil {
			panic("config: the range of " + one.name + " isn't two numbers")
		}
		if value := one.value.Int(); value < least || value > most {
			f.add(one.name, "is %d: expected %d to %d", value, least, most)
		}
	}
}

// checkBudgets makes the budgets of attempts, and the list of proxies.
func (c *Settings) checkBudgets(s settings, f *faults) {
	c.Server.Attempts = throttle.Config{
		Account: throttle.Rate(s.LoginAccountLimit), AccountSlow: throttle.Rate(s.LoginSlowLimit),
		Address:  throttle.Rate(s.LoginAddressLimit),
		Attempts: throttle.Rate(s.AddressLimit), Token: throttle.Rate(s.RefreshTokenLimit),
		TokenAddress: throttle.Rate(s.RefreshAddressLimit),
	}
	for _, one := range []struct {
		name string
		rate throttle.Rate
	}{
		{"LOGIN_ACCOUNT_LIMIT", c.Server.Attempts.Account}, {"LOGIN_ACCOUNT_SLOW_LIMIT", c.Server.Attempts.AccountSlow},
		{"LOGIN_ADDRESS_LIMIT", c.Server.Attempts.Address}, {"ADDRESS_LIMIT", c.Server.Attempts.Attempts},
		{"REFRESH_TOKEN_LIMIT", c.Server.Attempts.Token}, {"REFRESH_ADDRESS_LIMIT", c.Server.Attempts.TokenAddress},
	} {
		if one.rate.Burst < 1 || one.rate.Burst > 2_000 || one.rate.Every < 5*time.Millisecond || one.rate.Every > 24*time.Hour {
			f.add(one.name, "expected attempts and how long it takes until there is one more, such as 10/1m: 1 to 2000, and 5ms to 24h")
		}
	}
	// Those under way count too: a smaller budget would refuse what MAX_LOGINS lets in.
	if c.Server.Attempts.Address.Burst < s.MaxLogins && !f.any("LOGIN_ADDRESS_LIMIT", "MAX_LOGINS") {
		f.add("LOGIN_ADDRESS_LIMIT", "is %d attempts at once: expected MAX_LOGINS, which is %d, or more", c.Server.Attempts.Address.Burst, s.MaxLogins)
	}
	var err error
	if c.Server.HTTP.Proxies, err = throttle.ParseProxies(s.TrustedProxies); err != nil {
		f.addEach("TRUSTED_PROXIES", err)
	}
	for _, proxy := range c.Server.HTTP.Proxies {
		if proxy.Addr().Is4() && proxy.Bits() < 8 || proxy.Addr().Is6() && proxy.Bits() < 16 {
			c.Warnings = append(c.Warnings, fmt.Sprintf("TRUSTED_PROXIES holds %v, where many "+
				"clients may be: each of them can claim any address, and so has no budget. "+
				"Name your proxies, not networks with clients in them", proxy))
		}
	}
}

// checkDocuments reads the manifest of trusted documents.
func (c *Settings) checkDocuments(s settings, f *faults) {
	if mode := s.TrustedDocumentsMode; mode != "log" && mode != "enforce" {
		f.add("TRUSTED_DOCUMENTS_MODE", "expected enforce or log")
	}
	if s.TrustedDocuments == "" {
		return
	}
	c.Server.GraphQL.ManifestLogOnly = s.TrustedDocumentsMode == "log"
	file, err := openText(s.TrustedDocuments)
	switch {
	case errors.Is(err, errUTF16):
		f.add("TRUSTED_DOCUMENTS", "names a file that %v", err)
		return
	case err != nil:
		f.add("TRUSTED_DOCUMENTS", "can't be read: %v", err)
		return
	}
	defer file.Close()
	if c.Server.GraphQL.Manifest, err = graphqlhttp.ReadManifest(file); err != nil {
		f.add("TRUSTED_DOCUMENTS", "%v", err)
	}
}
