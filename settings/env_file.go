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

// What can be wrong with a text file, for operators.
var (
	errUTF16 = errors.New("is UTF-16, as > and Out-File of PowerShell 5 write it: expected " +
		"UTF-8, such as Out-File -Encoding utf8 writes")
	errNotUTF8 = errors.New("is not UTF-8: expected a text file in UTF-8")
)

// readText reads a text file without the byte order mark that editors and shells of Windows put
// before it.
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

// openText opens a text file in UTF-8, for a reader that has bounds of its own and skips a byte
// order mark.
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

// readSettingsFile reads the settings of the file name in dir, and the names of those whose value
// lost a part because of a $ in it. What it fails with shows nothing that stands in the file.
func readSettingsFile(dir, name string) (settings map[string]string, cut []string, err error) {
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
	if err != nil { // the parser's own words quote the file
		return nil, nil, errors.New("can't be read: expected lines NAME=value, with quotes " +
			"around a value that holds a space, a # or a quote")
	}
	return settings, cutAtDollar(text, settings), nil
}

// parseSettings is godotenv's parser, which loses a quote at the end of a value in quotes: "ab\""
// was ab\ for it.
func parseSettings(text []byte) (map[string]string, error) {
	const end = "\x00E" // readText has found no NUL
	settings, err := godotenv.UnmarshalBytes(bytes.ReplaceAll(text, []byte(`\""`),
		[]byte(`\"`+end+`"`)))
	for name, value := range settings {
		settings[name] = strings.ReplaceAll(value, end, "")
	}
	return settings, err
}

// cutAtDollar returns the names of the settings in whose value godotenv put nothing, or a part of
// the value only, where a $ stands: it takes $1 and $WORD for another setting, above it in the
// file. A secret such as pa$1word would lose its middle without a word. What a value was written
// like is found by reading the text again with a mark for each $.
func cutAtDollar(text []byte, settings map[string]string) []string {
	const mark = "\x00D" // readText has found no NUL
	marked, err := parseSettings(dollar.ReplaceAllFunc(text, func(found []byte) []byte {
		if len(found) > 1 { // escaped
			return found
		}
		return []byte(mark)
	}))
	if err != nil {
		return nil
	}
	var cut []string
	for name, value := range settings {
		written := marked[name]
		// it is in single quotes, or refers to nothing
		if strings.ReplaceAll(written, mark, "$") == value {
			continue
		}
		lost := false
		replaced := reference.ReplaceAllStringFunc(written, func(part string) string {
			other := settings[reference.FindStringSubmatch(part)[1]]
			lost = lost || other == ""
			return other
		})
		if lost || strings.ReplaceAll(replaced, mark, "$") != value {
			cut = append(cut, name)
		}
	}
	slices.Sort(cut)
	return cut
}

var (
	dollar    = regexp.MustCompile(`\\?\$`)
	reference = regexp.MustCompile(`\x00D(?:\(|\{?([A-Z0-9_]+)\}?)`)
)
