package settings

import (
	"strings"

	"github.com/cloakql/cloakql/throttle"
)

// intro is the first paragraph of the reference.
const intro = "Settings come from the environment and from a file in the working directory: " +
	"`.local.env` while `RUNTIME_ENV` is `local` or unset, `.env` otherwise. The environment " +
	"wins over the file. If there are problems, the server reports all of them and doesn't " +
	"start. " +
	"It warns about names that look like settings but aren't. Its first log line (`serving`) " +
	"says what is exposed, and to whom."

// maxColumns is the maximum width of the reference's lines.
const maxColumns = 100

// Reference returns the documentation of all settings as plain text.
func Reference() string {
	var b strings.Builder
	write := func(text, indent string) {
		for paragraph := range strings.SplitSeq(text, "\n\n") {
			b.WriteString("\n" + wrap(plainText(paragraph), indent))
		}
	}
	b.WriteString(wrap(plainText(intro), ""))
	for _, g := range new(rawSettings).groups() {
		b.WriteString("\n\n" + strings.ToUpper(g.title) + "\n")
		if g.doc != "" {
			write(g.doc, "")
		}
		for _, s := range g.settings {
			b.WriteString("\n" + s.name + "\n" + wrap(plainText(s.summary()), "    ") +
				wrap(plainText(s.doc), "    "))
		}
	}
	return b.String()
}

// summary returns sentences about the default of s and its accepted values.
func (s setting) summary() string {
	text := "Required."
	switch {
	case s.alternative != "":
		text = "Required, unless `" + s.alternative + "` is set."
	case s.requiredText != "":
	case s.defaultText != "":
		text = "Default: " + s.defaultText + "."
	default:
		text = "Default: `" + s.defaultValue + "`"
		if _, ok := s.dest.pointer.(*throttle.Rate); ok {
			burst, interval, _ := strings.Cut(s.defaultValue, "/")
			text += " (" + burst + " at once, then one every " + interval + ")"
		}
		text += "."
	}
	if s.dest.acceptedValues != "" {
		text += " Accepted: " + s.dest.acceptedValues + "."
	}
	return text
}

// plainText returns the text of markdown without backticks and asterisks.
func plainText(markdown string) string {
	return strings.NewReplacer("`", "", "*Expanded*", "Expanded").Replace(markdown)
}

// wrap breaks text into lines of at most maxColumns columns. Each line begins with indent.
func wrap(text, indent string) string {
	var b strings.Builder
	lineLength := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case lineLength == 0:
			b.WriteString(indent)
			lineLength = len(indent)
		case lineLength+1+len(word) > maxColumns:
			b.WriteString("\n" + indent)
			lineLength = len(indent)
		default:
			b.WriteString(" ")
			lineLength++
		}
		b.WriteString(word)
		lineLength += len(word)
	}
	return b.String() + "\n"
}
