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

	merged map[string]string // by name, from the environment and the file
	inFile map[string]bool   // settings whose value comes from the file

	unknown    []string // warnings about names that aren't settings
	suspicious []string // warnings about values that may not be what was meant
}

// Lookup returns the settings as text. It returns an error if they can't be read.
func Lookup(environ []string, dir string) (Values, error) {
	var p problems
	v := readValues(environ, dir, &p)
	return v, p.err()
}

// Get returns the value of a setting, or "" if it isn't set. It may be a secret.
func (v Values) Get(name string) string { return v.merged[name] }

// InFile reports whether the value of a setting comes from the file.
func (v Values) InFile(name string) bool { return v.inFile[name] }

func readValues(environ []string, dir string, p *problems) Values {
	process := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		process[name] = value
	}
	runtimeEnv, isSet := process["RUNTIME_ENV"]
	name := ".local.env"
	if isSet && runtimeEnv != "local" {
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
		// These settings may be in the file that can't be read.
		p.suppress("KEYCLOAK_SERVER_URL", "KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID", secretName)
	}
	v.unknown = unknownNames(process, file)
	v.merged = map[string]string{}
	maps.Copy(v.merged, file)
	delete(v.merged, "RUNTIME_ENV") // counts only in the environment, which chose the file
	maps.Copy(v.merged, process)
	for name := range file {
		_, overridden := process[name]
		v.inFile[name] = !overridden
	}
	maps.DeleteFunc(v.merged, func(_, value string) bool { return value == "" })
	v.clean(process, cut, p)
	if isSet && runtimeEnv == "" { // set but empty isn't local
		v.merged["RUNTIME_ENV"] = "production"
	}
	return v
}

// clean trims spaces from the values, and the newline of a Kubernetes secret made with echo, unless
// they may be part of the value. It reports values that may not be what was meant: with quotes that
// docker run --env-file and Kubernetes keep, or with a $ that removed a part of the value.
func (v *Values) clean(process map[string]string, cut []string, p *problems) {
	for _, name := range names {
		value, isSet := v.merged[name]
		_, inProcess := process[name]
		switch {
		case !inProcess && slices.Contains(cut, name):
			p.add(name, "holds a $ in %s, which stands for another setting above it in the "+
				"file, and there is none of that name: put the value in single quotes", v.File)
			p.suppress(name)
			continue
		case !isSet || name == "RUNTIME_ENV": // only the exact text local means local
			continue
		case name == secretName: // spaces may be part of it
			value = strings.TrimRight(value, "\r\n")
		case strings.TrimSpace(value) != "":
			value = strings.TrimSpace(value)
		}
		v.merged[name] = value
		quoted := len(value) > 1 && (value[0] == '"' || value[0] == '\'') &&
			value[len(value)-1] == value[0]
		switch {
		case inProcess && quoted && name == secretName:
			v.suspicious = append(v.suspicious,
				secretName+
					" has quotes around it in the environment, which are sent to Keycloak as "+
					"part of it: unless the secret has them, leave them out (docker run "+
					"--env-file and Kubernetes keep them)")
		case inProcess && quoted:
			p.add(name, "has quotes around its value in the environment: leave them out "+
				"(docker run --env-file and Kubernetes keep them)")
			p.suppress(name)
		case name == secretName && strings.TrimSpace(value) != value:
			v.suspicious = append(v.suspicious,
				secretName+" begins or ends with a blank, which is sent to Keycloak as part of it")
		}
	}
}
