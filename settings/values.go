package settings

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const secretName = "KEYCLOAK_CLIENT_SECRET_KEY"

// Values are settings as text, for programs that need some of them before they call Read.
type Values struct {
	Source string // says where settings were looked for
	File   string // the name of the settings file, even if there is none

	all    map[string]string
	inFile map[string]bool // settings whose value comes from the file
	// Warnings about names that aren't settings, and about suspicious values.
	unknown, doubtful []string
}

// Lookup returns the settings as text. It returns an error if they can't be read.
func Lookup(environ []string, dir string) (Values, error) {
	var p problems
	v := readValues(environ, dir, &p)
	return v, p.err()
}

// Get returns the value of a setting, or "" if it isn't set. It may be a secret.
func (v Values) Get(name string) string { return v.all[name] }

// InFile reports whether the value of a setting comes from the file.
func (v Values) InFile(name string) bool { return v.inFile[name] }

func readValues(environ []string, dir string, p *problems) Values {
	process := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		process[name] = value
	}
	runtime, set := process["RUNTIME_ENV"]
	name := ".local.env"
	if set && runtime != "local" {
		name = ".env"
	}
	v := Values{Source: "the environment and " + name, File: name, inFile: map[string]bool{}}
	file, cut, err := readSettingsFile(dir, name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		v.Source = "the environment only, since there is no " + name + " here"
		// in a clone of CloakQL
		if _, err := os.Stat(filepath.Join(dir, name+".example")); err == nil {
			v.Source += " (cp " + name + ".example " + name + ")"
		}
	case err != nil:
		p.add("", "%s: %v", name, err)
		// These may be in the file.
		p.suppress("KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID", secretName)
	}
	v.unknown = unknownNames(process, file)
	v.all = map[string]string{}
	maps.Copy(v.all, file)
	delete(v.all, "RUNTIME_ENV") // counts only in the environment, which chose the file
	maps.Copy(v.all, process)
	for name := range file {
		_, overridden := process[name]
		v.inFile[name] = !overridden
	}
	maps.DeleteFunc(v.all, func(_, value string) bool { return value == "" })
	v.clean(process, cut, p)
	if set && runtime == "" { // set but empty isn't local
		v.all["RUNTIME_ENV"] = "production"
	}
	return v
}

// clean trims the values where that can't change their meaning: it removes spaces, and the newline
// of a Kubernetes secret made with echo. It reports values that may not be what was meant: with
// quotes that docker run --env-file and Kubernetes keep, or with a $ that cost a part of the value.
func (v *Values) clean(process map[string]string, cut []string, p *problems) {
	for _, name := range names {
		value, set := v.all[name]
		_, inProcess := process[name]
		switch {
		case !inProcess && slices.Contains(cut, name):
			p.add(name, "holds a $ in %s, which stands for another setting above it in the "+
				"file, and there is none of that name: put the value in single quotes", v.File)
			p.suppress(name)
			continue
		case !set || name == "RUNTIME_ENV": // only the exact text local means local
			continue
		case name == secretName: // spaces may be part of it
			value = strings.TrimRight(value, "\r\n")
		case strings.TrimSpace(value) != "":
			value = strings.TrimSpace(value)
		}
		v.all[name] = value
		quoted := len(value) > 1 && (value[0] == '"' || value[0] == '\'') &&
			value[len(value)-1] == value[0]
		switch {
		case inProcess && quoted && name == secretName:
			v.doubtful = append(v.doubtful,
				secretName+
					" has quotes around it in the environment, which are sent to Keycloak as "+
					"part of it: unless the secret has them, leave them out (docker run "+
					"--env-file and Kubernetes keep them)")
		case inProcess && quoted:
			p.add(name, "has quotes around its value in the environment: leave them out "+
				"(docker run --env-file and Kubernetes keep them)")
			p.suppress(name)
		case name == secretName && strings.TrimSpace(value) != value:
			v.doubtful = append(v.doubtful,
				secretName+" begins or ends with a blank, which is sent to Keycloak as part of it")
		}
	}
}
