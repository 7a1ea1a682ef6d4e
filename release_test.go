package cloakql_test

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// readYAML reads a file into v, which is a pointer.
func readYAML(t *testing.T, name string, v any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readSource(t, name)), v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// .goreleaser.yaml builds a static binary for each of six platforms, with the command in
// SECURITY.md that verifies a release. The files that it puts into the archives exist.
// (scripts/release runs goreleaser check, which checks the rest.)
func TestRelease_config(t *testing.T) {
	type file struct{ Src string }
	var config struct {
		Version int
		Builds  []struct {
			Main                 string
			GOOS, GOARCH         []string
			Env, Flags, LDFlags  []string
			ModTimestamp         string `yaml:"mod_timestamp"`
			Hooks, Tags, GCFlags any
		}
		Archives []struct{ Files []file }
		SBOMs    []struct{ Args []string }
		Checksum struct{ Algorithm string }
	}
	readYAML(t, ".goreleaser.yaml", &config)
	if config.Version != 2 || len(config.Builds) != 1 || len(config.Archives) != 1 ||
		len(config.SBOMs) != 1 || config.Checksum.Algorithm != "sha256" {
		t.Fatalf("got %+v, want version 2, one build, archive and SBOM, and sha256", config)
	}
	build := config.Builds[0]
	if !slices.Equal(build.GOOS, []string{"linux", "darwin", "windows"}) ||
		!slices.Equal(build.GOARCH, []string{"amd64", "arm64"}) ||
		build.ModTimestamp != "{{ .CommitTimestamp }}" ||
		build.Hooks != nil || build.Tags != nil || build.GCFlags != nil {
		t.Errorf("got the build %+v, want six platforms, the commit's time, and no hooks, tags or "+
			"gcflags", build)
	}
	command := strings.Join(build.Env, " ") + " GOOS=linux GOARCH=amd64 go build " +
		strings.Join(build.Flags, " ") + ` -ldflags="` + strings.Join(build.LDFlags, " ") + `" ` +
		build.Main
	if !strings.Contains(readSource(t, "SECURITY.md"), "\n"+command+"\n") {
		t.Errorf("SECURITY.md lacks the command of .goreleaser.yaml: %s", command)
	}
	for _, file := range config.Archives[0].Files {
		isNotice := strings.HasPrefix(file.Src, ".ci/release/") // written by scripts/notices
		if matches, err := filepath.Glob(file.Src); err != nil || len(matches) == 0 && !isNotice {
			t.Errorf(".goreleaser.yaml puts %s into the archives, which doesn't exist (%v)",
				file.Src, err)
		}
	}
	for _, flag := range []string{"-noserial", "-notimestamp"} {
		if !slices.Contains(config.SBOMs[0].Args, flag) {
			t.Errorf("the SBOM's arguments lack %s, without which two builds differ", flag)
		}
	}
}

// scripts/release takes a release's notes from its section in CHANGELOG.md, and makes relative
// links absolute.
func TestRelease_notes(t *testing.T) {
	notes := func(version string) (string, error) {
		out, err := exec.Command("bash", "scripts/release", "notes", version).Output()
		return string(out), err
	}
	releasePattern := regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d|not yet ` +
		`released)$`)
	releases := releasePattern.FindAllStringSubmatch(readSource(t, "CHANGELOG.md"), -1)
	if len(releases) == 0 {
		t.Fatal("CHANGELOG.md has no release")
	}
	relativeLinkPattern := regexp.MustCompile(`\]\([^)h#]`)
	for _, release := range releases {
		text, err := notes("v" + release[1])
		if err != nil || len(text) < 100 || strings.Contains(text, "\n## ") ||
			strings.HasPrefix(text, "\n") {
			t.Errorf("notes of %s = %q, %v; want its section in CHANGELOG.md", release[1], text,
				err)
		}
		if link := relativeLinkPattern.FindString(text); link != "" {
			t.Errorf("notes of %s have the relative link %s, want it absolute", release[1], link)
		}
	}
	if text, err := notes("v0.1"); err == nil {
		t.Errorf("notes of v0.1 are %q, want an error", text)
	}
}

