package contract

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// These patterns match the parts of an HTML page that are recorded: its ID, its title, its
// messages, and the fields of its forms.
var (
	pageIDPattern    = regexp.MustCompile(`data-page-id="([^"]*)"`)
	pageTitlePattern = regexp.MustCompile(`(?s)id="kc-page-title"[^>]*>(.*?)</h1>`)
	// pageMessagePattern matches errors and instructions.
	pageMessagePattern = regexp.MustCompile(
		`(?s)<(?:span|p|div|h4)[^>]*(?:id="input-error[^"]*"|class="(?:[^"]* ` +
			`)?(?:kc-feedback-text|instruction|pf-v5-c-alert__title)(?: ` +
			`[^"]*)?")[^>]*>(.*?)</(?:span|p|div|h4)>`)
	formPattern      = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	fieldPattern     = regexp.MustCompile(`<(?:input|button|select|textarea)\b([^>]*)>`)
	attributePattern = regexp.MustCompile(`([\w-]+)\s*=\s*"([^"]*)"`)
	tagPattern       = regexp.MustCompile(`(?s)<[^>]*>|<!--.*?-->`)
)

// An htmlForm is a form element.
type htmlForm struct {
	id, method, action string
	fields             []htmlField
}

// An htmlField is an input, button, select or textarea element.
type htmlField struct{ name, inputType, value string }

// isPage reports whether the response is HTML.
func (r response) isPage() bool {
	return strings.HasPrefix(r.header.Get("Content-Type"), "text/html")
}

// forms returns the forms of a page. A form's fields are its elements that have a name.
func (r response) forms() []htmlForm {
	var forms []htmlForm
	for _, block := range formPattern.FindAllStringSubmatch(r.body, -1) {
		attributes := attributesOf(block[1])
		f := htmlForm{id: attributes["id"], method: strings.ToLower(attributes["method"]),
			action: attributes["action"]}
		for _, field := range fieldPattern.FindAllStringSubmatch(block[2], -1) {
			if field := attributesOf(field[1]); field["name"] != "" {
				f.fields = append(f.fields, htmlField{field["name"], field["type"], field["value"]})
			}
		}
		forms = append(forms, f)
	}
	return forms
}

// attributesOf returns the attributes in the text of a tag.
func attributesOf(tag string) map[string]string {
	attributes := map[string]string{}
	for _, a := range attributePattern.FindAllStringSubmatch(tag, -1) {
		attributes[a[1]] = html.UnescapeString(a[2])
	}
	return attributes
}

// formatPage formats a page for the record, without its HTML.
func (s *scenario) formatPage(resp response) string {
	var lines strings.Builder
	id, title := "(none)", ""
	if m := pageIDPattern.FindStringSubmatch(resp.body); m != nil {
		id = m[1]
	}
	if m := pageTitlePattern.FindStringSubmatch(resp.body); m != nil {
		title = s.normalize(textContent(m[1]))
	}
	fmt.Fprintf(&lines, "page %s: %s\n", id, title)
	var seen []string
	for _, m := range pageMessagePattern.FindAllStringSubmatch(resp.body, -1) {
		if msg := s.normalize(textContent(m[1])); msg != "" && !slices.Contains(seen, msg) {
			seen = append(seen, msg)
			fmt.Fprintf(&lines, "says: %s\n", msg)
		}
	}
	for _, f := range resp.forms() {
		fmt.Fprintf(&lines, "form %s: %s %s\n", f.id, f.method, s.formatAction(f.action))
		for _, field := range f.fields {
			fmt.Fprintf(&lines, "  %s (%s)\n", field.name, field.inputType)
		}
	}
	return lines.String()
}

// formatAction formats the URL of a form, with the names of its parameters.
func (s *scenario) formatAction(action string) string {
	u, err := url.Parse(action)
	if err != nil {
		return s.normalize(action)
	}
	var names []string
	for name := range u.Query() {
		names = append(names, name)
	}
	slices.Sort(names)
	u.RawQuery = ""
	return s.normalize(u.String()) + "?" + strings.Join(names, "&")
}

// textContent returns the text of an HTML fragment.
func textContent(fragment string) string {
	text := html.UnescapeString(tagPattern.ReplaceAllString(fragment, " "))
	return strings.Join(strings.Fields(text), " ")
}
