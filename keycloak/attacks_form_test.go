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

// requestAttacks returns unusual ways to send a token, which is usually a good one. If two programs
// read different tokens from a request, or only one of them finds a token, an attacker can use the
// difference.
func requestAttacks(f *forge) []attack {
	errMissing, errMalformed := identity.ErrTokenMissing, identity.ErrTokenMalformed
	goodToken, forgedToken := f.token(f.ed, nil, nil), f.goodToken(f.attacker)
	setHeader := func(name, value string) func(*http.Request, string) {
		return func(r *http.Request, _ string) { r.Header.Set(name, value) }
	}
	setBody := func(media, text string) func(*http.Request, string) {
		return func(r *http.Request, _ string) {
			r.Header.Set("Content-Type", media)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	basicAuth := "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+f.newSecret()))
	return []attack{
		row("a single Bearer header", "RFC 6750, section 2.1", goodToken, nil),
		row("the scheme Bearer in lowercase", "RFC 9110, section 11.1", goodToken,
			nil).withHeaders("bearer " + goodToken),
		row("a header folded before the token", "RFC 9112, section 5.2", goodToken,
			nil).withRawHeaders("Authorization: Bearer\r\n " + goodToken),

		row("no Authorization header", "RFC 6750, section 3.1", "",
			errMissing).attachedBy(func(*http.Request, string) {}),
		row("an empty Authorization header", "RFC 6750, section 2.1", "",
			errMissing).withHeaders(""),
		row("the scheme Basic", "RFC 6750, section 2.1", goodToken,
			errMissing).withHeaders(basicAuth),
		row("a token as the password of Basic", "RFC 6749, section 2.3.1", goodToken,
			errMissing).attachedBy(func(r *http.Request, token string) {
			r.SetBasicAuth("alice", token)
		}),
		row("a token in the URL's userinfo", "RFC 9110, section 4.2.4", goodToken,
			errMissing).attachedBy(func(r *http.Request, token string) {
			r.URL.User = url.UserPassword("Bearer", token)
		}),
		row("the scheme DPoP", "RFC 9449, section 7.1", goodToken,
			errMissing).withHeaders("DPoP " + goodToken),
		row("the scheme Token", "RFC 6750, section 2.1", goodToken,
			errMissing).withHeaders("Token " + goodToken),
		row("the scheme JWT", "RFC 6750, section 2.1", goodToken,
			errMissing).withHeaders("JWT " + goodToken),
		row("a token without a scheme", "RFC 6750, section 2.1", goodToken,
			errMissing).withHeaders(goodToken),
		row("a colon after the scheme", "RFC 9110, section 11.4", goodToken,
			errMissing).withHeaders("Bearer: " + goodToken),
		row("an equals sign instead of the space", "RFC 9110, section 11.4", goodToken,
			errMissing).withHeaders("Bearer=" + goodToken),
		row("no space after the scheme", "RFC 9110, section 11.4", goodToken,
			errMissing).withHeaders("Bearer" + goodToken),
		row("the scheme in quotes", "RFC 9110, section 11.1", goodToken,
			errMissing).withHeaders(`"Bearer" ` + goodToken),
		row("the scheme with a Cyrillic letter", "RFC 9110, section 5.6.2", goodToken,
			errMissing).withHeaders("\u0412earer " + goodToken),
		row("a no-break space instead of the space", "RFC 9110, section 11.4", goodToken,
			errMissing).withHeaders("Bearer\u00a0" + goodToken),
		row("an ideographic space instead of the space", "RFC 9110, section 11.4", goodToken,
			errMissing).withHeaders("Bearer\u3000" + goodToken),
		row("a next-line character instead of the space", "RFC 9110, section 11.4", goodToken,
			errMissing).withHeaders("Bearer\u0085" + goodToken),
		row("a no-break space after the space", "RFC 9110, section 11.4", goodToken,
			errMalformed).withHeaders("Bearer \u00a0" + goodToken),
		row("a no-break space after the token", "RFC 6750, section 2.1", goodToken,
			errMalformed).withHeaders("Bearer " + goodToken + "\u00a0"),
		row("one header that lists Basic, then Bearer", "RFC 9110, section 11.6.2", goodToken,
			errMissing).withHeaders(basicAuth + ", Bearer " + goodToken),

		row("a token in the query", "RFC 6750, section 2.3", goodToken,
			errMissing).attachedBy(func(r *http.Request, token string) {
			r.URL.RawQuery = "access_token=" + token
		}),
		row("a token in a form", "RFC 6750, section 2.2", goodToken,
			errMissing).attachedBy(setBody("application/x-www-form-urlencoded",
			"access_token="+goodToken)),
		row("a token in a JSON body", "RFC 6750, section 2", goodToken,
			errMissing).attachedBy(setBody("application/json", `{"access_token":"`+goodToken+`"}`)),
		row("a token in a cookie", "RFC 6750, section 2", goodToken,
			errMissing).attachedBy(setHeader("Cookie",
			"access_token="+goodToken+"; KEYCLOAK_IDENTITY="+goodToken)),
		row("a token in X-Forwarded-Access-Token", "RFC 6750, section 2", goodToken,
			errMissing).attachedBy(setHeader("X-Forwarded-Access-Token", goodToken)),
		row("a token in Proxy-Authorization", "RFC 9110, section 11.7.2", goodToken,
			errMissing).attachedBy(setHeader("Proxy-Authorization", "Bearer "+goodToken)),
		row("a token in Sec-WebSocket-Protocol", "RFC 6455, section 11.3.4", goodToken,
			errMissing).attachedBy(setHeader("Sec-WebSocket-Protocol", "bearer, "+goodToken)),
		row("a token in a trailer", "RFC 9110, section 6.5.1", goodToken,
			errMissing).attachedBy(func(r *http.Request, token string) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), -1
			r.Trailer = http.Header{"Authorization": {"Bearer " + token}}
		}),

		row("two headers with the same token", "RFC 9110, section 5.3", goodToken, errMalformed,
			"2").withHeaders("Bearer "+goodToken, "Bearer "+goodToken),
		row("two headers, the second forged", "RFC 9110, section 5.3", forgedToken, errMalformed,
			"2").withHeaders("Bearer "+goodToken, "Bearer "+forgedToken),
		row("two headers whose names differ in case", "RFC 9110, section 5.1", goodToken,
			errMalformed,
			"2").withRawHeaders("Authorization: Bearer " + goodToken +
			"\r\nauthorization: Bearer " + goodToken),
		row("two headers, the first with Basic", "RFC 9110, section 5.3", goodToken, errMalformed,
			"2").withHeaders(basicAuth, "Bearer "+goodToken),
		row("two headers, the first empty", "RFC 9110, section 5.3", goodToken, errMalformed,
			"2").withHeaders("", "Bearer "+goodToken),
		row("two tokens separated by a space", "RFC 6750, section 2.1", goodToken, errMalformed,
			"more than one").withHeaders("Bearer " + goodToken + " " + goodToken),
		row("the scheme Bearer twice", "RFC 6750, section 2.1", goodToken, errMalformed,
			"more than one").withHeaders("Bearer Bearer " + goodToken),
		row("Bearer without a token", "RFC 6750, section 2.1", "",
			errMalformed).withHeaders("Bearer"),
		row("Bearer null", "RFC 6750, section 2.1", "", errMalformed,
			"parts between dots: 1").withHeaders("Bearer null"),
		row("two tokens separated by a comma and a space", "RFC 9110, section 11.6.2", goodToken,
			errMalformed,
			"more than one").withHeaders("Bearer " + goodToken + ", " + goodToken),
		row("two tokens separated by a comma", "RFC 9110, section 11.6.2", goodToken, errMalformed,
			"dots: 5").withHeaders("Bearer " + goodToken + "," + goodToken),
		row("a comma after the token", "RFC 9110, section 5.6.1", goodToken, errMalformed,
			"part 3").withHeaders("Bearer " + goodToken + ","),
		row("one header that lists Bearer, then Basic", "RFC 9110, section 11.6.2", goodToken,
			errMalformed).withHeaders("Bearer " + goodToken + ", " + basicAuth),
		row("a quoted token", "RFC 6750, section 2.1", goodToken, errMalformed,
			"part 1").withHeaders(`Bearer "` + goodToken + `"`),
		row("a token as a parameter", "RFC 9110, section 11.2", goodToken, errMalformed,
			"part 1").withHeaders("Bearer access_token=" + goodToken),
		row("a token as a quoted parameter", "RFC 9110, section 11.2", goodToken, errMalformed,
			"part 1").withHeaders(`Bearer token="` + goodToken + `"`),
		row("a realm parameter before the token", "RFC 9110, section 11.2", goodToken, errMalformed,
			"more than one").withHeaders(`Bearer realm="local" ` + goodToken),
		row("a space inside the token", "RFC 6750, section 2.1", goodToken, errMalformed,
			"more than one").withHeaders("Bearer " + goodToken[:40] + " " + goodToken[40:]),
		row("a header folded inside the token", "RFC 9112, section 5.2", goodToken, errMalformed,
			"more than one").withRawHeaders("Authorization: Bearer " + goodToken[:40] + "\r\n " +
			goodToken[40:]),
		row("a line break inside the token", "RFC 9110, section 5.5", goodToken,
			errNotHTTP).withRawHeaders("Authorization: Bearer " + goodToken[:40] + "\n" +
			goodToken[40:]),
		row("a NUL byte after the token", "RFC 9110, section 5.5", goodToken,
			errNotHTTP).withRawHeaders("Authorization: Bearer " + goodToken + "\x00"),
		row("a space before the header's colon", "RFC 9112, section 5.1", goodToken,
			errNotHTTP).withRawHeaders("Authorization : Bearer " + goodToken),
		row("a vertical tab instead of the space", "RFC 9110, section 5.5", goodToken,
			errNotHTTP).withRawHeaders("Authorization: Bearer\v" + goodToken),
	}
}

