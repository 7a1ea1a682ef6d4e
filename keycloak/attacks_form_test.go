package keycloak

import (
	"bytes"
	"compress/flate"
	"crypto"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// requestAttacks are ways to send a token, usually a good one. If two readers of a request see two
// different tokens, or one of them sees none, an attacker can fool one of them.
func requestAttacks(f *forge) []attack {
	missing, malformed := identity.ErrTokenMissing, identity.ErrTokenMalformed
	good, forged := f.token(f.ed, nil, nil), f.evil.token(alice(f.t))
	set := func(name, value string) func(*http.Request, string) {
		return func(r *http.Request, _ string) { r.Header.Set(name, value) }
	}
	body := func(media, text string) func(*http.Request, string) {
		return func(r *http.Request, _ string) {
			r.Header.Set("Content-Type", media)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+f.secret()))
	return []attack{
		row("the scheme Bearer", "RFC 6750, section 2.1", good, nil),
		row("the scheme in lowercase", "RFC 9110, section 11.1", good,
			nil).headers("bearer " + good),
		row("a folded header", "RFC 9112, section 5.2", good,
			nil).raw("Authorization: Bearer\r\n " + good),

		row("no Authorization header", "RFC 6750, section 3.1", "",
			missing).by(func(*http.Request, string) {}),
		row("an empty Authorization header", "RFC 6750, section 2.1", "", missing).headers(""),
		row("another scheme", "RFC 6750, section 2.1", good, missing).headers(basic),
		row("a token as the password of Basic", "RFC 6749, section 2.3.1", good,
			missing).by(func(r *http.Request, token string) { r.SetBasicAuth("alice", token) }),
		row("a token in the URL's userinfo", "RFC 9110, section 4.2.4", good,
			missing).by(func(r *http.Request, token string) {
			r.URL.User = url.UserPassword("Bearer", token)
		}),
		row("the scheme DPoP", "RFC 9449, section 7.1", good, missing).headers("DPoP " + good),
		row("the scheme Token", "RFC 6750, section 2.1", good, missing).headers("Token " + good),
		row("the scheme JWT", "RFC 6750, section 2.1", good, missing).headers("JWT " + good),
		row("a token without a scheme", "RFC 6750, section 2.1", good, missing).headers(good),
		row("a scheme with a colon", "RFC 9110, section 11.4", good,
			missing).headers("Bearer: " + good),
		row("an equals sign instead of the space", "RFC 9110, section 11.4", good,
			missing).headers("Bearer=" + good),
		row("no space", "RFC 9110, section 11.4", good, missing).headers("Bearer" + good),
		row("the scheme in quotes", "RFC 9110, section 11.1", good,
			missing).headers(`"Bearer" ` + good),
		row("the scheme with a Cyrillic letter", "RFC 9110, section 5.6.2", good,
			missing).headers("\u0412earer " + good),
		row("a no-break space instead of the space", "RFC 9110, section 11.4", good,
			missing).headers("Bearer\u00a0" + good),
		row("an ideographic space instead of the space", "RFC 9110, section 11.4", good,
			missing).headers("Bearer\u3000" + good),
		row("a next-line character instead of the space", "RFC 9110, section 11.4", good,
			missing).headers("Bearer\u0085" + good),
		row("a no-break space after the space", "RFC 9110, section 11.4", good,
			malformed).headers("Bearer \u00a0" + good),
		row("a no-break space after the token", "RFC 6750, section 2.1", good,
			malformed).headers("Bearer " + good + "\u00a0"),
		row("a list that starts with Basic", "RFC 9110, section 11.6.2", good,
			missing).headers(basic + ", Bearer " + good),

		row("in the query", "RFC 6750, section 2.3", good,
			missing).by(func(r *http.Request, token string) {
			r.URL.RawQuery = "access_token=" + token
		}),
		row("in a form", "RFC 6750, section 2.2", good,
			missing).by(body("application/x-www-form-urlencoded", "access_token="+good)),
		row("in a JSON body", "RFC 6750, section 2", good,
			missing).by(body("application/json", `{"access_token":"`+good+`"}`)),
		row("in a cookie", "RFC 6750, section 2", good,
			missing).by(set("Cookie", "access_token="+good+"; KEYCLOAK_IDENTITY="+good)),
		row("in X-Forwarded-Access-Token", "RFC 6750, section 2", good,
			missing).by(set("X-Forwarded-Access-Token", good)),
		row("in Proxy-Authorization", "RFC 9110, section 11.7.2", good,
			missing).by(set("Proxy-Authorization", "Bearer "+good)),
		row("in Sec-WebSocket-Protocol", "RFC 6455, section 11.3.4", good,
			missing).by(set("Sec-WebSocket-Protocol", "bearer, "+good)),
		row("in a trailer", "RFC 9110, section 6.5.1", good,
			missing).by(func(r *http.Request, token string) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), -1
			r.Trailer = http.Header{"Authorization": {"Bearer " + token}}
		}),

		row("two headers with the same token", "RFC 9110, section 5.3", good, malformed,
			"2").headers("Bearer "+good, "Bearer "+good),
		row("two headers, the second forged", "RFC 9110, section 5.3", forged, malformed,
			"2").headers("Bearer "+good, "Bearer "+forged),
		row("two headers with different case", "RFC 9110, section 5.1", good, malformed,
			"2").raw("Authorization: Bearer " + good + "\r\nauthorization: Bearer " + good),
		row("two headers, Basic first", "RFC 9110, section 5.3", good, malformed,
			"2").headers(basic, "Bearer "+good),
		row("two headers, an empty one first", "RFC 9110, section 5.3", good, malformed,
			"2").headers("", "Bearer "+good),
		row("two tokens", "RFC 6750, section 2.1", good, malformed,
			"more than one").headers("Bearer " + good + " " + good),
		row("Bearer twice", "RFC 6750, section 2.1", good, malformed,
			"more than one").headers("Bearer Bearer " + good),
		row("Bearer without a token", "RFC 6750, section 2.1", "", malformed).headers("Bearer"),
		row("Bearer null", "RFC 6750, section 2.1", "", malformed,
			"dots: 1").headers("Bearer null"),
		row("a list of two tokens", "RFC 9110, section 11.6.2", good, malformed,
			"more than one").headers("Bearer " + good + ", " + good),
		row("a list without spaces", "RFC 9110, section 11.6.2", good, malformed,
			"dots: 5").headers("Bearer " + good + "," + good),
		row("a comma after the token", "RFC 9110, section 5.6.1", good, malformed,
			"part 3").headers("Bearer " + good + ","),
		row("a list that ends with Basic", "RFC 9110, section 11.6.2", good,
			malformed).headers("Bearer " + good + ", " + basic),
		row("a quoted token", "RFC 6750, section 2.1", good, malformed,
			"part 1").headers(`Bearer "` + good + `"`),
		row("a token as a parameter", "RFC 9110, section 11.2", good, malformed,
			"part 1").headers("Bearer access_token=" + good),
		row("a token as a quoted parameter", "RFC 9110, section 11.2", good, malformed,
			"part 1").headers(`Bearer token="` + good + `"`),
		row("a realm parameter before the token", "RFC 9110, section 11.2", good, malformed,
			"more than one").headers(`Bearer realm="local" ` + good),
		row("a space inside the token", "RFC 6750, section 2.1", good, malformed,
			"more than one").headers("Bearer " + good[:40] + " " + good[40:]),
		row("a fold inside the token", "RFC 9112, section 5.2", good, malformed,
			"more than one").raw("Authorization: Bearer " + good[:40] + "\r\n " + good[40:]),
		row("a line break inside the token", "RFC 9110, section 5.5", good,
			errNotHTTP).raw("Authorization: Bearer " + good[:40] + "\n" + good[40:]),
		row("a NUL byte after the token", "RFC 9110, section 5.5", good,
			errNotHTTP).raw("Authorization: Bearer " + good + "\x00"),
		row("a space before the colon", "RFC 9112, section 5.1", good,
			errNotHTTP).raw("Authorization : Bearer " + good),
		row("a vertical tab instead of the space", "RFC 9110, section 5.5", good,
			errNotHTTP).raw("Authorization: Bearer\v" + good),
	}
}

