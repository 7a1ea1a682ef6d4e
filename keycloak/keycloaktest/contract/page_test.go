package contract

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The record of a page has its ID, its messages, and its forms with the names of their fields, but
// not the HTML.
var (
	pageID    = regexp.MustCompile(`data-page-id="([^"]*)"`)
	pageTitle = regexp.MustCompile(`(?s)id="kc-page-title"[^>]*>(.*?)</h1>`)
	// errors of a field or of the page, and instructions
	pageMessages = regexp.MustCompile(
		`(?s)<(?:span|p|div|h4)[^>]*(?:id="input-error[^"]*"|class="(?:[^"]* )?(?:kc-feedback-text|instruction|pf-v5-c-alert__title)(?: [^"]*)?")[^>]*>(.*?)</(?:span|p|div|h4)>`)
	formBlock = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	fieldTag  = regexp.MustCompile(`<(?:input|button|select|textarea)\b([^>]*)>`)
	attribute = regexp.MustCompile(`([\w-]+)\s*=\s*"([^"]*)"`)
	tag       = regexp.MustCompile(`(?s)<[^>]*>|<!--.*?-->`)
)

// An htmlForm is a form of a page.
type htmlForm struct {
	id, method, action string
	fields             []htmlField
}

type htmlField struct{ name, kind, value string }

func (a response) isPage() bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "text/html")
}

// forms returns the page's forms, with the fields that have a name.
func (a response) forms() []htmlForm {
	var forms []htmlForm
	for _, block := range formBlock.FindAllStringSubmatch(a.body, -1) {
		attributes := attributesOf(block[1])
		f := htmlForm{id: attributes["id"], method: strings.ToLower(attributes["method"]),
			action: attributes["action"]}
		for _, field := range fieldTag.FindAllStringSubmatch(block[2], -1) {
			if field := attributesOf(field[1]); field["name"] != "" {
				f.fields = append(f.fields, htmlField{field["name"], field["type"], field["value"]})
			}
		}
		forms = append(forms, f)
	}
	return forms
}

func attributesOf(tag string) map[string]string {
	attributes := map[string]string{}
	for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
		attributes[a[1]] = html.UnescapeString(a[2])
	}
	return attributes
}

// page formats a page: its ID, its messages, its forms.
func (x *exchange) page(a response) string {
	var lines strings.Builder
	id, title := "(none)", ""
	if m := pageID.FindStringSubmatch(a.body); m != nil {
		id = m[1]
	}
	if m := pageTitle.FindStringSubmatch(a.body); m != nil {
		title = x.text(plain(m[1]))
	}
	fmt.Fprintf(&lines, "page %s: %s\n", id, title)
	var seen []string
	for _, m := range pageMessages.FindAllStringSubmatch(a.body, -1) {
		if message := x.text(plain(m[1])); message != "" && !slices.Contains(seen, message) {
			seen = append(seen, message)
			fmt.Fprintf(&lines, "says: %s\n", message)
		}
	}
	for _, f := range a.forms() {
		fmt.Fprintf(&lines, "form %s: %s %s\n", f.id, f.method, x.action(f.action))
		for _, field := range f.fields {
			fmt.Fprintf(&lines, "  %s (%s)\n", field.name, field.kind)
		}
	}
	return lines.String()
}

// action formats the address of a form, with the names of its parameters.
func (x *exchange) action(action string) string {
	u, err := url.Parse(action)
	if err != nil {
		return x.text(action)
	}
	var names []string
	for name := range u.Query() {
		names = append(names, name)
	}
	slices.Sort(names)
	u.RawQuery = ""
	return x.text(u.String()) + "?" + strings.Join(names, "&")
}

// plain returns the text of an HTML fragment.
func plain(fragment string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(fragment, " "))),
		" ")
}
