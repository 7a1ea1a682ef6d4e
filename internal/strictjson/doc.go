// Package strictjson reads JSON that strangers wrote: the headers and claims of tokens, key sets,
// and GraphQL requests.
//
// Two readers may see different things in one text, and its author may count on that. So
// what JSON leaves open is refused, at every depth:
//
//   - text that isn't JSON by the grammar of RFC 8259, to the last byte: one value, and nothing
//     behind it
//   - bytes that aren't UTF-8 (RFC 8259, section 8.1), a byte order mark included
//   - two members of one name in an object, however the name is escaped (RFC 7515, section 4;
//     RFC 7519, section 4)
//   - an escape that is half of a surrogate pair, and so no character (RFC 8259, section 8.2)
//   - a number that a float64 can't hold (RFC 8259, section 6)
//   - nesting beyond a bound: 32 levels for Members, the caller's for Decode
//   - for Members, numbers of more than 64 characters, or of 10^308 and more: to convert some
//     numbers takes longer than all the rest; for Decode, more values than the caller's bound
//
// Decode makes nothing of a text before its grammar and its size are known. How many bytes a text
// may have is for its caller to say.
//
// What it reads, encoding/json reads alike; fuzz tests hold it to that. What reading costs is
// linear in the text, whatever is in it.
//
// Members hands the members of an object to a function, as text, and makes nothing of them: for
// tokens, of which few members matter. Decode makes Go values of a whole text: for requests.
// ScanMembers and ScanItems read what was read before, or what is read with more care part by part.
package strictjson