// The Dockerfile builds for the target platform, sets a numeric user that isn't root, and labels
// the image with its version.
func TestDockerfile(t *testing.T) {
	build, image, _ := strings.Cut(readSource(t, "Dockerfile"), "\nFROM scratch\n")
	for _, want := range []string{
		"FROM --platform=$BUILDPLATFORM golang:", "\nARG TARGETOS\nARG TARGETARCH\n",
		" GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath ",
		".version=$VERSION ", ".commit=$COMMIT ", `.date=$DATE"`,
	} {
		if !strings.Contains(build, want) {
			t.Errorf("the build stage lacks %q", want)
		}
	}
	if !regexp.MustCompile(`\nUSER [1-9]\d*:[1-9]\d*\n`).MatchString(image) {
		t.Error("the image stage has no USER with a numeric user and group other than 0")
	}
	for label, want := range map[string]string{
		"title": "CloakQL", "description": "", "source": "https://github.com/cloakql/cloakql",
		"url": "", "documentation": "", "licenses": "Apache-2.0", "version": "$VERSION",
		"revision": "$COMMIT", "created": "$DATE",
	} {
		labelPattern := regexp.MustCompile(`org\.opencontainers\.image\.` + label + `="([^"]+)"`)
		match := labelPattern.FindStringSubmatch(image)
		if match == nil || want != "" && match[1] != want {
			t.Errorf("label %s: %q, want %q", label, match, want)
		}
	}
	for _, arg := range []string{"VERSION", "COMMIT", "DATE"} {
		// An ARG is visible only in its own stage.
		if !strings.Contains(build, "\nARG "+arg+"\n") ||
			!strings.Contains("\n"+image, "\nARG "+arg+"\n") {
			t.Errorf("ARG %s isn't in both stages", arg)
		}
	}
	// The build can run only files that .dockerignore doesn't exclude.
	if strings.Contains(readSource(t, ".dockerignore"), "scripts") {
		t.Error(".dockerignore excludes scripts, but the build runs scripts/notices")
	}
}

// Workflows pin each action to a commit, may only read the repository, have timeouts, and run only
// scripts that exist.
func TestWorkflows(t *testing.T) {
	pinnedActionPattern := regexp.MustCompile(`(?m)^ +- uses: actions/[a-z-]+@[0-9a-f]{40} # ` +
		`v\d+\.\d+\.\d+$`)
	scriptPattern := regexp.MustCompile(`(?:scripts|\.ci)/[a-z]+`)
	workflows := glob(t, ".github/workflows/*.yml")
	if len(workflows) != 2 {
		t.Errorf("got %q, want two workflows", workflows)
	}
	for _, name := range workflows {
		var workflow struct {
			Name        string
			On          map[string]any
			Permissions map[string]string
			Jobs        map[string]struct {
				Timeout int `yaml:"timeout-minutes"`
				Steps   []struct{ Uses, Run string }
			}
		}
		readYAML(t, name, &workflow)
		if len(workflow.Permissions) != 1 || workflow.Permissions["contents"] != "read" {
			t.Errorf("%s: permissions %v, want contents: read", name, workflow.Permissions)
		}
		if len(workflow.On) == 0 || workflow.On["pull_request_target"] != nil {
			t.Errorf("%s: on %v, want triggers without pull_request_target, which gives forks "+
				"our secrets", name, workflow.On)
		}
		actions := 0
		for id, job := range workflow.Jobs {
			if job.Timeout == 0 || job.Timeout > 90 || len(job.Steps) == 0 {
				t.Errorf("%s: job %s has %d steps and a timeout of %d minutes, want steps and 1 "+
					"to 90 minutes",
					name, id, len(job.Steps), job.Timeout)
			}
			for _, step := range job.Steps {
				if step.Uses != "" {
					actions++
				}
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: job %s has an expression in a script, want none: %q", name, id,
						step.Run)
				}
				for _, file := range scriptPattern.FindAllString(step.Run, -1) {
					if _, err := os.Stat(file); err != nil {
						t.Errorf("%s: job %s runs %s: %v", name, id, file, err)
					}
				}
			}
		}
		if got := len(pinnedActionPattern.FindAllString(readSource(t, name), -1)); got != actions {
			t.Errorf("%s: %d of %d actions are pinned to a commit with its tag, want all", name,
				got,
				actions)
		}
	}
}

// Issue forms follow GitHub's rules; GitHub doesn't show a form that breaks a rule.
func TestIssueForms(t *testing.T) {
	names := glob(t, ".github/ISSUE_TEMPLATE/*.yml")
	if len(names) != 3 {
		t.Errorf("got %q, want two forms and config.yml", names)
	}
	for _, name := range names {
		if path.Base(name) == "config.yml" {
			var config struct {
				BlankIssuesEnabled *bool `yaml:"blank_issues_enabled"`
				ContactLinks       []struct {
					Name, URL, About string
				} `yaml:"contact_links"`
			}
			readYAML(t, name, &config)
			if len(config.ContactLinks) == 0 || config.BlankIssuesEnabled == nil ||
				!strings.HasSuffix(config.ContactLinks[0].URL, "/security/advisories/new") {
				t.Errorf("%s: got %+v, want blank_issues_enabled, and private vulnerability "+
					"reports as the "+
					"first link", name, config)
			}
			continue
		}
		var form struct {
			Name, Description string
			Labels            []string
			Body              []struct {
				Type, ID   string
				Attributes struct{ Label, Value string }
			}
		}
		readYAML(t, name, &form)
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s lacks a name, a description or a body", name)
		}
		ids := map[string]bool{}
		for _, field := range form.Body {
			if field.Type == "markdown" && field.Attributes.Value != "" {
				continue
			}
			if !slices.Contains([]string{"input", "textarea"}, field.Type) || field.ID == "" ||
				ids[field.ID] || field.Attributes.Label == "" {
				t.Errorf("%s: got the field %+v, want an input or a textarea with a unique ID "+
					"and a label", name,
					field)
			}
			ids[field.ID] = true
		}
	}
}
