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

// Values has the texts of the settings. A program that needs some of them before it calls Read gets
// them from Lookup.
type Values struct {
	Source string // where the settings come from, such as "the environment and .env"
	File   string // the name of the settings file, even if there is none

	merged map[string]string // by name, from the environment and the file
	inFile map[string]bool   // whether the value of a setting comes from the file

	unknown    []string // warnings about names that aren't settings
	suspicious []string // warnings about values that may not be what was meant
}

// Lookup returns the texts of the settings. It returns an error if they can't be read.
func Lookup(environ []string, dir string) (Values, error) {
	var p problems
	v := readValues(environ, dir, &p)
	return v, p.err()
}

// Get returns the value of a setting, or "" if it isn't set. It may be a secret.
func (v Values) Get(name string) string { return v.merged[name] }

// InFile reports whether the value of a setting comes from the file.
func (v Values) InFile(name string) bool { return v.inFile[name] }

// readValues reads the texts of the settings, and adds what is wrong with them to p.
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
	file, lossy, err := readSettingsFile(dir, name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		v.Source = "the environment only, since there is no " + name + " here"
		// The example file exists only in a clone of CloakQL.
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
	delete(v.merged, "RUNTIME_ENV") // it has no effect in the file that it chooses
	maps.Copy(v.merged, process)
	for name := range file {
		_, overridden := process[name]
		v.inFile[name] = !overridden
	}
	maps.DeleteFunc(v.merged, func(_, value string) bool { return value == "" })
	v.clean(process, lossy, p)
	if isSet && runtimeEnv == "" { // an empty RUNTIME_ENV isn't local
		v.merged["RUNTIME_ENV"] = "production"
	}
	return v
}

// clean trims spaces and newlines from the values, such as the newline in a Kubernetes secret that
// was made with echo. From the client secret it trims only newlines, because spaces may be part of
// it. clean reports values that may not be what was meant: those with quotes around them, which
// docker run --env-file and Kubernetes don't remove, and those that lost a part because of a $.
func (v *Values) clean(process map[string]string, lossy []string, p *problems) {
	for _, name := range names {
		value, isSet := v.merged[name]
		_, inProcess := process[name]
		switch {
		case !inProcess && slices.Contains(lossy, name):
			p.add(name, "holds a $ in %s, which stands for another setting above it in the "+
				"file, and there is none of that name: put the value in single quotes", v.File)
			p.suppress(name)
			continue
		case !isSet || name == "RUNTIME_ENV": // only the exact text local is local
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
