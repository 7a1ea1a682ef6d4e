package settings

import (
	"log/slog"
	"strings"
)

// settingNames replaces the names of fields of CloakQL's packages, in messages for operators, with
// those of settings.
var settingNames = func() *strings.Replacer {
	var pairs []string
	for _, r := range new(draft).rows() {
		for library := range strings.SplitSeq(r.library, ", ") {
			if library != "" {
				pairs = append(pairs, library, r.name)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}()

// NameIn replaces the names of fields of CloakQL's packages in text with those of the settings that
// set them.
func NameIn(text string) string { return settingNames.Replace(text) }

// NameInLog is a slog.HandlerOptions.ReplaceAttr that does the same in what CloakQL's packages log.
func NameInLog(_ []string, attr slog.Attr) slog.Attr {
	switch attr.Key {
	case slog.MessageKey, "detail", "error", "reason":
		attr.Value = slog.StringValue(NameIn(attr.Value.Resolve().String()))
	}
	return attr
}
