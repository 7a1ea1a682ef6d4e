package settings

import (
	"regexp"
	"slices"
	"strings"
)

// unknownNames returns warnings about names that aren't settings: all such names in the file, but
// in the environment only those that begin with KEYCLOAK_, were settings once, or look like
// misspelt settings. Without a warning, a misspelt KEYCLOAK_AUDIENCE would silently widen the
// audience.
func unknownNames(process, file map[string]string) []string {
	var unknown []string
	for name := range file {
		switch {
		case slices.Contains(names, name):
		case settingNamePattern.MatchString(name):
			unknown = append(unknown, name)
		default: // may be the second line of a secret
			unknown = append(unknown, "A line of the settings file")
		}
	}
	for name := range process {
		// Kubernetes sets such names for a service whose name begins with keycloak.
		if _, inFile := file[name]; inFile || slices.Contains(names, name) ||
			serviceNamePattern.MatchString(name) {
			continue
		}
		if strings.HasPrefix(name, "KEYCLOAK_") || slices.Contains(removedSettings, name) ||
			misspelt(name) != "" {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	unknown = slices.Compact(unknown)
	for i, name := range unknown {
		text := name + " is no setting of this server and has no effect"
		if slices.Contains(removedSettings, name) {
			text = name + " is no longer a setting of this server and has no effect"
		} else if meant := misspelt(name); meant != "" {
			text += ": did you mean " + meant + "?"
		}
		unknown[i] = text + " (docs/settings.md)"
	}
	return unknown
}

var (
	settingNamePattern = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	serviceNamePattern = regexp.MustCompile(`_SERVICE_(HOST|PORT)|_PORT(_|$)`)
)

// misspelt returns the setting that a name was probably meant to be, or "". It has to be quite
// sure, because most names in an environment belong to other programs. So a setting of one word,
// such as ADDR or CONSOLE, is never guessed from the beginning of a longer name.
func misspelt(name string) string {
	upper := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	upper = strings.TrimPrefix(upper, "CLOAKQL_")
	best, meant := 3, ""
	for _, setting := range names {
		if setting == name {
			return ""
		}
		distance := editDistance(upper, setting)
		switch {
		case upper == setting && name != upper, // login_scope, CLOAKQL_ADDR
			baseWords(upper) == baseWords(setting) && strings.Contains(setting, "_"),
			// RUNTIME_ENVIRONMENT, REQUEST_TIMEOUT_SECONDS
			strings.Contains(setting, "_") && strings.HasPrefix(upper, setting),
			strings.HasPrefix(setting, "KEYCLOAK_") && strings.HasPrefix(setting, upper+"_") &&
				upper != "KEYCLOAK",
			strings.Count(upper, "_") > 0 && setting == upper+"_BYTES":
			distance = 0
		case len(setting) < 7, len(setting) < 12 && distance > 1:
			continue
		}
		if distance < best {
			best, meant = distance, setting
		}
	}
	return meant
}

// baseWords returns the words of a name, sorted and in the singular, so that names can be compared
// regardless of both: TRUSTED_PROXY matches TRUSTED_PROXIES, and LOGIN_LIMIT_ACCOUNT matches
// LOGIN_ACCOUNT_LIMIT.
func baseWords(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words {
		switch {
		case strings.HasSuffix(word, "IES"):
			words[i] = strings.TrimSuffix(word, "IES") + "Y"
		case word == "SIZE": // MAX_BODY_SIZE for MAX_BODY_BYTES
			words[i] = "BYTE"
		default:
			words[i] = strings.TrimSuffix(word, "S")
		}
	}
	slices.Sort(words)
	return strings.Join(words, "_")
}

// editDistance returns how many letters have to be inserted, deleted, changed, or swapped with the
// next letter to turn a into b.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	beforePrevious, previous, current := rows[0], rows[1], rows[2]
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], beforePrevious[j-2]+1)
			}
		}
		beforePrevious, previous, current = previous, current, beforePrevious
	}
	return previous[len(b)]
}
