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

	texts  map[string]string // by name, from the environment and the file
	inFile map[string]bool   // whether the value of a setting comes from the file

	nameWarnings  []string // warnings about names that aren't settings
	valueWarnings []string // warnings about values that are probably mistakes
}

// Lookup returns the texts of the settings. It returns an error if they can't be read.
func Lookup(environ []string, dir string) (Values, error) {
	var p problems
	v := readValues(environ, dir, &p)
	return v, p.err()
}

// Get returns the value of a setting, or "" if it isn't set. It may be a secret.
func (v Values) Get(name string) string { return v.texts[name] }

// InFile reports whether the value of a setting comes from the file.
func (v Values) InFile(name string) bool { return v.inFile[name] }

// readValues reads the texts of the settings, and adds their problems to p.
func readValues(environ []string, dir string, p *problems) Values {
	environment := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		environment[name] = value
	}
	runtimeEnv, isSet := environment["RUNTIME_ENV"]
	name := ".local.env"
	if isSet && runtimeEnv != "local" {
		name = ".env"
	}
	v := Values{Source: "the environment and " + name, File: name, inFile: map[string]bool{}}
	file, lossyNames, err := readSettingsFile(dir, name)
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
	v.nameWarnings = unknownNames(environment, file)
	v.texts = map[string]string{}
	maps.Copy(v.texts, file)
	delete(v.texts, "RUNTIME_ENV") // it has no effect in the file that it chooses
	maps.Copy(v.texts, environment)
	for name := range file {
		_, isOverridden := environment[name]
		v.inFile[name] = !isOverridden
	}
	maps.DeleteFunc(v.texts, func(_, value string) bool { return value == "" })
	v.clean(environment, lossyNames, p)
	if isSet && runtimeEnv == "" { // an empty RUNTIME_ENV isn't local
		v.texts["RUNTIME_ENV"] = "production"
	}
	return v
}

// clean trims spaces and newlines from the values, such as the newline in a Kubernetes secret that
// was made with echo. From the client secret it trims only newlines. clean reports values that are
// probably mistakes: values with quotes around them, which docker run --env-file and Kubernetes
// don't remove, and values that lost a part because of a $.
func (v *Values) clean(environment map[string]string, lossyNames []string, p *problems) {
	for _, name := range settingNames {
		value, isSet := v.texts[name]
		_, inEnvironment := environment[name]
		switch {
		case !inEnvironment && slices.Contains(lossyNames, name):
			p.add(name, "holds a $ that refers to a setting further up in %s, and there is no "+
				"such "+
				"setting: put the value in single quotes", v.File)
			p.suppress(name)
			continue
		case !isSet || name == "RUNTIME_ENV": // Read compares its exact value
			continue
		case name == secretName: // spaces may be part of the secret
			value = strings.TrimRight(value, "\r\n")
		case strings.TrimSpace(value) != "":
			value = strings.TrimSpace(value)
		}
		v.texts[name] = value
		isQuoted := len(value) > 1 && (value[0] == '"' || value[0] == '\'') &&
			value[len(value)-1] == value[0]
		switch {
		case inEnvironment && isQuoted && name == secretName:
			v.valueWarnings = append(v.valueWarnings,
				secretName+
					" has quotes around it in the environment, which are sent to Keycloak as "+
					"part of it: unless the secret has them, leave them out (docker run "+
					"--env-file and Kubernetes keep them)")
		case inEnvironment && isQuoted:
			p.add(name, "has quotes around its value in the environment: leave them out "+
				"(docker run --env-file and Kubernetes keep them)")
			p.suppress(name)
		case name == secretName && strings.TrimSpace(value) != value:
			v.valueWarnings = append(v.valueWarnings,
				secretName+" begins or ends with a blank, which is sent to Keycloak as part of it")
		}
	}
}
