package graphqlhttp

import (
	"net/http"
	"strings"
)

const (
	mediaJSON     mediaType = "application/json"
	mediaResponse mediaType = "application/graphql-response+json"

	maxRanges = 64 // of an Accept header that are looked at; browsers send fewer than ten
)

// A mediaType is one of the two that a response can have.
type mediaType string

// requestErrorStatus is the status of a request that was refused before it ran, GraphQL over HTTP
// section 6.4: older clients read a JSON body at 200 alone.
func (m mediaType) requestErrorStatus() int {
	if m == mediaResponse {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// negotiate picks the media type of the response, RFC 9110 section 12.5.1. A client that doesn't say
// gets application/json, which everyone reads. When it accepts neither, ok is false and the error
// goes out as application/json.
func negotiate(accept []string) (media mediaType, ok bool) {
	plain, response, said := wish{rank: -1}, wish{rank: -1}, false
	left := maxRanges
	for _, header := range accept {
		for header != "" && left > 0 {
			var element string
			if element, header = cutOutsideQuotes(header, ','); strings.Trim(element, " \t") == "" {
				continue // RFC 9110 section 5.6.1: a list may have empty elements
			}
			said = true
			left--
			r, ok := parseRange(element)
			if !ok {
				continue
			}
			plain.hear(r, mediaJSON)
			response.hear(r, mediaResponse)
		}
	}
	switch {
	case !said:
		return mediaJSON, true
	case plain.weight == 0 && response.weight == 0:
		return mediaJSON, false
	case response.weight > plain.weight || response.weight == plain.weight && response.rank >= exactly:
		return mediaResponse, true
	}
	return mediaJSON, true
}

// A mediaRange is one element of an Accept header.
type mediaRange struct {
	name    string // in lower case
	charset bool   // that there is one, which is utf-8
	weight  int    // 0 to 1000
}

// A wish is what the most specific range so far says of a media type.
type wish struct{ rank, weight int }

// Ranks of ranges, from the least specific on.
const (
	anything = iota
	anyApplication
	exactly
	exactlyWithCharset
)

func (w *wish) hear(r mediaRange, media mediaType) {
	var rank int
	switch r.name {
	case "*/*":
		rank = anything
	case "application/*":
		rank = anyApplication
	case string(media):
		rank = exactly
		if r.charset {
			rank = exactlyWithCharset
		}
	default:
		return
	}
	if rank > w.rank || rank == w.rank && r.weight > w.weight {
		w.rank, w.weight = rank, r.weight
	}
}

// parseRange reads a media range. It isn't ok when it is malformed, or asks for a charset that no response
// has. Other parameters are passed over: no representation here has any, and refusing helps nobody.
func parseRange(element string) (r mediaRange, ok bool) {
	name, rest := cutOutsideQuotes(element, ';')
	name = strings.Trim(name, " \t")
	main, sub, found := strings.Cut(name, "/")
	if !found || !isToken(main) || !isToken(sub) {
		return mediaRange{}, false
	}
	r = mediaRange{name: strings.ToLower(name), weight: 1000}
	for rest != "" {
		var parameter string
		parameter, rest = cutOutsideQuotes(rest, ';')
		parameter = strings.Trim(parameter, " \t")
		if parameter == "" {
			continue
		}
		key, value, _ := strings.Cut(parameter, "=")
		quoted := len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"'
		if !isToken(key) || !quoted && !isToken(value) {
			return mediaRange{}, false
		}
		switch strings.ToLower(key) {
		case "q":
			if r.weight, ok = parseWeight(value); !ok {
				return mediaRange{}, false
			}
		case "charset":
			if r.charset = strings.EqualFold(strings.Trim(value, `"`), "utf-8"); !r.charset {
				return mediaRange{}, false
			}
		}
	}
	return r, true
}

// parseWeight reads a qvalue, RFC 9110 section 12.4.2, in thousandths.
func parseWeight(text string) (weight int, ok bool) {
	whole, decimals, _ := strings.Cut(text, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0, false
	}
	weight = int(whole[0]-'0') * 1000
	for i, unit := 0, 100; i < len(decimals); i, unit = i+1, unit/10 {
		if decimals[i] < '0' || decimals[i] > '9' {
			return 0, false
		}
		weight += int(decimals[i]-'0') * unit
	}
	return weight, weight <= 1000
}

// cutOutsideQuotes cuts text at the first separator that isn't inside a quoted string.
func cutOutsideQuotes(text string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// isToken tells whether text is a token of RFC 9110 section 5.6.2.
func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c|' ' && c|' ' <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return text != ""
}
