package settings

import (
	"regexp"
	"slices"
	"strings"
)

// unknownNames are warnings about names that no setting has: each of the file, and of the
// environment those that begin like ours or look like one of ours misspelt. A misspelt
// KEYCLOAK_AUDIENCE would otherwise be a wider audience than anybody meant.
func unknownNames(process, file map[string]string) []string {
	var unknown []string
	for name := range file {
		switch {
		case slices.Contains(names, name):
		case settingName.MatchString(name):
			unknown = append(unknown, name)
		default: // it may be the second line of a secret
			unknown = append(unknown, "A line of the settings file")
		}
	}
	for name := range process {
		// Kubernetes sets such names for a service whose name begins with keycloak.
		if _, inFile := file[name]; inFile || slices.Contains(names, name) ||
			serviceName.MatchString(name) {
			continue
		}
		if strings.HasPrefix(name, "KEYCLOAK_") || slices.Contains(removed, name) ||
			misspelt(name) != "" {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	unknown = slices.Compact(unknown)
	for i, name := range unknown {
		text := name + " is no setting of this server and has no effect"
		if slices.Contains(removed, name) {
			text = name + " is no longer a setting of this server and has no effect"
		} else if meant := misspelt(name); meant != "" {
			text += ": did you mean " + meant + "?"
		}
		unknown[i] = text + " (docs/settings.md)"
	}
	return unknown
}

var (
	settingName = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	serviceName = regexp.MustCompile(`_SERVICE_(HOST|PORT)|_PORT(_|$)`)
)

// misspelt returns the setting that a name looks like, or "". It must be sure enough for a warning
// about any name of an environment, where most names are other programs': a name of one word, such
// as ADDR or CONSOLE, is never guessed from the beginning of a longer one.
func misspelt(name string) string {
	upper := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	upper = strings.TrimPrefix(upper, "CLOAKQL_")
	best, meant := 3, ""
	for _, ours := range names {
		if ours == name {
			return ""
		}
		distance := editDistance(upper, ours)
		switch {
		case upper == ours && name != upper, // login_scope, CLOAKQL_ADDR
			plainWords(upper) == plainWords(ours) && strings.Contains(ours, "_"),
			// RUNTIME_ENVIRONMENT, REQUEST_TIMEOUT_SECONDS
			strings.Contains(ours, "_") && strings.HasPrefix(upper, ours),
			strings.HasPrefix(ours, "KEYCLOAK_") && strings.HasPrefix(ours, upper+"_") &&
				upper != "KEYCLOAK",
			strings.Count(upper, "_") > 0 && ours == upper+"_BYTES":
			distance = 0
		case len(ours) < 7, len(ours) < 12 && distance > 1:
			continue
		}
		if distance < best {
			best, meant = distance, ours
		}
	}
	return meant
}

// plainWords are the words of a name in the singular, whatever their order and what is between
// them: TRUSTED_PROXY for TRUSTED_PROXIES, KEYSMAXAGE for KEYS_MAX_AGE.
func plainWords(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words {
		switch {
		case strings.HasSuffix(word, "IES"):
			words[i] = strings.TrimSuffix(word, "IES") + "Y"
		case word == "SIZE": // of what is counted in bytes
			words[i] = "BYTE"
		default:
			words[i] = strings.TrimSuffix(word, "S")
		}
	}
	slices.Sort(words)
	return strings.Join(words, "_")
}

// editDistance is how many letters must be put in, left out, changed, or swapped with the next one,
// to make a into b.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, this := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		this[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			this[j] = min(last[j]+1, this[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				this[j] = min(this[j], before[j-2]+1)
			}
		}
		before, last, this = last, this, before
	}
	return last[len(b)]
}
