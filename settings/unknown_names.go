package settings

import (
	"regexp"
	"slices"
	"strings"
)

// unknownNames returns warnings about names that aren't settings. It warns about all such names in
// the file. In the environment, it warns only about names that begin with KEYCLOAK_, former
// settings, and names that look like misspelt settings. Without a warning, an operator wouldn't
// notice that KEYCLOAK_AUDIENCE is misspelt, and that the server accepts more tokens than intended.
func unknownNames(environment, file map[string]string) []string {
	var names []string
	for name := range file {
		switch {
		case slices.Contains(settingNames, name):
		case settingNamePattern.MatchString(name):
			names = append(names, name)
		default: // not quoted, because it may be the second line of a secret
			names = append(names, "A line of the settings file")
		}
	}
	for name := range environment {
		// Kubernetes sets names such as KEYCLOAK_SERVICE_HOST for a service named keycloak.
		if _, inFile := file[name]; inFile || slices.Contains(settingNames, name) ||
			serviceNamePattern.MatchString(name) {
			continue
		}
		if strings.HasPrefix(name, "KEYCLOAK_") || slices.Contains(removedSettings, name) ||
			suggestSetting(name) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	warnings := make([]string, len(names))
	for i, name := range names {
		text := name + " isn't a setting of this server and has no effect"
		if slices.Contains(removedSettings, name) {
			text = name + " is no longer a setting of this server and has no effect"
		} else if suggestion := suggestSetting(name); suggestion != "" {
			text += ": did you mean " + suggestion + "?"
		}
		warnings[i] = text + " (docs/settings.md)"
	}
	return warnings
}

var (
	settingNamePattern = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	serviceNamePattern = regexp.MustCompile(`_SERVICE_(HOST|PORT)|_PORT(_|$)`)
)

// suggestSetting returns the setting that a name was probably meant to be, or "" if name is a
// setting or isn't similar to one. It has to be quite sure, because most names in an environment
// belong to other programs. For example, it doesn't suggest a setting of one word, such as ADDR or
// CONSOLE, for a longer name that begins with that word.
func suggestSetting(name string) string {
	normalized := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	normalized = strings.TrimPrefix(normalized, "CLOAKQL_")
	minDistance, suggestion := 3, ""
	for _, setting := range settingNames {
		if setting == name {
			return ""
		}
		distance := editDistance(normalized, setting)
		switch {
		case normalized == setting && name != normalized, // login_scope, CLOAKQL_ADDR
			baseWords(normalized) == baseWords(setting) && strings.Contains(setting, "_"),
			// RUNTIME_ENVIRONMENT, REQUEST_TIMEOUT_SECONDS
			strings.Contains(setting, "_") && strings.HasPrefix(normalized, setting),
			strings.HasPrefix(setting, "KEYCLOAK_") && strings.HasPrefix(setting, normalized+"_") &&
				normalized != "KEYCLOAK",
			strings.Count(normalized, "_") > 0 && setting == normalized+"_BYTES":
			distance = 0
		case len(setting) < 7, len(setting) < 12 && distance > 1:
			continue
		}
		if distance < minDistance {
			minDistance, suggestion = distance, setting
		}
	}
	return suggestion
}

// baseWords returns the words of a name in the singular, and sorted. So two names can be compared
// regardless of plurals and of the words' order: TRUSTED_PROXY matches TRUSTED_PROXIES, and
// LOGIN_LIMIT_ACCOUNT matches LOGIN_ACCOUNT_LIMIT.
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

// editDistance returns how many edits turn a into b. An edit inserts, deletes or changes a letter,
// or swaps two adjacent letters.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	beforePreviousRow, previousRow, currentRow := rows[0], rows[1], rows[2]
	for j := range previousRow {
		previousRow[j] = j
	}
	for i := 1; i <= len(a); i++ {
		currentRow[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			currentRow[j] = min(previousRow[j]+1, currentRow[j-1]+1, previousRow[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				currentRow[j] = min(currentRow[j], beforePreviousRow[j-2]+1)
			}
		}
		beforePreviousRow, previousRow, currentRow = previousRow, currentRow, beforePreviousRow
	}
	return previousRow[len(b)]
}
