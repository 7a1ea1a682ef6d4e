package program

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

const (
	testCommit = "0123456789abcdef0123456789abcdef01234567"
	testDate   = "2026-11-29T10:00:00Z"
)

// If the linker has set the version, the build information that Go recorded isn't used.
func TestBuild_versionLine(t *testing.T) {
	platform := " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	vcsSettings := []debug.BuildSetting{
		{Key: "-trimpath", Value: "true"},
		{Key: "vcs.revision", Value: testCommit}, {Key: "vcs.time", Value: testDate},
	}
	for name, tt := range map[string]struct {
		linkerBuild   build // what the linker has set
		moduleVersion string
		settings      []debug.BuildSetting
		want          string
		wantLog       string
	}{
		"go build in a clone": {moduleVersion: "v0.1.0", settings: vcsSettings,
			want:    "v0.1.0 (commit " + testCommit + ", " + testDate + ")",
			wantLog: "v0.1.0 (commit " + testCommit + ")"},
		"go install": {moduleVersion: "v0.1.0", want: "v0.1.0", wantLog: "v0.1.0"},
		"set by the linker": {linkerBuild: build{"v0.1.0", testCommit, testDate},
			moduleVersion: "(devel)",
			want:          "v0.1.0 (commit " + testCommit + ", " + testDate + ")",
			wantLog:       "v0.1.0 (commit " + testCommit + ")"},
		"set by the linker in a clone": {linkerBuild: build{version: "v0.1.0"},
			moduleVersion: "v0.2.0", settings: vcsSettings,
			want: "v0.1.0", wantLog: "v0.1.0"},
	} {
		b := tt.linkerBuild.withDefaults(&debug.BuildInfo{
			Main: debug.Module{Version: tt.moduleVersion}, Settings: tt.settings,
		})
		if got := b.versionLine("cloakql"); got != "cloakql "+tt.want+platform {
			t.Errorf("%s: versionLine() = %q, want %q", name, got, "cloakql "+tt.want+platform)
		}
		if got := b.LogValue().String(); got != tt.wantLog {
			t.Errorf("%s: LogValue() = %q, want %q", name, got, tt.wantLog)
		}
	}
}

// The variables that the Dockerfile sets with -ldflags exist. Without this test, a misspelled
// variable would go unnoticed, because the linker ignores unknown variables.
func TestVersion_setByLinker(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "cloakql")
	const variables = "-X github.com/cloakql/cloakql/internal/program."
	build := exec.Command("go", "build", "-o", binary, "-ldflags", variables+"version=v0.1.0 "+
		variables+"commit="+testCommit+" "+variables+"date="+testDate, "../../cmd/cloakql")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(binary, "version").Output()
	want := "cloakql v0.1.0 (commit " + testCommit + ", " + testDate + ") go1."
	if err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("cloakql version prints %q (error: %v), want %q", out, err, want)
	}
}