// formAttacks break the compact serialization of RFC 7515, or use another serialization.
func formAttacks(f *forge) []attack {
	malformed := identity.ErrTokenMalformed
	good := f.token(f.ed, nil, nil)
	header, payload, signature := splitToken(good)
	parts := func(p ...string) string { return strings.Join(p, ".") }
	mallory := base64url([]byte(f.claims(object{"sub": "mallory"})))
	jwe := f.jwe(object{"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "enc-1", "cty": "JWT"},
		alice(f.t))
	pbes2 := object{"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2s": "AAAA", "p2c": 1 << 31,
		"kid": "ed-1"}
	// Small enough to pass the size limit, but large once decompressed.
	bomb := f.jwe(object{"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "enc-1", "zip": "DEF"},
		deflated(strings.Repeat(" ", 4<<20)))
	flat := object{"protected": header, "payload": payload, "signature": signature}
	// Every part of loose ends in a character with unused bits.
	loose := f.ed.sign(padTo(1, f.ed.header()), padTo(1, alice(f.t)))
	looseHeader, loosePayload, looseSignature := splitToken(loose)
	return []attack{
		row("one part", "RFC 7515, section 7.1", header, malformed, "dots: 1"),
		row("two parts, no signature", "RFC 7515, section 7.1", parts(header, payload), malformed,
			"dots: 2"),
		row("four parts", "RFC 7515, section 7.1", parts(good, signature), malformed, "dots: 4"),
		row("only dots", "RFC 7515, section 7.1", "..", malformed, "header"),
		row("an empty header", "RFC 7515, section 7.1", parts("", payload, signature), malformed,
			"header"),
		row("a detached payload", "RFC 7515, appendix F", parts(header, "", signature), malformed,
			"payload"),
		row("an empty signature", "CVE-2020-28042", parts(header, mallory, ""),
			identity.ErrTokenSignature, "signature"),
		row("encrypted with the realm's public key", "RFC 7516, section 7.1; CVE-2023-51774", jwe,
			malformed, "dots: 5"),
		row("encrypted, with an expensive key derivation", "CVE-2022-36083",
			f.jwe(pbes2, alice(f.t)), malformed, "dots: 5"),
		row("encrypted, compressed a thousandfold", "CVE-2024-28180; RFC 8725, section 3.6",
			bomb, malformed, "dots: 5"),
		row("thousands of dots", "CVE-2025-30204; CVE-2025-27144", strings.Repeat(".", 16<<10),
			malformed, "dots: 16385"),
		row("a good token followed by thousands of dots", "CVE-2025-22868",
			good+strings.Repeat(".", 4000), malformed, "dots: 4003"),
		row("too many dots for the size limit", "CVE-2025-30204", strings.Repeat(".", 16<<10+1),
			identity.ErrTokenTooLarge, "16384"),
		row("a good token above the size limit", "RFC 8725, section 3.10",
			f.token(f.ed, nil, object{"x": strings.Repeat("x", 16<<10)}), identity.ErrTokenTooLarge,
			"VerifierConfig.MaxBytes"),
		row("half a megabyte", "RFC 8725, section 3.10", strings.Repeat("A", 1<<19),
			identity.ErrTokenTooLarge),

		row("the flattened JSON serialization", "RFC 7515, section 7.2.2", toJSON(flat), malformed,
			"dots: 1"),
		row("the general JSON serialization", "RFC 7515, section 7.2.1",
			toJSON(object{"payload": payload, "signatures": []object{flat}}), malformed, "dots: 1"),
		row("a JSON serialization around a compact token", "CVE-2022-39227",
			`{"`+parts(header, mallory, "")+`":"",`+toJSON(flat)[1:], malformed, "part 1"),
		row("a JSON serialization in three parts", "CVE-2022-39227",
			parts(`{"`+header, mallory, `":"",`+toJSON(flat)[1:]), malformed, "part 1"),
		row("a token in base64", "RFC 7515, section 7.1", base64url([]byte(good)), malformed,
			"dots: 1"),

		row("padding after the header", "RFC 7515, section 2",
			parts(looseHeader+"==", loosePayload, looseSignature), malformed, "part 1"),
		row("padding after the payload", "RFC 7515, section 2",
			parts(looseHeader, loosePayload+"==", looseSignature), malformed, "part 2"),
		row("padding after the signature", "RFC 7515, section 2", good+"==", malformed, "part 3"),
		row("percent-encoded padding", "RFC 7515, section 2", good+"%3D%3D", malformed, "part 3"),
		row("unused bits in the header", "RFC 4648, section 3.5",
			parts(withStrayBits(looseHeader), loosePayload, looseSignature), malformed, "part 1"),
		row("unused bits in the payload", "RFC 4648, section 3.5",
			parts(looseHeader, withStrayBits(loosePayload), looseSignature), malformed, "part 2"),
		row("unused bits in the signature", "RFC 4648, section 3.5",
			parts(header, payload, withStrayBits(signature)), malformed, "part 3"),
		row("the standard base64 alphabet", "RFC 4648, section 5",
			parts(header, payload, standardBase64Signature(f.ed)), malformed, "part 3"),
		row("characters that aren't base64", "CVE-2022-25898; RFC 4648, section 3.3",
			parts(header, payload, signature[:20]+"!*"+signature[20:]), malformed, "part 3"),
		row("a signature of one character", "RFC 4648, section 4", parts(header, payload, "A"),
			malformed, "part 3"),
		row("full-width dots", "RFC 7515, section 7.1",
			strings.ReplaceAll(good, ".", "\uff0e"), malformed, "dots: 1"),

		row("an unencoded payload", "RFC 7797, section 3",
			f.unencoded(object{"b64": false, "crit": []string{"b64"}}, false), malformed, "part 2"),
		row("an unencoded payload, sent encoded", "RFC 7797, section 6",
			f.unencoded(object{"b64": false, "crit": []string{"b64"}}, true), malformed, "crit"),
		row("an unencoded payload without crit", "RFC 7797, section 6",
			f.unencoded(object{"b64": false}, true), identity.ErrTokenSignature),
		row("a compressed payload", "RFC 7516, section 4.1.3",
			f.ed.sign(f.header(f.ed, object{"zip": "DEF"}), deflated(alice(f.t))), malformed,
			"payload"),
		row("a token as the payload", "RFC 7519, section 5.2", f.ed.sign(f.ed.header(), good),
			malformed, "payload"),
		row("a token as the payload, in quotes", "RFC 7519, section 7.2",
			f.ed.sign(f.ed.header(), `"`+good+`"`), malformed, "payload"),
		row("a token as the header", "RFC 7519, section 7.2", f.ed.sign(good, alice(f.t)),
			malformed, "header"),
	}
}

func deflated(text string) string {
	var out bytes.Buffer
	w := must(flate.NewWriter(&out, flate.BestCompression))
	io.WriteString(w, text)
	w.Close()
	return out.String()
}

// unencoded signs alice's claims without encoding them (RFC 7797). If encoded is set, the token
// contains them in base64url all the same.
func (f *forge) unencoded(header object, encoded bool) string {
	head, payload := base64url([]byte(f.header(f.ed, header))),
		strings.ReplaceAll(alice(f.t), ".", "")
	payload = strings.ReplaceAll(payload, " ", "")
	signature := must(f.ed.key.Sign(nil, []byte(head+"."+payload), crypto.Hash(0)))
	if encoded {
		payload = base64url([]byte(payload))
	}
	return fmt.Sprintf("%s.%s.%s", head, payload, base64url(signature))
}

// jsonAttacks are documents that two JSON parsers may read differently.
func jsonAttacks(f *forge) []attack {
	malformed := identity.ErrTokenMalformed
	raw := func(header, payload string) string { return f.ed.sign(header, payload) }
	// first and last add members at either end of alice's claims.
	first := func(members string) string {
		return raw(f.ed.header(), "{"+members+","+alice(f.t)[1:])
	}
	last := func(members string) string {
		return raw(f.ed.header(), strings.TrimSuffix(alice(f.t), "}")+","+members+"}")
	}
	headFirst := func(members string) string {
		return raw("{"+members+","+f.ed.header()[1:], alice(f.t))
	}
	return []attack{
		row("claims that differ only in case", "RFC 7519, section 7.3",
			last(`"SUB":"mallory","Sub":"mallory","EXP":9999999999`), nil),
		row("alg twice, the first none", "RFC 7515, section 4", headFirst(`"alg":"none"`),
			malformed, `"alg" twice`),
		row("alg twice, the last none", "RFC 7515, section 4",
			raw(strings.TrimSuffix(f.ed.header(), "}")+`,"alg":"none"}`, alice(f.t)), malformed,
			`"alg" twice`),
		row("kid twice", "RFC 7515, section 4", headFirst(`"kid":"evil"`), malformed,
			`"kid" twice`),
		row("sub twice, the first forged", "RFC 7519, section 4", first(`"sub":"mallory"`),
			malformed, `"sub" twice`),
		row("sub twice, the last forged", "RFC 7519, section 4", last(`"sub":"mallory"`), malformed,
			`"sub" twice`),
		row("exp twice", "RFC 7519, section 4", last(`"exp":9999999999`), malformed, `"exp" twice`),
		row("iss twice", "RFC 8725, section 2.6", last(`"iss":"`+f.canary.URL+`"`), malformed,
			`"iss" twice`),
		row("a duplicate name, once escaped", "RFC 8259, section 8.3", last(`"s\u0075b":"mallory"`),
			malformed, `"sub" twice`),
		row("a duplicate name, once as two surrogates", "RFC 8259, section 8.3",
			last(`"🔑":1,"\ud83d\udd11":2`), malformed, "twice"),
		row("a duplicate name, around an object that has it too", "RFC 7519, section 4",
			last(`"x":1,"y":{"x":2,"z":{"x":3}},"x":4`), malformed, `"x" twice`),
		row("a duplicate name among hundreds", "RFC 7519, section 4", last(members(300)+`,"m7":0`),
			malformed, `"m7" twice`),
		row("a duplicate name inside a claim", "RFC 8725, section 2.6",
			last(`"x":[{"y":{"roles":[],"roles":["admin"]}}]`), malformed, `"roles" twice`),
		row("a duplicate name inside a header member", "RFC 7517, section 4",
			headFirst(`"jwk":{"kty":"OKP","kty":"oct"}`), malformed, `"kty" twice`),
		row("lone surrogates that decode to one name", "RFC 8259, section 8.2",
			last(`"\ud800":1,"\udfff":2`), malformed, "escape"),
		row("a lone surrogate in iss", "RFC 8259, section 8.2",
			f.ed.sign(f.ed.header(),
				strings.Replace(alice(f.t), `realms/local"`, `realms/local\ud800"`, 1)), malformed,
			"escape"),
		row("a lone surrogate before a pair", "RFC 8259, section 8.2",
			last(`"x":"\ud83d\ud83d\ude00"`), malformed, "escape"),
		row("two objects", "RFC 8259, section 2",
			raw(f.ed.header(), alice(f.t)+`{"sub":"mallory"}`), malformed, "followed by more"),
		row("two headers in one", "RFC 8259, section 2",
			raw(f.ed.header()+`{"alg":"none"}`, alice(f.t)), malformed, "followed by more"),
		row("a NUL byte and more", "RFC 8259, section 2", raw(f.ed.header(), alice(f.t)+"\x00{}"),
			malformed, "payload"),
		row("a list of claims", "RFC 7519, section 3", raw(f.ed.header(), "["+alice(f.t)+"]"),
			malformed, "object"),
		row("a list of headers", "RFC 7515, section 4", raw("["+f.ed.header()+"]", alice(f.t)),
			malformed, "object"),
		row("null for claims", "RFC 7519, section 3", raw(f.ed.header(), "null"), malformed,
			"object"),
		row("a byte order mark in the header", "RFC 8259, section 8.1",
			raw("\ufeff"+f.ed.header(), alice(f.t)), malformed, "header"),
		row("a byte order mark in the payload", "RFC 8259, section 8.1",
			raw(f.ed.header(), "\ufeff"+alice(f.t)), malformed, "payload"),
		row("UTF-16", "RFC 8725, section 3.7", raw(f.ed.header(), asUTF16(alice(f.t))), malformed,
			"payload"),
		row("a byte that is not UTF-8", "RFC 8725, section 3.7", last("\"x\":\"\xff\""), malformed,
			"UTF-8"),
		row("an overlong slash", "RFC 3629, section 10", last("\"x\":\"\xc0\xaf\""), malformed,
			"UTF-8"),
		row("a surrogate encoded as UTF-8", "RFC 3629, section 3", last("\"x\":\"\xed\xa0\x80\""),
			malformed, "UTF-8"),
		row("a line break inside a string", "RFC 8259, section 7", last("\"x\":\"a\nb\""),
			malformed, "JSON"),
		row("single quotes", "RFC 8259, section 7", last("'x':1"), malformed, "JSON"),
		row("a comment", "RFC 8259, section 2", last(`"x":1/*,"sub":"mallory"*/`), malformed,
			"JSON"),
		row("a trailing comma", "RFC 8259, section 4",
			raw(f.ed.header(), strings.TrimSuffix(alice(f.t), "}")+",}"), malformed, "JSON"),
		row("Infinity", "RFC 8259, section 6", last(`"x":Infinity`), malformed, "JSON"),
		row("a leading zero", "RFC 8259, section 6", last(`"x":01`), malformed, "JSON"),
		row("a hexadecimal number", "RFC 8259, section 6", last(`"x":0x10`), malformed, "JSON"),
		row("a leading plus", "RFC 8259, section 6", last(`"x":+1`), malformed, "JSON"),
		row("a number without digits", "RFC 8259, section 6", last(`"x":-`), malformed, "JSON"),
		row("a number with an empty fraction", "RFC 8259, section 6", last(`"x":1.`), malformed,
			"JSON"),
		row("a number with an empty exponent", "RFC 8259, section 6", last(`"x":1e+`), malformed,
			"JSON"),
		row("an escape that JSON doesn't have", "RFC 8259, section 7", last(`"x":"\x41"`),
			malformed, "JSON"),
		row("an escape with letters past F", "RFC 8259, section 7", last(`"x":"\u00gg"`), malformed,
			"JSON"),
		row("an escape cut off by the end", "RFC 8259, section 7",
			raw(f.ed.header(), strings.TrimSuffix(alice(f.t), "}")+`,"x":"\u00`), malformed,
			"JSON"),
		row("a literal cut off by the end", "RFC 8259, section 3",
			raw(f.ed.header(), strings.TrimSuffix(alice(f.t), "}")+`,"x":nul`), malformed, "JSON"),
		row("a literal in capitals", "RFC 8259, section 3", last(`"x":TRUE`), malformed, "JSON"),
		row("a no-break space as white space", "RFC 8259, section 2", last("\u00a0\"x\":1"),
			malformed, "JSON"),
		row("a form feed as white space", "RFC 8259, section 2", last("\f\"x\":1"), malformed,
			"JSON"),
		row("a number too large for a float", "RFC 8259, section 6", last(`"x":1e400`), malformed,
			"payload"),
		row("a negative number too large for a float", "RFC 8259, section 6", last(`"x":[-1e999]`),
			malformed, "payload"),
		row("a number too large for a float, in the header", "RFC 8259, section 6",
			headFirst(`"x":1e400`), malformed, "header"),
		row("a number with a thousand digits", "RFC 8259, section 9",
			last(`"x":`+strings.Repeat("9", 300)+"."+strings.Repeat("1", 700)), malformed,
			"payload"),
		row("an exponent with a thousand digits", "RFC 8259, section 9",
			last(`"x":0e`+strings.Repeat("9", 1000)), malformed, "payload"),
		row("a payload of brackets", "RFC 8259, section 9; CVE-2020-36518",
			raw(f.ed.header(), strings.Repeat("[", 11000)), malformed, "deep"),
		row("a header of brackets", "CVE-2020-36518", raw(strings.Repeat("[", 11000), alice(f.t)),
			malformed, "deep"),
		row("nested objects", "CVE-2020-36518",
			raw(f.ed.header(), strings.Repeat(`{"a":`, 2000)), malformed, "deep"),
		row("a good payload with a deeply nested claim", "RFC 8259, section 9",
			last(`"x":`+nested(200)), malformed, "deep"),
	}
}

// members returns count JSON members.
func members(count int) string {
	var out []string
	for i := range count {
		out = append(out, fmt.Sprintf(`"m%d":0`, i))
	}
	return strings.Join(out, ",")
}

func asUTF16(text string) string {
	var out strings.Builder
	for _, r := range text {
		out.WriteRune(r)
		out.WriteByte(0)
	}
	return out.String()
}
