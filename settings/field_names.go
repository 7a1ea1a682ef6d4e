package settings

import (
	"log/slog"
	"strings"
)

// fieldReplacer replaces the names of Go fields with the names of the settings that set them.
var fieldReplacer = func() *strings.Replacer {
	var pairs []string
	for _, s := range new(rawSettings).settings() {
		for field := range strings.SplitSeq(s.fieldNames, ", ") {
			if field != "" {
				pairs = append(pairs, field, s.name)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}()

// TranslateFieldNames replaces the name of each Go field in text with the name of the setting that
// sets it. The commands use it for messages of CloakQL's packages, because operators know only
// settings.
func TranslateFieldNames(text string) string {
	if !strings.ContainsAny(text, ".'") { // no field name is without one, and most texts are
		return text
	}
	return fieldReplacer.Replace(text)
}

// TranslateLogAttr applies TranslateFieldNames to the messages and errors in a log. It is a
// ReplaceAttr function for slog.HandlerOptions.
func TranslateLogAttr(_ []string, attr slog.Attr) slog.Attr {
	switch attr.Key {
	case slog.MessageKey, "detail", "error", "reason":
		attr.Value = slog.StringValue(TranslateFieldNames(attr.Value.Resolve().String()))
	}
	return attr
}
