package graphqlhttp

import (
	"errors"
	"mime"
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

// negotiate picks the media type of the response, RFC 9110 section 12.5.1. A client that doesn't
// say gets application/json, which everyone reads; so does one whose header has no range that can
// be read, which section 12.4.1 lets a server disregard. When it accepts neither, ok is false and
// the error goes out as application/json.
func negotiate(accept []string) (media mediaType, ok bool) {
	plain, response, said := preference{rank: -1}, preference{rank: -1}, false
	left := maxRanges
	for _, header := range accept {
		for header != "" && left > 0 {
			var element string
			if element, header = cutOutsideQuotes(header, ','); strings.Trim(element, " \t") == "" {
				continue // RFC 9110 section 5.6.1: a list may have empty elements
			}
			left--
			r, ok := parseRange(element)
			if !ok {
				continue
			}
			said = true
			plain.consider(r, mediaJSON)
			response.consider(r, mediaResponse)
		}
	}
	switch {
	case !said:
		return mediaJSON, true
	case plain.weight == 0 && response.weight == 0:
		return mediaJSON, false
	case response.weight > plain.weight ||
		response.weight == plain.weight && response.rank >= rankExact:
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

// A preference is what the most specific range so far says of a media type.
type preference struct{ rank, weight int }

// Ranks of ranges, from the least specific on.
const (
	rankAny = iota
	rankApplication
	rankExact
	rankExactCharset
)

func (p *preference) consider(r mediaRange, media mediaType) {
	var rank int
	switch r.name {
	case "*/*":
		rank = rankAny
	case "application/*":
		rank = rankApplication
	case string(media):
		rank = rankExact
		if r.charset {
			rank = rankExactCharset
		}
	default:
		return
	}
	if rank > p.rank || rank == p.rank && r.weight > p.weight {
		p.rank, p.weight = rank, r.weight
	}
}

// parseRange reads a media range. It isn't ok when its type can't be read. A weight that can't be
// read counts as none, as do all parameters where package mime can't read one. Other parameters are
// passed over: no representation here has any, and refusing doesn't help. So is a charset that
// isn't UTF-8, since JSON has no other (RFC 8259, sections 8.1 and 11). Java up to version 18 sends
// "*; q=.2, */*; q=.2" where a program sets no Accept.
func parseRange(element string) (r mediaRange, ok bool) {
	name, parameters, err := mime.ParseMediaType(element)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) ||
		!strings.Contains(name, "/") {
		return mediaRange{}, false
	}
	r = mediaRange{name: name, weight: 1000, charset: isUTF8(parameters["charset"])}
	if weight, ok := parseWeight(parameters["q"]); ok {
		r.weight = weight
	}
	return r, true
}

// isUTF8 reports whether a charset is UTF-8 or a part of it, under the names that clients write.
func isUTF8(charset string) bool {
	switch strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
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

// cutOutsideQuotes cuts text at the first separator that isn't inside a quoted string. A quote
// that is never closed opens none.
func cutOutsideQuotes(text string, separator byte) (before, after string) {
	first := -1 // the first separator in an open quote
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted, first = !quoted, -1
		case c != separator:
		case !quoted:
			return text[:i], text[i+1:]
		case first < 0:
			first = i
		}
	}
	if quoted && first >= 0 {
		return text[:first], text[first+1:]
	}
	return text, ""
}
