package settings

import (
	"log/slog"
	"strings"
)

// fieldReplacer replaces the names of fields of CloakQL's packages, in messages for operators, with
// those of settings.
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

// TranslateFieldNames replaces the names of fields of CloakQL's packages in text with the names of
// the settings that set them.
func TranslateFieldNames(text string) string { return fieldReplacer.Replace(text) }

// TranslateLogAttr is a slog.HandlerOptions.ReplaceAttr that applies TranslateFieldNames to the
// messages and errors that CloakQL's packages log.
func TranslateLogAttr(_ []string, attr slog.Attr) slog.Attr {
	switch attr.Key {
	case slog.MessageKey, "detail", "error", "reason":
		attr.Value = slog.StringValue(TranslateFieldNames(attr.Value.Resolve().String()))
	}
	return attr
}
