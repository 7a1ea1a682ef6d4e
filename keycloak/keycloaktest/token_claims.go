package keycloaktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// How a mapper's values become a claim, as Keycloak's OIDCAttributeMapperHelper does it.

// putOne writes one value. It is never a list, whatever the mapper says.
func (x *mapping) putOne(config map[string]string, value string) {
	x.put(cloneWith(config, "multivalued", "false"), []any{value})
}

// put writes values that aren't empty, as putAll does.
func (x *mapping) put(config map[string]string, values []any) {
	x.putAll(config,
		slices.DeleteFunc(slices.Clone(values), func(value any) bool { return value == "" }))
}

// putAll writes values under the claim's name, in the type that the mapper names: all of them if it
// says so, or the first. A value that isn't of that type is null in a list, and nothing by itself.
func (x *mapping) putAll(config map[string]string, values []any) {
	path := splitClaim(config["claim.name"])
	if len(values) == 0 || len(path) == 0 {
		return
	}
	many := config["multivalued"] == "true"
	if !many {
		values = values[:1]
	}
	var typed []any
	for _, value := range values {
		converted, ok := convert(value, config["jsonType.label"])
		if !ok && !many {
			return
		}
		typed = append(typed, converted)
	}
	written := typed[0]
	if len(path) > 1 { // exp.x would make an object of exp
		written = claims{}
	}
	if !mayWrite(path[0], written) || path[0] == "acr" && x.target == realmfile.ForUserinfo {
		return
	}
	into := x.into
	for _, step := range path[:len(path)-1] {
		inner, ok := into[step].(claims)
		if !ok {
			inner = claims{}
			into[step] = inner
		}
		into = inner
	}
	last := path[len(path)-1]
	switch {
	case len(path) == 1 && last == "acr":
		into[last] = fmt.Sprint(typed[0])
	case !many:
		into[last] = typed[0]
	default:
		// Two mappers of one claim add to one list: microprofile-jwt and a group mapper share
		// "groups".
		before, _ := into[last].([]any)
		all := slices.Clone(before)
		for _, value := range typed {
			if !slices.ContainsFunc(before, func(p any) bool {
				return reflect.DeepEqual(p, value)
			}) {
				all = append(all, value)
			}
		}
		into[last] = all
	}
}

// mayWrite reports whether a mapper may write a claim: some are only the server's, some of one type
// (observed, Keycloak 26.7.4).
func mayWrite(claim string, value any) bool {
	switch claim {
	case "iss", "exp", "iat", "jti", "typ", "nonce", "session_state", "scope":
		return false
	case "acr":
		_, object := value.(claims)
		return !object
	case "auth_time":
		_, ok := value.(int64)
		return ok
	case "email_verified":
		_, ok := value.(bool)
		return ok
	}
	return true
}

// splitClaim splits a.b.c. A dot of a name is written as \., and one at the beginning of a name is
// part of it, too.
func splitClaim(name string) []string {
	var parts []string
	part := ""
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '\\' && i+1 < len(name):
			i++
			part += name[i : i+1]
		case c != '.':
			part += name[i : i+1]
		case part == "": // what begins with a dot isn't split any further
			return append(parts, strings.ReplaceAll(name[i:], `\.`, "."))
		default:
			parts, part = append(parts, part), ""
		}
	}
	if part != "" {
		parts = append(parts, part)
	}
	return parts
}

// convert is a value in a mapper's type.
func convert(value any, label string) (any, bool) {
	text, ok := value.(string)
	if !ok {
		return value, true
	}
	switch label {
	case "long":
		n, err := strconv.ParseInt(text, 10, 64)
		return orNull(n, err)
	case "int":
		n, err := strconv.ParseInt(text, 10, 32)
		return orNull(n, err)
	case "boolean":
		return strings.EqualFold(text, "true"), true
	case "JSON":
		decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
		decoder.UseNumber() // a number stays as it is written
		var document any
		err := decoder.Decode(&document)
		if err == nil {
			if _, more := decoder.Token(); more != io.EOF {
				return nil, false
			}
		}
		return document, err == nil
	}
	return text, true
}

// orNull is nothing where there is an error.
func orNull(value any, err error) (any, bool) {
	if err != nil {
		return nil, false
	}
	return value, true
}
