package settings

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// problems collects errors about settings.
type problems struct {
	list       []problem
	suppressed map[string]bool // names of settings; add ignores further problems of these settings
}

// A problem is an error about the named setting, or about the settings file if name is empty.
type problem struct{ name, text string }

// add adds a problem, unless problems of the named setting are suppressed.
func (p *problems) add(name, format string, args ...any) {
	if !p.suppressed[name] {
		p.list = append(p.list, problem{name, fmt.Sprintf(format, args...)})
	}
}

// addEach adds a problem for each of the errors that err joins.
func (p *problems) addEach(name string, err error) {
	if joinedErr, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joinedErr.Unwrap() {
			p.addEach(name, err)
		}
		return
	}
	p.add(name, "%s", strings.TrimPrefix(err.Error(), "keycloak: "))
}

// suppress makes add ignore further problems of these settings, which would only be consequences of
// a problem that is already reported.
func (p *problems) suppress(names ...string) {
	if p.suppressed == nil {
		p.suppressed = map[string]bool{}
	}
	for _, name := range names {
		p.suppressed[name] = true
	}
}

// hasAny reports whether one of these settings has a problem. If so, their values can't be
// compared.
func (p *problems) hasAny(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return p.suppressed[name] ||
			slices.ContainsFunc(p.list, func(q problem) bool { return q.name == name })
	})
}

// err returns an error that joins the problems, in the order of the settings, and then the notes.
// It returns nil if there are no problems.
func (p *problems) err(notes ...string) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b problem) int {
		return cmp.Compare(slices.Index(settingNames, a.name), slices.Index(settingNames, b.name))
	})
	var errs []error
	for _, q := range p.list {
		text := q.text
		if q.name != "" {
			text = q.name + ": " + text
		}
		errs = append(errs, errors.New(text))
	}
	for _, note := range notes {
		errs = append(errs, errors.New(note))
	}
	return errors.Join(errs...)
}
