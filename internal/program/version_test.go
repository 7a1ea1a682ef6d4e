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
	someCommit = "0123456789abcdef0123456789abcdef01234567"
	someDate   = "2026-11-29T10:00:00Z"
)

// If the linker has set the version, what Go has recorded isn't used.
func TestBuild_versionLine(t *testing.T) {
	system := " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	vcsSettings := []debug.BuildSetting{
		{Key: "-trimpath", Value: "true"},
		{Key: "vcs.revision", Value: someCommit}, {Key: "vcs.time", Value: someDate},
	}
	for name, tt := range map[string]struct {
		linked   build  // what the linker has set
		version  string // of the module
		settings []debug.BuildSetting
		want     string
		wantLog  string
	}{
		"go build in a clone": {version: "v0.1.0", settings: vcsSettings,
			want:    "v0.1.0 (commit " + someCommit + ", " + someDate + ")",
			wantLog: "v0.1.0 (commit " + someCommit + ")"},
		"go install": {version: "v0.1.0", want: "v0.1.0", wantLog: "v0.1.0"},
		"set by the linker": {linked: build{"v0.1.0", someCommit, someDate}, version: "(devel)",
			want:    "v0.1.0 (commit " + someCommit + ", " + someDate + ")",
			wantLog: "v0.1.0 (commit " + someCommit + ")"},
		"set by the linker in a clone": {linked: build{version: "v0.1.0"}, version: "v0.2.0", settings: vcsSettings,
			want: "v0.1.0", wantLog: "v0.1.0"},
	} {
		b := tt.linked.withDefaults(&debug.BuildInfo{
			Main: debug.Module{Version: tt.version}, Settings: tt.settings,
		})
		if got := b.versionLine("cloakql"); got != "cloakql "+tt.want+system {
			t.Errorf("%s: versionLine() = %q, want %q", name, got, "cloakql "+tt.want+system)
		}
		if got := b.LogValue().String(); got != tt.wantLog {
			t.Errorf("%s: LogValue() = %q, want %q", name, got, tt.wantLog)
		}
	}
}

// The variables that the Dockerfile sets exist. For an unknown variable, the linker reports no
// error.
func TestVersion_setByLinker(t *testing.T) {
	program := filepath.Join(t.TempDir(), "cloakql")
	const variables = "-X github.com/cloakql/cloakql/internal/program."
	build := exec.Command("go", "build", "-o", program, "-ldflags", variables+"version=v0.1.0 "+
		variables+"commit="+someCommit+" "+variables+"date="+someDate, "../../cmd/cloakql")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(program, "version").Output()
	want := "cloakql v0.1.0 (commit " + someCommit + ", " + someDate + ") go1."
	if err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("cloakql version prints %q (error: %v), want %q", out, err, want)
	}
}
