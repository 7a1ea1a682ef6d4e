package program

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
)

// The linker sets these variables in builds without a Git repository, such as the Dockerfile's:
//
//	-ldflags="-X github.com/cloakql/cloakql/internal/program.version=v0.1.0"
var (
	version string
	commit  string
	date    string // of the commit, in RFC 3339
)

// A build says which version of the source a program was built from. commit and date may be empty.
type build struct {
	version, commit, date string
}

// thisBuild returns the build of this program. If the linker hasn't set the version, thisBuild uses
// what Go recorded: the version and, for a build in a clone, the commit and its date.
func thisBuild() build {
	b := build{version: version, commit: commit, date: date}
	if info, ok := debug.ReadBuildInfo(); ok {
		b = b.withDefaults(info)
	}
	b.version = cmp.Or(b.version, "(devel)")
	return b
}

// withDefaults returns b if it has a version. Otherwise it returns the version, the commit and its
// date in info.
func (b build) withDefaults(info *debug.BuildInfo) build {
	if b.version != "" {
		return b
	}
	b.version = info.Main.Version
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.commit = setting.Value
		case "vcs.time":
			b.date = setting.Value
		}
	}
	return b
}

// LogValue returns the version and, if it is known, the commit, as one text.
func (b build) LogValue() slog.Value {
	if b.commit == "" {
		return slog.StringValue(b.version)
	}
	return slog.StringValue(b.version + " (commit " + b.commit + ")")
}

// Version returns a line with a program's name, its version and the version of Go. If the commit
// and its date are known, the line has them too.
func Version(name string) string {
	return thisBuild().versionLine(name)
}

// versionLine returns the result of Version for b.
func (b build) versionLine(name string) string {
	var details []string
	if b.commit != "" {
		details = append(details, "commit "+b.commit)
	}
	if b.date != "" {
		details = append(details, b.date)
	}
	source := ""
	if len(details) > 0 {
		source = " (" + strings.Join(details, ", ") + ")"
	}
	return fmt.Sprintf("%s %s%s %s %s/%s", name, b.version, source, runtime.Version(),
		runtime.GOOS, runtime.GOARCH)
}
