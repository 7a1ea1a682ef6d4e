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

// The functions in this file turn a mapper's values into a claim, as Keycloak's
// OIDCAttributeMapperHelper does.

// setSingleValue sets the claim to a single value, even if the mapper is multivalued.
func (run *mapperRun) setSingleValue(config map[string]string, value string) {
	run.setNonEmptyValues(cloneWith(config, "multivalued", "false"), []any{value})
}

// setNonEmptyValues is like setValues, but drops empty values.
func (run *mapperRun) setNonEmptyValues(config map[string]string, values []any) {
	run.setValues(config,
		slices.DeleteFunc(slices.Clone(values), func(value any) bool { return value == "" }))
}

// setValues sets the mapper's claim to all values if the mapper is multivalued, or else to the
// first value. It converts the values to the mapper's type. In a list, a value that can't be
// converted becomes null. If a single value can't be converted, the claim is omitted.
func (run *mapperRun) setValues(config map[string]string, values []any) {
	path := splitClaimName(config["claim.name"])
	if len(values) == 0 || len(path) == 0 {
		return
	}
	isMultivalued := config["multivalued"] == "true"
	if !isMultivalued {
		values = values[:1]
	}
	var convertedValues []any
	for _, value := range values {
		convertedValue, ok := convertValue(value, config["jsonType.label"])
		if !ok && !isMultivalued {
			return
		}
		convertedValues = append(convertedValues, convertedValue)
	}
	topLevelValue := convertedValues[0]
	if len(path) > 1 { // a claim exp.x would replace exp with an object
		topLevelValue = claims{}
	}
	if !maySetClaim(path[0], topLevelValue) ||
		(path[0] == "acr" || path[0] == "auth_time") && run.target == realmfile.TargetUserinfo {
		return
	}
	parent := run.claims
	for _, name := range path[:len(path)-1] {
		child, ok := parent[name].(claims)
		if !ok {
			child = claims{}
			parent[name] = child
		}
		parent = child
	}
	name := path[len(path)-1]
	switch {
	case len(path) == 1 && name == "acr":
		parent[name] = fmt.Sprint(convertedValues[0])
	case !isMultivalued:
		parent[name] = convertedValues[0]
	default:
		// Mappers with the same claim add to the same list: the scope microprofile-jwt and a group
		// mapper both write "groups".
		existingValues, _ := parent[name].([]any)
		mergedValues := slices.Clone(existingValues)
		for _, value := range convertedValues {
			if !slices.ContainsFunc(existingValues, func(other any) bool {
				return reflect.DeepEqual(other, value)
			}) {
				mergedValues = append(mergedValues, value)
			}
		}
		parent[name] = mergedValues
	}
}

// maySetClaim reports whether a mapper may set a claim to value. Some claims are reserved, and some
// require a certain type (observed with Keycloak 26.7.4).
func maySetClaim(claim string, value any) bool {
	switch claim {
	case "iss", "exp", "iat", "jti", "typ", "nonce", "session_state", "scope":
		return false
	case "acr":
		_, isObject := value.(claims)
		return !isObject
	case "auth_time":
		_, ok := value.(int64)
		return ok
	case "email_verified":
		_, ok := value.(bool)
		return ok
	}
	return true
}

// splitClaimName splits a claim name such as a.b.c at its dots, except for escaped dots (\.). Like
// Keycloak, it stops splitting at a part that starts with a dot.
func splitClaimName(name string) []string {
	var parts []string
	part := ""
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '\\' && i+1 < len(name):
			i++
			part += name[i : i+1]
		case c != '.':
			part += name[i : i+1]
		case part == "": // starts with a dot
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

// convertValue converts a value to a mapper's jsonType. ok is false if that fails.
func convertValue(value any, jsonType string) (convertedValue any, ok bool) {
	text, isString := value.(string)
	if !isString {
		return value, true
	}
	switch jsonType {
	case "long":
		n, err := strconv.ParseInt(text, 10, 64)
		return nilIfError(n, err)
	case "int":
		n, err := strconv.ParseInt(text, 10, 32)
		return nilIfError(n, err)
	case "boolean":
		return strings.EqualFold(text, "true"), true
	case "JSON":
		decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
		decoder.UseNumber() // keeps numbers as written
		var parsed any
		err := decoder.Decode(&parsed)
		if err == nil {
			if _, endErr := decoder.Token(); endErr != io.EOF {
				return nil, false
			}
		}
		return parsed, err == nil
	}
	return text, true
}

// nilIfError returns (value, true), or (nil, false) if there is an error.
func nilIfError(value any, err error) (any, bool) {
	if err != nil {
		return nil, false
	}
	return value, true
}
