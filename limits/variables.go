package limits

import (
	"encoding/json"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// checkVariables returns an error if the variables of a request, or their uses in the document,
// exceed a limit. It stops at the first error, and returns the number of values that it visited.
func (l Limits) checkVariables(values map[string]any,
	uses map[string]variableUse) (items int, err *gqlerror.Error) {
	m := variableMeter{limits: l}
	coercions := 0
	for name, value := range values {
		itemsBefore := m.items
		if err = m.countField(name, value, 0); err != nil {
			return m.items, err
		}
		coercions = sum(coercions, product(uses[name].times, m.items-itemsBefore))
	}
	for name, use := range uses {
		if _, found := values[name]; !found {
			coercions = sum(coercions, product(use.times, 1+use.defaultItems))
		}
	}
	if coercions > l.Coercions {
		return m.items, tooLarge(apierror.ReasonCoercions,
			"The variables are used too often: their uses expand to %d values; the limit is %d",
			coercions, l.Coercions)
	}
	return m.items, nil
}

// A variableMeter counts the values and bytes of variables.
type variableMeter struct {
	limits       Limits // with defaults filled in
	items, bytes int
}

// countField counts a variable or an object field, with its name.
func (m *variableMeter) countField(name string, value any, depth int) *gqlerror.Error {
	m.bytes += len(name)
	return m.countValue(value, depth)
}

// countValue counts a value and the values in it. depth is the number of enclosing lists and
// objects.
func (m *variableMeter) countValue(value any, depth int) *gqlerror.Error {
	m.items++
	switch value := value.(type) {
	case string:
		m.bytes += len(value)
	case json.Number:
		m.bytes += len(value)
	case map[string]any, []any:
		depth++
	}
	switch {
	case m.bytes > m.limits.VariableBytes:
		return tooLarge(apierror.ReasonBytes,
			"The variables are too large: they have at least %d bytes; the limit is %d", m.bytes,
			m.limits.VariableBytes)
	case m.items > m.limits.VariableItems:
		return tooLarge(apierror.ReasonVariables,
			"The variables are too large: they have at least %d list items and object fields; "+
				"the limit is %d", m.items, m.limits.VariableItems)
	case depth > m.limits.VariableDepth:
		return tooLarge(apierror.ReasonDepth,
			"The variables are too deep: they nest to depth %d or deeper; the limit is %d", depth,
			m.limits.VariableDepth)
	}
	switch value := value.(type) {
	case map[string]any:
		for name, content := range value {
			if err := m.countField(name, content, depth); err != nil {
				return err
			}
		}
	case []any:
		for _, item := range value {
			if err := m.countValue(item, depth); err != nil {
				return err
			}
		}
	}
	return nil
}
