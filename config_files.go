package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// What a text file can be at fault with, in words for operators.
var (
	errUTF16   = errors.New("is UTF-16, as > and Out-File of PowerShell 5 write it: expected UTF-8, such as Out-File -Encoding utf8 writes")
	errNotUTF8 = errors.New("is not UTF-8: expected a text file in UTF-8")
)

// readText reads a text file without the byte order mark that editors and shells of Windows put before it.
func readText(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}), bytes.IndexByte(text, 0) >= 0:
		return nil, errUTF16
	case !utf8.Valid(text):
		return nil, errNotUTF8
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// openText opens a text file in UTF-8, for a reader that has bounds of its own and skips a byte order mark.
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

// readSettingsFile reads the settings of the file name in dir. What it fails with shows nothing that stands in the file.
func readSettingsFile(dir, name string) (map[string]string, error) {
	text, err := readText(filepath.Join(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case errors.Is(err, errUTF16), errors.Is(err, errNotUTF8):
		return nil, err
	case errors.Is(err, fs.ErrPermission):
		return nil, errors.New("can't be read: this user may not")
	case err != nil:
		path, _ := errors.AsType[*fs.PathError](err)
		if path == nil {
			return nil, errors.New("can't be read")
		}
		return nil, errors.New("can't be read: " + path.Err.Error())
	}
	settings, err := godotenv.UnmarshalBytes(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	if err != nil { // the parser's own words quote the file
		return nil, errors.New("can't be read: expected lines NAME=value, with quotes around a value that holds a space, a # or a quote")
	}
	return settings, nil
}
