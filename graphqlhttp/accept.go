package graphqlhttp

import (
	"errors"
	"mime"
	"net/http"
	"strings"
)

const (
	mediaJSON            mediaType = "application/json"
	mediaGraphQLResponse mediaType = "application/graphql-response+json"

	maxAcceptRanges = 64 // media ranges read from the Accept headers; browsers send fewer than ten
)

// A mediaType is a media type of a response.
type mediaType string

// requestErrorStatus returns the status of a response to a request whose document or variables are
// invalid (GraphQL over HTTP, section 6.4). Older clients read a JSON body only if the status is
// 200.
func (m mediaType) requestErrorStatus() int {
	if m == mediaGraphQLResponse {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// negotiate picks the media type of the response (RFC 9110, section 12.5.1). Without an Accept
// header, the media type is application/json, which every client reads. A header without any valid
// range is ignored, as section 12.4.1 allows. If the client accepts neither type, ok is false and
// the error is sent as application/json.
func negotiate(accept []string) (media mediaType, ok bool) {
	jsonPref, graphQLPref := preference{rank: -1}, preference{rank: -1}
	hasRange, remainingRanges := false, maxAcceptRanges
	for _, header := range accept {
		for header != "" && remainingRanges > 0 {
			var element string
			if element, header = cutOutsideQuotes(header, ','); strings.Trim(element, " \t") == "" {
				continue // RFC 9110 section 5.6.1: a list may have empty elements
			}
			remainingRanges--
			r, ok := parseRange(element)
			if !ok {
				continue
			}
			hasRange = true
			jsonPref.consider(r, mediaJSON)
			graphQLPref.consider(r, mediaGraphQLResponse)
		}
	}
	switch {
	case !hasRange:
		return mediaJSON, true
	case jsonPref.weight == 0 && graphQLPref.weight == 0:
		return mediaJSON, false
	case graphQLPref.weight > jsonPref.weight ||
		graphQLPref.weight == jsonPref.weight && graphQLPref.rank >= rankExact:
		return mediaGraphQLResponse, true
	}
	return mediaJSON, true
}

// A mediaRange is an element of an Accept header.
type mediaRange struct {
	name    string // in lower case
	hasUTF8 bool   // it has the parameter charset=utf-8
	weight  int    // 0 to 1000
}

// A preference holds the rank and the weight of the most specific range that matches a media type.
type preference struct{ rank, weight int }

// The ranks of media ranges, from least to most specific.
const (
	rankAny = iota
	rankApplication
	rankExact
	rankExactCharset
)

// consider updates p with a range if it matches media and is at least as specific as earlier
// ranges.
func (p *preference) consider(r mediaRange, media mediaType) {
	var rank int
	switch r.name {
	case "*/*":
		rank = rankAny
	case "application/*":
		rank = rankApplication
	case string(media):
		rank = rankExact
		if r.hasUTF8 {
			rank = rankExactCharset
		}
	default:
		return
	}
	if rank > p.rank || rank == p.rank && r.weight > p.weight {
		p.rank, p.weight = rank, r.weight
	}
}

// parseRange parses a media range. It returns false if the type is malformed, as in the default
// header of Java before version 19: "*; q=.2, */*; q=.2". A malformed weight is ignored, and so are
// all parameters if package mime can't parse one of them. Parameters other than q and charset are
// ignored: the two media types define no others, and rejecting the request wouldn't help. A charset
// other than UTF-8 is ignored because JSON has only UTF-8 (RFC 8259, sections 8.1 and 11).
func parseRange(element string) (r mediaRange, ok bool) {
	name, parameters, err := mime.ParseMediaType(element)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) ||
		!strings.Contains(name, "/") {
		return mediaRange{}, false
	}
	r = mediaRange{name: name, weight: 1000, hasUTF8: isUTF8(parameters["charset"])}
	if weight, ok := parseWeight(parameters["q"]); ok {
		r.weight = weight
	}
	return r, true
}

// isUTF8 reports whether a charset is UTF-8 or ASCII, under any name that clients use.
func isUTF8(charset string) bool {
	switch strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// parseWeight parses a qvalue (RFC 9110, section 12.4.2) and returns it in thousandths.
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

// cutOutsideQuotes cuts text at the first separator outside quoted strings. A quote that is never
// closed doesn't start a quoted string.
func cutOutsideQuotes(text string, separator byte) (before, after string) {
	firstSeparator := -1 // index of the first separator since the open quote
	inQuotes := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inQuotes && c == '\\':
			i++
		case c == '"':
			inQuotes, firstSeparator = !inQuotes, -1
		case c != separator:
		case !inQuotes:
			return text[:i], text[i+1:]
		case firstSeparator < 0:
			firstSeparator = i
		}
	}
	if inQuotes && firstSeparator >= 0 {
		return text[:firstSeparator], text[firstSeparator+1:]
	}
	return text, ""
}