// formAttacks returns tokens that aren't a valid compact serialization as in RFC 7515, and tokens
// whose payload or header isn't JSON.
func formAttacks(f *forge) []attack {
	errMalformed := identity.ErrTokenMalformed
	goodToken := f.token(f.ed, nil, nil)
	header, payload, signature := splitToken(goodToken)
	joinParts := func(p ...string) string { return strings.Join(p, ".") }
	malloryPayload := base64url([]byte(f.claims(object{"sub": "mallory"})))
	jwe := f.jwe(object{"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "enc-1", "cty": "JWT"},
		f.payload)
	pbes2Header := object{"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2s": "AAAA",
		"p2c": 1 << 31, "kid": "ed-1"}
	// decompressionBomb is within the size limit, but large once decompressed.
	decompressionBomb := f.jwe(
		object{"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "enc-1", "zip": "DEF"},
		deflate(strings.Repeat(" ", 4<<20)))
	flattenedJWS := object{"protected": header, "payload": payload, "signature": signature}
	// Every part of unalignedToken ends in a character with unused bits.
	unalignedToken := f.ed.sign(padTo(1, f.header(f.ed, nil)), padTo(1, f.payload))
	unalignedHeader, unalignedPayload, unalignedSignature := splitToken(unalignedToken)
	return []attack{
		row("a token of one part", "RFC 7515, section 7.1", header, errMalformed, "dots: 1"),
		row("a token of two parts, without a signature", "RFC 7515, section 7.1",
			joinParts(header, payload),
			errMalformed, "dots: 2"),
		row("a token of four parts", "RFC 7515, section 7.1", joinParts(goodToken, signature),
			errMalformed, "dots: 4"),
		row("a token of three empty parts", "RFC 7515, section 7.1", "..", errMalformed, "header"),
		row("an empty header", "RFC 7515, section 7.1", joinParts("", payload, signature),
			errMalformed, "header"),
		row("a detached payload", "RFC 7515, appendix F", joinParts(header, "", signature),
			errMalformed, "payload"),
		row("an empty signature", "CVE-2020-28042", joinParts(header, malloryPayload, ""),
			identity.ErrTokenSignature, "signature"),
		row("a JWE encrypted with the realm's public key", "RFC 7516, section 7.1; CVE-2023-51774",
			jwe,
			errMalformed, "dots: 5"),
		row("a JWE with an expensive key derivation", "CVE-2022-36083",
			f.jwe(pbes2Header, f.payload), errMalformed, "dots: 5"),
		row("a JWE that is a decompression bomb", "CVE-2024-28180; RFC 8725, section 3.6",
			decompressionBomb, errMalformed, "dots: 5"),
		row("a token of only dots, within the size limit", "CVE-2025-30204; CVE-2025-27144",
			strings.Repeat(".", 16<<10),
			errMalformed, "dots: 16385"),
		row("a good token followed by thousands of dots", "CVE-2025-22868",
			goodToken+strings.Repeat(".", 4000), errMalformed, "dots: 4003"),
		row("a token of only dots, above the size limit", "CVE-2025-30204",
			strings.Repeat(".", 16<<10+1),
			identity.ErrTokenTooLarge, "16384"),
		row("a good token above the size limit", "RFC 8725, section 3.10",
			f.token(f.ed, nil, object{"x": strings.Repeat("x", 16<<10)}), identity.ErrTokenTooLarge,
			"VerifierConfig.MaxBytes"),
		row("a token of half a megabyte", "RFC 8725, section 3.10", strings.Repeat("A", 1<<19),
			identity.ErrTokenTooLarge),

		row("the flattened JSON serialization", "RFC 7515, section 7.2.2", toJSON(flattenedJWS),
			errMalformed, "dots: 1"),
		row("the general JSON serialization", "RFC 7515, section 7.2.1",
			toJSON(object{"payload": payload, "signatures": []object{flattenedJWS}}), errMalformed,
			"dots: 1"),
		row("a compact token inside a JSON serialization", "CVE-2022-39227", `{"`+joinParts(header,
			malloryPayload, "")+`":"",`+toJSON(flattenedJWS)[1:], errMalformed, "part 1"),
		row("a JSON serialization that two dots split", "CVE-2022-39227", joinParts(`{"`+header,
			malloryPayload, `":"",`+toJSON(flattenedJWS)[1:]), errMalformed, "part 1"),
		row("a token in base64", "RFC 7515, section 7.1", base64url([]byte(goodToken)),
			errMalformed, "dots: 1"),

		row("padding after the header", "RFC 7515, section 2",
			joinParts(unalignedHeader+"==", unalignedPayload, unalignedSignature), errMalformed,
			"part 1"),
		row("padding after the payload", "RFC 7515, section 2",
			joinParts(unalignedHeader, unalignedPayload+"==", unalignedSignature), errMalformed,
			"part 2"),
		row("padding after the signature", "RFC 7515, section 2", goodToken+"==", errMalformed,
			"part 3"),
		row("percent-encoded padding", "RFC 7515, section 2", goodToken+"%3D%3D", errMalformed,
			"part 3"),
		row("unused bits in the header", "RFC 4648, section 3.5",
			joinParts(withStrayBits(unalignedHeader), unalignedPayload, unalignedSignature),
			errMalformed,
			"part 1"),
		row("unused bits in the payload", "RFC 4648, section 3.5", joinParts(unalignedHeader,
			withStrayBits(unalignedPayload), unalignedSignature), errMalformed, "part 2"),
		row("unused bits in the signature", "RFC 4648, section 3.5",
			joinParts(header, payload, withStrayBits(signature)), errMalformed, "part 3"),
		row("the standard base64 alphabet", "RFC 4648, section 5",
			joinParts(header, payload, standardBase64Signature(f.ed)), errMalformed, "part 3"),
		row("characters that aren't base64url", "CVE-2022-25898; RFC 4648, section 3.3",
			joinParts(header, payload, signature[:20]+"!*"+signature[20:]), errMalformed, "part 3"),
		row("a signature of one character", "RFC 4648, section 4", joinParts(header, payload, "A"),
			errMalformed, "part 3"),
		row("full-width dots between the parts", "RFC 7515, section 7.1",
			strings.ReplaceAll(goodToken, ".", "\uff0e"), errMalformed, "dots: 1"),

		row("an unencoded payload", "RFC 7797, section 3", f.unencodedToken(object{"b64": false,
			"crit": []string{"b64"}}, false), errMalformed, "part 2"),
		row("an unencoded payload that is sent encoded", "RFC 7797, section 6",
			f.unencodedToken(object{"b64": false, "crit": []string{"b64"}}, true), errMalformed,
			"crit"),
		row("an unencoded payload, without crit", "RFC 7797, section 6",
			f.unencodedToken(object{"b64": false}, true), identity.ErrTokenSignature),
		row("a compressed payload", "RFC 7516, section 4.1.3",
			f.ed.sign(f.header(f.ed, object{"zip": "DEF"}), deflate(f.payload)),
			errMalformed,
			"payload"),
		row("a token as the payload", "RFC 7519, section 5.2",
			f.ed.sign(f.header(f.ed, nil), goodToken),
			errMalformed, "payload"),
		row("a token as the payload, in quotes", "RFC 7519, section 7.2",
			f.ed.sign(f.header(f.ed, nil), `"`+goodToken+`"`), errMalformed, "payload"),
		row("a token as the header", "RFC 7519, section 7.2",
			f.ed.sign(goodToken, f.payload),
			errMalformed, "header"),
	}
}

// deflate compresses text with DEFLATE.
func deflate(text string) string {
	var out bytes.Buffer
	w := must(flate.NewWriter(&out, flate.BestCompression))
	io.WriteString(w, text)
	w.Close()
	return out.String()
}

// unencodedToken signs alice's payload without encoding it (RFC 7797). If sendEncoded is set, the
// token still contains the payload in base64url.
func (f *forge) unencodedToken(header object, sendEncoded bool) string {
	encodedHeader, payload := base64url([]byte(f.header(f.ed, header))),
		strings.ReplaceAll(f.payload, ".", "")
	payload = strings.ReplaceAll(payload, " ", "")
	signature := must(f.ed.key.Sign(nil, []byte(encodedHeader+"."+payload), crypto.Hash(0)))
	if sendEncoded {
		payload = base64url([]byte(payload))
	}
	return fmt.Sprintf("%s.%s.%s", encodedHeader, payload, base64url(signature))
}

// jsonAttacks returns tokens whose JSON is invalid, or is read differently by different parsers.
func jsonAttacks(f *forge) []attack {
	errMalformed := identity.ErrTokenMalformed
	sign := func(header, payload string) string { return f.ed.sign(header, payload) }
	// prependClaims and appendClaims return a token with claims added at the start or the end of
	// alice's payload.
	prependClaims := func(members string) string {
		return sign(f.header(f.ed, nil), "{"+members+","+f.payload[1:])
	}
	appendClaims := func(members string) string {
		return sign(f.header(f.ed, nil), strings.TrimSuffix(f.payload, "}")+","+members+"}")
	}
	prependHeader := func(members string) string {
		return sign("{"+members+","+f.header(f.ed, nil)[1:], f.payload)
	}
	return []attack{
		row("claims whose names differ only in case", "RFC 7519, section 7.3",
			appendClaims(`"SUB":"mallory","Sub":"mallory","EXP":9999999999`), nil),
		row("alg twice, the first none", "RFC 7515, section 4", prependHeader(`"alg":"none"`),
			errMalformed, `"alg" twice`),
		row("alg twice, the last none", "RFC 7515, section 4",
			sign(strings.TrimSuffix(f.header(f.ed, nil), "}")+`,"alg":"none"}`, f.payload),
			errMalformed,
			`"alg" twice`),
		row("kid twice", "RFC 7515, section 4", prependHeader(`"kid":"evil"`), errMalformed,
			`"kid" twice`),
		row("sub twice, the first forged", "RFC 7519, section 4", prependClaims(`"sub":"mallory"`),
			errMalformed, `"sub" twice`),
		row("sub twice, the last forged", "RFC 7519, section 4", appendClaims(`"sub":"mallory"`),
			errMalformed, `"sub" twice`),
		row("exp twice", "RFC 7519, section 4", appendClaims(`"exp":9999999999`), errMalformed,
			`"exp" twice`),
		row("iss twice", "RFC 8725, section 2.6", appendClaims(`"iss":"`+f.canary.URL+`"`),
			errMalformed, `"iss" twice`),
		row("a duplicate name, once written with an escape", "RFC 8259, section 8.3",
			appendClaims(`"s\u0075b":"mallory"`), errMalformed, `"sub" twice`),
		row("a duplicate name, once written as two surrogates", "RFC 8259, section 8.3",
			appendClaims(`"🔑":1,"\ud83d\udd11":2`), errMalformed, "twice"),
		row("a duplicate name, with the same name in nested objects", "RFC 7519, section 4",
			appendClaims(`"x":1,"y":{"x":2,"z":{"x":3}},"x":4`), errMalformed, `"x" twice`),
		row("a duplicate name among hundreds", "RFC 7519, section 4",
			appendClaims(members(300)+`,"m7":0`), errMalformed, `"m7" twice`),
		row("a duplicate name inside a claim", "RFC 8725, section 2.6",
			appendClaims(`"x":[{"y":{"roles":[],"roles":["admin"]}}]`), errMalformed,
			`"roles" twice`),
		row("a duplicate name inside a header member", "RFC 7517, section 4",
			prependHeader(`"jwk":{"kty":"OKP","kty":"oct"}`), errMalformed, `"kty" twice`),
		row("two names of lone surrogates that decode to the same name", "RFC 8259, section 8.2",
			appendClaims(`"\ud800":1,"\udfff":2`), errMalformed, "escape"),
		row("a lone surrogate in iss", "RFC 8259, section 8.2", f.ed.sign(f.header(f.ed, nil),
			strings.Replace(f.payload, `realms/local"`, `realms/local\ud800"`, 1)),
			errMalformed,
			"escape"),
		row("a lone surrogate before a surrogate pair", "RFC 8259, section 8.2",
			appendClaims(`"x":"\ud83d\ud83d\ude00"`), errMalformed, "escape"),
		row("two objects in the payload", "RFC 8259, section 2",
			sign(f.header(f.ed, nil), f.payload+`{"sub":"mallory"}`), errMalformed,
			"followed by more"),
		row("two objects in the header", "RFC 8259, section 2",
			sign(f.header(f.ed, nil)+`{"alg":"none"}`, f.payload), errMalformed,
			"followed by more"),
		row("a NUL byte and an object after the payload", "RFC 8259, section 2",
			sign(f.header(f.ed, nil), f.payload+"\x00{}"),
			errMalformed, "payload"),
		row("a payload that is a list", "RFC 7519, section 3",
			sign(f.header(f.ed, nil), "["+f.payload+"]"), errMalformed, "object"),
		row("a header that is a list", "RFC 7515, section 4",
			sign("["+f.header(f.ed, nil)+"]", f.payload), errMalformed, "object"),
		row("a payload that is null", "RFC 7519, section 3", sign(f.header(f.ed, nil), "null"),
			errMalformed, "object"),
		row("a byte order mark in the header", "RFC 8259, section 8.1",
			sign("\ufeff"+f.header(f.ed, nil), f.payload), errMalformed, "header"),
		row("a byte order mark in the payload", "RFC 8259, section 8.1",
			sign(f.header(f.ed, nil), "\ufeff"+f.payload), errMalformed, "payload"),
		row("a payload in UTF-16", "RFC 8725, section 3.7",
			sign(f.header(f.ed, nil), encodeUTF16(f.payload)), errMalformed, "payload"),
		row("a byte that is not UTF-8", "RFC 8725, section 3.7", appendClaims("\"x\":\"\xff\""),
			errMalformed, "UTF-8"),
		row("an overlong UTF-8 encoding of a slash", "RFC 3629, section 10",
			appendClaims("\"x\":\"\xc0\xaf\""),
			errMalformed, "UTF-8"),
		row("a surrogate encoded as UTF-8", "RFC 3629, section 3",
			appendClaims("\"x\":\"\xed\xa0\x80\""), errMalformed, "UTF-8"),
		row("a line break inside a string", "RFC 8259, section 7", appendClaims("\"x\":\"a\nb\""),
			errMalformed, "JSON"),
		row("a name in single quotes", "RFC 8259, section 7", appendClaims("'x':1"), errMalformed,
			"JSON"),
		row("a comment in the payload", "RFC 8259, section 2",
			appendClaims(`"x":1/*,"sub":"mallory"*/`), errMalformed, "JSON"),
		row("a trailing comma in the payload", "RFC 8259, section 4",
			sign(f.header(f.ed, nil), strings.TrimSuffix(f.payload, "}")+",}"), errMalformed,
			"JSON"),
		row("the number Infinity", "RFC 8259, section 6", appendClaims(`"x":Infinity`),
			errMalformed,
			"JSON"),
		row("a number with a leading zero", "RFC 8259, section 6", appendClaims(`"x":01`),
			errMalformed,
			"JSON"),
		row("a hexadecimal number", "RFC 8259, section 6", appendClaims(`"x":0x10`), errMalformed,
			"JSON"),
		row("a number with a leading plus", "RFC 8259, section 6", appendClaims(`"x":+1`),
			errMalformed,
			"JSON"),
		row("a number without digits", "RFC 8259, section 6", appendClaims(`"x":-`), errMalformed,
			"JSON"),
		row("a number with an empty fraction", "RFC 8259, section 6", appendClaims(`"x":1.`),
			errMalformed, "JSON"),
		row("a number with an empty exponent", "RFC 8259, section 6", appendClaims(`"x":1e+`),
			errMalformed, "JSON"),
		row("an escape that JSON doesn't have", "RFC 8259, section 7", appendClaims(`"x":"\x41"`),
			errMalformed, "JSON"),
		row("an escape with letters past F", "RFC 8259, section 7", appendClaims(`"x":"\u00gg"`),
			errMalformed, "JSON"),
		row("an escape cut off by the end", "RFC 8259, section 7",
			sign(f.header(f.ed, nil), strings.TrimSuffix(f.payload, "}")+`,"x":"\u00`),
			errMalformed,
			"JSON"),
		row("a literal cut off by the end", "RFC 8259, section 3", sign(f.header(f.ed, nil),
			strings.TrimSuffix(f.payload, "}")+`,"x":nul`), errMalformed, "JSON"),
		row("a literal in capitals", "RFC 8259, section 3", appendClaims(`"x":TRUE`), errMalformed,
			"JSON"),
		row("a no-break space as white space", "RFC 8259, section 2", appendClaims("\u00a0\"x\":1"),
			errMalformed, "JSON"),
		row("a form feed as white space", "RFC 8259, section 2", appendClaims("\f\"x\":1"),
			errMalformed, "JSON"),
		row("a number too large for a float", "RFC 8259, section 6", appendClaims(`"x":1e400`),
			errMalformed, "payload"),
		row("a negative number too large for a float", "RFC 8259, section 6",
			appendClaims(`"x":[-1e999]`), errMalformed, "payload"),
		row("a number too large for a float, in the header", "RFC 8259, section 6",
			prependHeader(`"x":1e400`), errMalformed, "header"),
		row("a number with a thousand digits", "RFC 8259, section 9",
			appendClaims(`"x":`+strings.Repeat("9", 300)+"."+strings.Repeat("1", 700)),
			errMalformed,
			"payload"),
		row("an exponent with a thousand digits", "RFC 8259, section 9",
			appendClaims(`"x":0e`+strings.Repeat("9", 1000)), errMalformed, "payload"),
		row("a payload of brackets", "RFC 8259, section 9; CVE-2020-36518",
			sign(f.header(f.ed, nil), strings.Repeat("[", 11000)), errMalformed, "deep"),
		row("a header of brackets", "CVE-2020-36518",
			sign(strings.Repeat("[", 11000), f.payload),
			errMalformed, "deep"),
		row("a payload of deeply nested objects", "CVE-2020-36518",
			sign(f.header(f.ed, nil), strings.Repeat(`{"a":`, 2000)), errMalformed, "deep"),
		row("a good payload with a deeply nested claim", "RFC 8259, section 9",
			appendClaims(`"x":`+nestedArrays(200)), errMalformed, "deep"),
	}
}

// members returns count members of a JSON object: "m0" and so on.
func members(count int) string {
	var out []string
	for i := range count {
		out = append(out, fmt.Sprintf(`"m%d":0`, i))
	}
	return strings.Join(out, ",")
}

// encodeUTF16 encodes ASCII text in little-endian UTF-16.
func encodeUTF16(text string) string {
	var out strings.Builder
	for _, r := range text {
		out.WriteRune(r)
		out.WriteByte(0)
	}
	return out.String()
}
