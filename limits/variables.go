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
	c := variableCounter{limits: l}
	coercions := 0
	for name, value := range values {
		itemsBefore := c.items
		if err = c.countField(name, value, 0); err != nil {
			return c.items, err
		}
		coercions = saturatingAdd(coercions, saturatingMul(uses[name].count, c.items-itemsBefore))
	}
	for name, use := range uses {
		if _, found := values[name]; !found {
			coercions = saturatingAdd(coercions, saturatingMul(use.count, 1+use.defaultItems))
		}
	}
	if coercions > l.Coercions {
		return c.items, tooLargeError(apierror.ReasonCoercions,
			"The variables are used too often: their uses expand to %d values; the limit is %d",
			coercions, l.Coercions)
	}
	return c.items, nil
}

// A variableCounter counts the values and bytes of variables.
type variableCounter struct {
	limits       Limits // with defaults filled in
	items, bytes int
}

// countField counts a variable or an object field, with its name.
func (c *variableCounter) countField(name string, value any, depth int) *gqlerror.Error {
	c.bytes += len(name)
	return c.countValue(value, depth)
}

// countValue counts a value and the values in it. depth is the number of enclosing lists and
// objects.
func (c *variableCounter) countValue(value any, depth int) *gqlerror.Error {
	c.items++
	switch value := value.(type) {
	case string:
		c.bytes += len(value)
	case json.Number:
		c.bytes += len(value)
	case map[string]any, []any:
		depth++
	}
	switch {
	case c.bytes > c.limits.VariableBytes:
		return tooLargeError(apierror.ReasonBytes,
			"The variables are too large: they have at least %d bytes; the limit is %d", c.bytes,
			c.limits.VariableBytes)
	case c.items > c.limits.VariableItems:
		return tooLargeError(apierror.ReasonVariables,
			"The variables are too large: they have at least %d list items and object fields; "+
				"the limit is %d", c.items, c.limits.VariableItems)
	case depth > c.limits.VariableDepth:
		return tooLargeError(apierror.ReasonDepth,
			"The variables are too deep: they nest to depth %d or deeper; the limit is %d", depth,
			c.limits.VariableDepth)
	}
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			if err := c.countField(name, field, depth); err != nil {
				return err
			}
		}
	case []any:
		for _, item := range value {
			if err := c.countValue(item, depth); err != nil {
				return err
			}
		}
	}
	return nil
}
