package limits

import (
	"encoding/json"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// variables measures the variables of one request, and what they become in the places of the document that
// use them. It stops at the first limit that is passed, and returns how many items it saw.
func (d Limits) variables(given map[string]any, uses map[string]use) (items int, fault *gqlerror.Error) {
	m := weigher{limits: d}
	coercions := 0
	for name, value := range given {
		before := m.items
		if fault = m.member(name, value, 0); fault != nil {
			return m.items, fault
		}
		coercions = sum(coercions, product(uses[name].times, m.items-before))
	}
	for name, use := range uses {
		if _, there := given[name]; !there {
			coercions = sum(coercions, product(use.times, 1+use.fallback))
		}
	}
	if coercions > d.Coercions {
		return m.items, tooLarge(apierror.ReasonCoercions, "The variables are used too often: with their items they stand for %d values, allowed are %d", coercions, d.Coercions)
	}
	return m.items, nil
}

type weigher struct {
	limits       Limits // with its defaults
	items, bytes int
}

func (w *weigher) member(name string, value any, depth int) *gqlerror.Error {
	w.bytes += len(name)
	return w.item(value, depth)
}

func (w *weigher) item(value any, depth int) *gqlerror.Error {
	w.items++
	switch value := value.(type) {
	case string:
		w.bytes += len(value)
	case json.Number:
		w.bytes += len(value)
	case map[string]any, []any:
		depth++
	}
	switch {
	case w.bytes > w.limits.VariableBytes:
		return tooLarge(apierror.ReasonBytes, "The variables are too large: they have at least %d bytes, allowed are %d", w.bytes, w.limits.VariableBytes)
	case w.items > w.limits.VariableItems:
		return tooLarge(apierror.ReasonVariables, "The variables are too large: they have at least %d items and members, allowed are %d", w.items, w.limits.VariableItems)
	case depth > w.limits.VariableDepth:
		return tooLarge(apierror.ReasonDepth, "The variables are too deep: they nest to depth %d or deeper, allowed is %d", depth, w.limits.VariableDepth)
	}
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if fault := w.member(name, member, depth); fault != nil {
				return fault
			}
		}
	case []any:
		for _, item := range value {
			if fault := w.item(item, depth); fault != nil {
				return fault
			}
		}
	}
	return nil
}
