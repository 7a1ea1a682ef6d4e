package program

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
)

// The linker sets these in builds without a Git repository, as in the Dockerfile:
//
//	-ldflags="-X github.com/cloakql/cloakql/internal/program.version=v0.1.0"
var (
	version string
	commit  string
	date    string // of the commit, in RFC 3339
)

// A build says what a program was built from. commit and date may be empty.
type build struct {
	version, commit, date string
}

// thisBuild returns the build that the linker has set, or else the one that Go has recorded: the
// version, and in a clone also the commit and its date.
func thisBuild() build {
	b := build{version: version, commit: commit, date: date}
	if info, ok := debug.ReadBuildInfo(); ok {
		b = b.withDefaults(info)
	}
	b.version = cmp.Or(b.version, "(devel)")
	return b
}

// withDefaults returns b, or if it has no version, the version, the commit and its date in info.
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

// LogValue returns the version and, if it is known, the commit.
func (b build) LogValue() slog.Value {
	if b.commit == "" {
		return slog.StringValue(b.version)
	}
	return slog.StringValue(b.version + " (commit " + b.commit + ")")
}

// Version returns a line with a program's name, its version, the commit and its date if they are
// known, and the version of Go.
func Version(name string) string {
	return thisBuild().line(name)
}

// line returns the text of Version for b.
func (b build) line(name string) string {
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
