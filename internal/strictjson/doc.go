// Package strictjson parses untrusted JSON: the headers and claims of tokens, key sets, and GraphQL
// requests.
//
// Two parsers may understand the same text differently, and an attacker may exploit that. So
// everything that the JSON specifications leave open is rejected, at every depth:
//
//   - text that doesn't match the grammar of RFC 8259 to the last byte: one value and nothing after
//     it
//   - bytes that aren't UTF-8 (RFC 8259, section 8.1), and a byte order mark
//   - duplicate member names in an object, even if escaped differently (RFC 7515, section 4; RFC
//     7519, section 4)
//   - escapes of a lone surrogate, which isn't a character (RFC 8259, section 8.2)
//   - numbers that don't fit a float64 (RFC 8259, section 6)
//   - nesting deeper than a limit: 32 levels for VisitMembers, the caller's limit for Decode
//   - for VisitMembers, numbers that have more than 64 characters or are at least 10^308, since
//     converting some numbers takes longer than everything else
//   - for Decode, more values than the caller's limit
//
// Decode builds no values until it has checked the grammar and the limits of the whole text. The
// caller must bound the number of bytes.
//
// encoding/json reads the same values from every text that this package accepts; fuzz tests check
// this. Parsing takes linear time for any text.
//
// VisitMembers passes the members of an object to a function as text, without building values. It
// is for tokens, of which only a few members matter. Decode builds Go values from a whole text. It
// is for requests. VisitMembersLenient and VisitItemsLenient are for text that was checked before,
// or whose parts are checked one by one afterwards.
package strictjson
