package settings

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// Errors about the encoding of text files. Their texts are for operators.
var (
	errUTF16 = errors.New("is UTF-16, which PowerShell 5 writes with > and Out-File: expected " +
		"UTF-8, which Out-File -Encoding utf8 writes")
	errNotUTF8 = errors.New("is not UTF-8: expected a text file in UTF-8")
)

// readText reads a UTF-8 text file. It drops the byte order mark that editors and shells on Windows
// add.
func readText(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}),
		bytes.IndexByte(text, 0) >= 0:
		return nil, errUTF16
	case !utf8.Valid(text):
		return nil, errNotUTF8
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// openText opens a text file, and returns errUTF16 if it begins with the byte order mark of UTF-16.
// The caller limits how much it reads, and skips the byte order mark of UTF-8.
func openText(name string) (io.ReadCloser, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	reader := bufio.NewReader(file)
	if mark, _ := reader.Peek(2); string(mark) == "\xff\xfe" || string(mark) == "\xfe\xff" {
		file.Close()
		return nil, errUTF16
	}
	return struct {
		io.Reader
		io.Closer
	}{reader, file}, nil
}

// readSettingsFile reads the settings in the named file in dir. It also returns the names of
// settings whose value lost a part because of a $. Its errors don't quote the file.
func readSettingsFile(
	dir, name string,
) (settings map[string]string, lossyNames []string, err error) {
	text, err := readText(filepath.Join(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	case errors.Is(err, errUTF16), errors.Is(err, errNotUTF8):
		return nil, nil, err
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, errors.New("can't be read: this user may not")
	case err != nil:
		path, _ := errors.AsType[*fs.PathError](err)
		if path == nil {
			return nil, nil, errors.New("can't be read")
		}
		return nil, nil, errors.New("can't be read: " + path.Err.Error())
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	settings, err = parseSettings(text)
	if err != nil { // the parser's error quotes the file
		return nil, nil, errors.New("can't be read: expected lines NAME=value, with quotes " +
			"around a value that holds a space, a # or a quote")
	}
	return settings, lossySettings(text, settings), nil
}

// parseSettings parses the text of a settings file with godotenv. It works around a bug in
// godotenv, which drops an escaped quote at the end of a quoted value: godotenv reads
//
//	NAME="ab\""
//
// as ab\ and not as ab".
func parseSettings(text []byte) (map[string]string, error) {
	const separator = "\x00E" // can't be in text: readText refuses NUL
	settings, err := godotenv.UnmarshalBytes(bytes.ReplaceAll(text, []byte(`\""`),
		[]byte(`\"`+separator+`"`)))
	for name, value := range settings {
		settings[name] = strings.ReplaceAll(value, separator, "")
	}
	return settings, err
}

// lossySettings returns the names of the settings whose value lost a part because of a $. Godotenv
// replaces $1 and $WORD with the value of the setting 1 or WORD if the file has it further up, and
// with nothing if it doesn't. So a secret such as pa$1word would lose its middle without an error.
// To see each value as it was written, lossySettings parses the text again with a mark in place of
// each $.
func lossySettings(text []byte, settings map[string]string) []string {
	const dollarMark = "\x00D" // can't be in text: readText refuses NUL
	markedText := dollarPattern.ReplaceAllFunc(text, func(match []byte) []byte {
		if len(match) > 1 { // escaped
			return match
		}
		return []byte(dollarMark)
	})
	markedSettings, err := parseSettings(markedText)
	if err != nil {
		return nil
	}
	var lossyNames []string
	for name, value := range settings {
		markedValue := markedSettings[name]
		// Nothing was replaced if the value is in single quotes or has no reference.
		if strings.ReplaceAll(markedValue, dollarMark, "$") == value {
			continue
		}
		hasUndefined := false
		expandedValue := referencePattern.ReplaceAllStringFunc(markedValue, func(
			reference string) string {
			replacement := settings[referencePattern.FindStringSubmatch(reference)[1]]
			hasUndefined = hasUndefined || replacement == ""
			return replacement
		})
		if hasUndefined || strings.ReplaceAll(expandedValue, dollarMark, "$") != value {
			lossyNames = append(lossyNames, name)
		}
	}
	slices.Sort(lossyNames)
	return lossyNames
}

var (
	dollarPattern    = regexp.MustCompile(`\\?\$`)
	referencePattern = regexp.MustCompile(`\x00D(?:\(|\{?([A-Z0-9_]+)\}?)`)
)
