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

// docs/extending.md says how to make this folder. This test does what the page says in an empty
// folder, compares the two, and runs the program. A stand-in takes the place of the Keycloak that
// the page names.
func TestExtendingPage(t *testing.T) {
	here := must(os.Getwd())
	root := filepath.Join(here, "../..")
	page := readFile(t, filepath.Join(root, "docs/extending.md"))
	shell(t, "go mod tidy -diff && go -C ../.. mod download") // what is below needs no network
	t.Setenv("GOPROXY",
		"file://"+filepath.ToSlash(strings.TrimSpace(shell(t, "go env GOMODCACHE")))+
			"/cache/download")
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOWORK", "off")
	t.Chdir(t.TempDir())
	writeFile(t, "main_test.go", readFile(t, filepath.Join(here, "main_test.go")))

	block := regexp.MustCompile("(?ms)^```(\\w+)\n(?:(?://|#) (\\S+)\n)?(.*?)^```$")
	for _, found := range block.FindAllStringSubmatch(page, -1) {
		switch language, name, text := found[1], found[2], found[3]; {
		case name != "":
			writeFile(t, name, text)
		case language == "sh":
			for command := range strings.Lines(text) {
				shell(t, command)
				if strings.HasPrefix(command, "go mod init ") {
					shell(t,
						"go mod edit -require=github.com/cloakql/cloakql@v0.0.0-00010101000000-000000000000 "+
							"-replace=github.com/cloakql/cloakql="+root)
					writeFile(t, "go.sum",
						readFile(t, filepath.Join(root, "go.sum"))+
							readFile(t, filepath.Join(here, "go.sum")))
				}
			}
		case language == "go" &&
			!strings.Contains(strings.ReplaceAll(readFile(t, "main_test.go"), "\n\t", "\n"), text):
			t.Errorf("main_test.go doesn't have this excerpt of the page:\n%s", text)
		}
	}

	// in go.mod: what differs between machines
	varying := regexp.MustCompile(`(?m)^(go |replace .* => ).*`)
	made, want := files(t, "."), files(t, here)
	for _, name := range []string{"page_test.go", ".local.env"} {
		delete(want, name)
		delete(made, name)
	}
	for name := range want {
		if varying.ReplaceAllString(made[name], "$1") != varying.ReplaceAllString(want[name],
			"$1") {
			t.Errorf("%s isn't what the page makes:\n%s", name, made[name])
		}
		delete(made, name)
	}
	for name := range made {
		t.Errorf("the page makes %s, which isn't here", name)
	}

	shell(t, "go build -o notes-server .")
	kc := keycloaktest.New(t,
		[]byte(readFile(t, filepath.Join(root, "deploy/keycloak/local-realm.json"))))
	address := start(t, "./notes-server", "KEYCLOAK_SERVER_URL="+kc.URL, "ADDR=127.0.0.1:0")
	token := must(kc.Realm("local").SignIn("local-api", "alice")).AccessToken
	request := must(http.NewRequest(http.MethodPost, "http://"+address+"/graphql",
		strings.NewReader(`{"query":"mutation { addNote(text: \"milk\") { text } }"}`)))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response := must(http.DefaultClient.Do(request))
	defer response.Body.Close()
	answer := must(bufio.NewReader(response.Body).ReadString('\n'))
	if want := `{"data":{"addNote":{"text":"milk"}}}` + "\n"; answer != want {
		t.Errorf("the program answers %s, want %s", answer, want)
	}
}

// start starts a program that says where it listens, returns that address, and stops the program
// when the test ends: it must stop in order.
func start(t *testing.T, program string, environ ...string) (address string) {
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
		var logged strings.Builder
		for line := range lines {
			logged.WriteString(line + "\n")
		}
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("the program ended with %v, after logging\n%s", err, &logged)
		}
	})
	select {
	case address := <-addresses:
		return address
	case <-time.After(4 * time.Minute):
		t.Fatal("the program doesn't say where it listens")
		return ""
	}
}

// shell runs a command line in the working directory, and returns what it writes to its output.
func shell(t *testing.T, line string) string {
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

// files returns the files below a directory by name.
func files(t *testing.T, directory string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(directory, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			found[filepath.ToSlash(must(filepath.Rel(directory, name)))] = readFile(t, name)
		}
		return err
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("%s has %d files: %v", directory, len(found), err)
	}
	return found
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
