package settings

import (
	"context"
	"log/slog"
	"strings"
)

// fieldReplacer replaces the names of Go fields with the names of the settings that set them.
var fieldReplacer = func() *strings.Replacer {
	var pairs []string // each name comes after the longer names that begin with it
	for _, s := range new(rawSettings).settings() {
		for field := range strings.SplitSeq(s.fieldNames, ", ") {
			if field != "" {
				pairs = append([]string{field, s.name}, pairs...)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}()

// TranslateFieldNames replaces the name of each Go field in text with the name of the setting that
// sets it. The commands use it for messages of CloakQL's packages, because operators know only
// settings.
func TranslateFieldNames(text string) string {
	if !strings.ContainsAny(text, ".'") { // each field name has one of these, most texts have none
		return text
	}
	return fieldReplacer.Replace(text)
}

// TranslateLog returns a log handler that applies TranslateFieldNames to messages and errors, and
// passes each record to next. A ReplaceAttr function would do the same, but it makes slog format
// every record more slowly.
func TranslateLog(next slog.Handler) slog.Handler { return translatingHandler{next} }

type translatingHandler struct{ slog.Handler }

func (h translatingHandler) Handle(ctx context.Context, record slog.Record) error {
	message := TranslateFieldNames(record.Message)
	needsTranslation := message != record.Message
	record.Attrs(func(attr slog.Attr) bool {
		needsTranslation = needsTranslation || hasErrorText(attr)
		return !needsTranslation
	})
	if needsTranslation {
		original := record
		record = slog.NewRecord(original.Time, original.Level, message, original.PC)
		original.Attrs(func(attr slog.Attr) bool {
			record.AddAttrs(translateAttr(attr))
			return true
		})
	}
	return h.Handler.Handle(ctx, record)
}

func (h translatingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	translated := make([]slog.Attr, len(attrs))
	for i, attr := range attrs {
		translated[i] = translateAttr(attr)
	}
	return translatingHandler{h.Handler.WithAttrs(translated)}
}

func (h translatingHandler) WithGroup(name string) slog.Handler {
	return translatingHandler{h.Handler.WithGroup(name)}
}

// hasErrorText reports whether the value of an attribute is a part of an error.
func hasErrorText(attr slog.Attr) bool {
	return attr.Key == "detail" || attr.Key == "error" || attr.Key == "reason"
}

// translateAttr applies TranslateFieldNames to an attribute with the text of an error.
func translateAttr(attr slog.Attr) slog.Attr {
	if hasErrorText(attr) {
		attr.Value = slog.StringValue(TranslateFieldNames(attr.Value.Resolve().String()))
	}
	return attr
}
