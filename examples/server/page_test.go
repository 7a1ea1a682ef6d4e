package main

import (
	"bufio"
	"context"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// Following docs/extending.md in an empty directory creates the same program as in this directory.
// The test compares both, and runs the program with keycloaktest in place of a real Keycloak.
func TestExtendingPage(t *testing.T) {
	dir := must(os.Getwd())
	root := filepath.Join(dir, "../..")
	page := readFile(t, filepath.Join(root, "docs/extending.md"))
	runShell(t, "go mod tidy -diff && go -C ../.. mod download") // later commands need no network
	t.Setenv("GOPROXY",
		"file://"+filepath.ToSlash(strings.TrimSpace(runShell(t, "go env GOMODCACHE")))+
			"/cache/download")
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOWORK", "off")
	t.Chdir(t.TempDir())
	writeFile(t, "main_test.go", readFile(t, filepath.Join(dir, "main_test.go")))

	blockPattern := regexp.MustCompile("(?ms)^```(\\w+)\n(?:(?://|#) (\\S+)\n)?(.*?)^```$")
	for _, match := range blockPattern.FindAllStringSubmatch(page, -1) {
		switch language, name, text := match[1], match[2], match[3]; {
		case name != "":
			writeFile(t, name, text)
		case language == "sh":
			for command := range strings.Lines(text) {
				runShell(t, command)
				if strings.HasPrefix(command, "go mod init ") {
					runShell(t,
						"go mod edit -require=github.com/cloakql/cloakql@v0.0.0-00010101000000-000000000000 "+
							"-replace=github.com/cloakql/cloakql="+root)
					writeFile(t, "go.sum",
						readFile(t, filepath.Join(root, "go.sum"))+
							readFile(t, filepath.Join(dir, "go.sum")))
				}
			}
		case language == "go" &&
			!strings.Contains(strings.ReplaceAll(readFile(t, "main_test.go"), "\n\t", "\n"), text):
			t.Errorf("main_test.go lacks this excerpt from the page:\n%s", text)
		}
	}

	// matches the lines of go.mod that differ between machines
	varyingPattern := regexp.MustCompile(`(?m)^(go |replace .* => ).*`)
	got, want := readFiles(t, "."), readFiles(t, dir)
	for _, name := range []string{"page_test.go", ".local.env"} {
		delete(want, name)
		delete(got, name)
	}
	for name := range want {
		gotText := varyingPattern.ReplaceAllString(got[name], "$1")
		if gotText != varyingPattern.ReplaceAllString(want[name], "$1") {
			t.Errorf("%s: the page creates\n%s\nwant the file in this directory", name, got[name])
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("the page creates %s, which isn't in this directory", name)
	}

	checkStartErrors(t, page)

	runShell(t, "go build -o notes-server .")
	kc := keycloaktest.New(t,
		[]byte(readFile(t, filepath.Join(root, "deploy/keycloak/local-realm.json"))))
	address := startProgram(t, "./notes-server", "KEYCLOAK_SERVER_URL="+kc.URL,
		"ADDR=127.0.0.1:0")
	token := must(kc.Realm("local").SignIn("local-api", "alice")).AccessToken
	request := must(http.NewRequest(http.MethodPost, "http://"+address+"/graphql",
		strings.NewReader(`{"query":"mutation { addNote(text: \"milk\") { text } }"}`)))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response := must(http.DefaultClient.Do(request))
	defer response.Body.Close()
	body := must(bufio.NewReader(response.Body).ReadString('\n'))
	if want := `{"data":{"addNote":{"text":"milk"}}}` + "\n"; body != want {
		t.Errorf("addNote returned %s, want %s", body, want)
	}
}

// checkStartErrors checks that the server fails to start with the errors in docs/extending.md, if
// the schema lacks a rule or has a wrong one.
func checkStartErrors(t *testing.T, page string) {
	t.Helper()
	const filename, rule = "api/more.graphqls", ` @hasRole(anyOf: ["admin"])`
	schema := readFile(t, filename)
	for _, wrongRule := range []string{"", ` @hasRole(anyOf: ["admn"])`} {
		writeFile(t, filename, strings.Replace(schema, rule, wrongRule, 1))
		runShell(t, "go generate ./...")
		runShell(t, "go build -o notes-server .")
		command := exec.Command("./notes-server")
		command.Env = []string{"KEYCLOAK_SERVER_URL=http://127.0.0.1:1"}
		output, err := command.CombinedOutput()
		_, message, found := strings.Cut(string(output), "authz: ")
		message, _, _ = strings.Cut("authz: "+message, "\n")
		isOnPage := strings.Contains(page, "```console\n"+message+"\n```")
		if err == nil || !found || !isOnPage {
			t.Errorf("with the rule %q, the server exits with %v and\n%s\nwant the page's error",
				wrongRule, err, output)
		}
	}
	writeFile(t, filename, schema)
	runShell(t, "go generate ./...")
}

// startProgram starts a program and returns the address that it logs. When the test ends,
// startProgram interrupts the program, which must exit without an error.
func startProgram(t *testing.T, program string, environ ...string) (address string) {
	t.Helper()
	command := exec.Command(program)
	command.Env = environ
	output := must(command.StderrPipe())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines, addresses := make(chan string, 1000), make(chan string, 1)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			if _, address, found := strings.Cut(scanner.Text(), "serving on "); found {
				addresses <- address
			}
			lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		var log strings.Builder
		for line := range lines {
			log.WriteString(line + "\n")
		}
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("the program exited with %v, after logging\n%s", err, &log)
		}
	})
	select {
	case address := <-addresses:
		return address
	case <-time.After(4 * time.Minute):
		t.Fatal("the program doesn't log its address")
		return ""
	}
}

// runShell runs a command line in the working directory and returns its output.
func runShell(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-e", "-c", line)
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, output, &stderr)
	}
	return string(output)
}

// readFiles returns the contents of the files below a directory, by path.
func readFiles(t *testing.T, directory string) map[string]string {
	t.Helper()
	contents := map[string]string{}
	err := filepath.WalkDir(directory, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			contents[filepath.ToSlash(must(filepath.Rel(directory, name)))] = readFile(t, name)
		}
		return err
	})
	if err != nil || len(contents) < 10 {
		t.Fatalf("%s has %d files (error: %v), want at least 10", directory, len(contents), err)
	}
	return contents
}

// readFile returns the contents of a file.
func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// writeFile writes a file, and creates its directory.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
