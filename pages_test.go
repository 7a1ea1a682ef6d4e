package cloakql_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// pages returns the names of the repository's Markdown files.
func pages(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		isHidden := strings.HasPrefix(entry.Name(), ".") && name != "." && name != ".github"
		isSkipped := slices.Contains([]string{"node_modules", "testdata", "dist"}, entry.Name())
		if entry.IsDir() && (isHidden || isSkipped) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil || len(names) < 25 {
		t.Fatalf("found the pages %q (error: %v), want at least 25", names, err)
	}
	return names
}

const repositoryURL = "https://github.com/cloakql/cloakql"

var (
	fencePattern   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	headingPattern = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)|(?m)^\[[^\]]+\]: (\S+)`)
)

// headingFragments returns the URL fragments that GitHub assigns to the headings of a page.
func headingFragments(page string) map[string]bool {
	fragments := map[string]bool{}
	prose := fencePattern.ReplaceAllString(page, "")
	for _, match := range headingPattern.FindAllStringSubmatch(prose, -1) {
		text := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(match[1], "$1")
		fragments[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(text))] = true
	}
	return fragments
}

// brokenLinks returns the links in a page whose file or heading doesn't exist. The page has this
// name and text.
func brokenLinks(t *testing.T, name, text string) (links []string) {
	t.Helper()
	prose := fencePattern.ReplaceAllString(text, "")
	for _, match := range linkPattern.FindAllStringSubmatch(prose, -1) {
		target := match[1] + match[2]
		file, fragment, hasFragment := strings.Cut(target, "#")
		repositoryPath, onGitHub := strings.CutPrefix(file, repositoryURL)
		switch {
		case strings.HasPrefix(target, "#"):
			file = name
		case onGitHub && repositoryPath == "":
			file = "README.md"
		case onGitHub && strings.HasPrefix(repositoryPath, "/blob/main/"):
			file = strings.TrimPrefix(repositoryPath, "/blob/main/")
		case strings.Contains(target, "://"):
			continue
		default:
			file = path.Join(path.Dir(name), file)
		}
		if _, err := os.Stat(filepath.FromSlash(file)); err != nil {
			links = append(links, target)
		} else if hasFragment && !headingFragments(readSource(t, file))[fragment] {
			links = append(links, target)
		}
	}
	return links
}

// Every link from a page to a file or a heading of this repository works.
func TestPages_links(t *testing.T) {
	got := brokenLinks(t, "docs/made-up.md", "# A `b_c` d!\n[1](#a-b_c-d) [2](#nowhere)\n"+
		"[3](none.md) [4](../README.md#try-it) ![5](pictures/console-me.png) [6](README.md#none)\n"+
		"[7](https://example.com/none) [8]("+repositoryURL+
		"#none)\n```\n[9](none.md)\n```\n[10]: none.md\n")
	// #a-b_c-d is reported too: brokenLinks reads docs/made-up.md, which doesn't exist.
	want := []string{"#a-b_c-d", "#nowhere", "none.md", "README.md#none",
		repositoryURL + "#none", "none.md"}
	if !slices.Equal(got, want) {
		t.Errorf("brokenLinks() = %q, want %q", got, want)
	}
	for _, name := range pages(t) {
		for _, target := range brokenLinks(t, name, readSource(t, name)) {
			t.Errorf("%s links to %s, which doesn't exist", name, target)
		}
	}
}

// docs/README.md links to every page in docs.
func TestPages_index(t *testing.T) {
	index := readSource(t, "docs/README.md")
	for _, name := range glob(t, "docs/*.md") {
		if name = path.Base(name); name != "README.md" && !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// Prose has at most 100 columns. Tables, code, images and generated pages may be wider.
func TestPages_columns(t *testing.T) {
	for _, name := range pages(t) {
		if strings.HasPrefix(readSource(t, name), "<!-- Generated ") {
			continue
		}
		text := fencePattern.ReplaceAllStringFunc(readSource(t, name), func(code string) string {
			return strings.Repeat("\n", strings.Count(code, "\n"))
		})
		for i, line := range strings.Split(text, "\n") {
			isTable := strings.HasPrefix(strings.TrimSpace(line), "|")
			isImage := strings.HasPrefix(line, "![")
			if utf8.RuneCountInString(line) > 100 && !isTable && !isImage {
				t.Errorf("%s:%d has more than 100 columns", name, i+1)
			}
		}
	}
}

// README.md has at most 150 lines, so that people finish it.
func TestREADME_length(t *testing.T) {
	if lines := strings.Count(readSource(t, "README.md"), "\n"); lines > 150 {
		t.Errorf("README.md has %d lines, want at most 150", lines)
	}
}
