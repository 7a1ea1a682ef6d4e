package graphqlhttp

import (
	"strings"
	"testing"
)

// TestNegotiate checks which media type is chosen for an Accept header, and which headers accept
// neither of the two types.
func TestNegotiate(t *testing.T) {
	const neither mediaType = ""
	for _, tt := range []struct {
		accept []string
		want   mediaType
	}{
		{nil, mediaJSON}, {[]string{""}, mediaJSON}, {[]string{" , ,\t"}, mediaJSON},

		// Lists: white space, empty elements, several headers, commas and semicolons in quotes.
		{[]string{"text/html,,application/json"}, mediaJSON},
		{[]string{"text/html", "application/graphql-response+json"}, mediaGraphQLResponse},
		{[]string{"\tapplication/json\t;\tq=0.1 ,\tapplication/graphql-response+json ; q=0.2"},
			mediaGraphQLResponse},
		{[]string{`text/html;x="a, application/json;q=1", application/graphql-response+json`},
			mediaGraphQLResponse},
		{[]string{`application/json;x="a\",b;q=0"`}, mediaJSON},
		{[]string{`text/html;x="\", application/json, "`}, neither},

		// Weights.
		{[]string{"application/json;q=1.000, application/graphql-response+json;q=0.999"},
			mediaJSON},
		{[]string{"application/json;q=0.001, application/graphql-response+json;q=0.002"},
			mediaGraphQLResponse},
		{[]string{"application/json;Q=0, */*;q=0.5"}, mediaGraphQLResponse},
		{[]string{"application/json;q=0."}, neither}, {[]string{"application/json;q=1."},
			mediaJSON},
		{[]string{"*/*;q=0"},
			neither}, {[]string{"*/*;q=0.0, application/*;q=0.00, application/json;q=0.000"},
			neither},
		{[]string{"application/json, application/json;q=0"}, mediaJSON},

		// A malformed weight is ignored. A malformed parameter is ignored together with the
		// parameters after it. A range with two values for a parameter is ignored.
		{[]string{"application/json;q=1.001"}, mediaJSON}, {[]string{"application/json;q=0.1234"},
			mediaJSON}, {[]string{"application/json;q=-1"}, mediaJSON},
		{[]string{"application/json;q=NaN"}, mediaJSON}, {[]string{"application/json;q=+1"},
			mediaJSON}, {[]string{"application/json;q=1e0"}, mediaJSON},
		{[]string{"application/json;q=.5"}, mediaJSON}, {[]string{"application/json;q="},
			mediaJSON}, {[]string{"application/json;q"}, mediaJSON},
		{[]string{`application/json;q="0"`}, neither}, {[]string{"application/json;q =0"},
			neither}, {[]string{"application/json;=1"}, mediaJSON},
		{[]string{"application/json;a=b c"}, mediaJSON}, {[]string{`application/json;a="b`},
			mediaJSON}, {[]string{"application/json;charset"}, mediaJSON},
		{[]string{"application/json;q=.1, application/graphql-response+json;q=0.9"}, mediaJSON},
		{[]string{"application/json;q=0.1, application/graphql-response+json;q=.9"},
			mediaGraphQLResponse},
		{[]string{"application/json;q=2, application/json;q=0.1"}, mediaJSON},
		{[]string{"application/json;a=b c;q=0, */*"}, mediaJSON},
		{[]string{"application/json;q=0;q=1, application/graphql-response+json;q=0.5"},
			mediaGraphQLResponse},

		// A malformed range is ignored, and so is a header without a valid range.
		{[]string{"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, mediaJSON}, // Java's HttpURLConnection
		{[]string{"*"}, mediaJSON}, {[]string{"*;q=0"}, mediaJSON}, {[]string{"application json"},
			mediaJSON}, {[]string{"application/"}, mediaJSON},
		{[]string{"/json"}, mediaJSON}, {[]string{"application/json/json"},
			mediaJSON}, {[]string{"application/jsön"}, mediaJSON},
		{[]string{"application/json\x00"}, mediaJSON}, {[]string{";q=0"},
			mediaJSON}, {[]string{"json", "html"}, mediaJSON},
		{[]string{"*, application/graphql-response+json"},
			mediaGraphQLResponse}, {[]string{"*, text/html"}, neither},
		{[]string{"*/json"}, neither},
		{[]string{`text/html;x="application/json, */*`}, mediaJSON}, // the quote is never closed
		{[]string{`text/html;x="application/json, application/graphql-response+json;y="`}, neither},

		// The most specific range counts, in any order. A charset makes a range more specific.
		{[]string{"*/*, application/json;q=0"},
			mediaGraphQLResponse}, {[]string{"application/json;q=0, */*"}, mediaGraphQLResponse},
		{[]string{"application/*;q=0.1, */*;q=0.9, application/graphql-response+json;q=0.05"},
			mediaJSON},
		{[]string{"application/json;q=0, application/json;charset=utf-8"}, mediaJSON},
		{[]string{"application/json;charset=latin1"},
			mediaJSON}, {[]string{"application/json; charset=utf8"}, mediaJSON},
		{[]string{`application/json;charset="UTF-8"`}, mediaJSON},
		{[]string{"application/json, application/json;charset=utf-8;q=0"}, neither},
		{[]string{"application/json;profile=x"}, mediaJSON},
		{[]string{"APPLICATION/*"}, mediaJSON}, {[]string{"*/*, application/GRAPHQL-response+json"},
			mediaGraphQLResponse},
		{[]string{"application/graphql-response+jsonx, application/graphql+json"}, neither},

		// At most maxAcceptRanges ranges are read.
		{[]string{strings.Repeat("text/html,", maxAcceptRanges-1) + "application/json"}, mediaJSON},
		{[]string{strings.Repeat("text/html,", maxAcceptRanges) + "application/json"}, neither},
		{[]string{"application/graphql-response+json," +
			strings.Repeat("text/html,", maxAcceptRanges)}, mediaGraphQLResponse},
		{[]string{strings.Repeat(",", 10_000) + "application/graphql-response+json"},
			mediaGraphQLResponse},
	} {
		want, wantOK := tt.want, tt.want != neither
		if !wantOK {
			want = mediaJSON // of the error response
		}
		if media, ok := negotiate(tt.accept); media != want || ok != wantOK {
			t.Errorf("negotiate(%.200q) = %s, %t, want %s, %t", tt.accept, media, ok, want, wantOK)
		}
	}
}

// FuzzNegotiate checks the media type for random Accept headers.
func FuzzNegotiate(f *testing.F) {
	for _, header := range []string{"", "*/*;q=0.8, application/json",
		`a/b;c="\",", application/graphql-response+json;q=0.001`, ";;,=\"", "application/json;q=0",
		"*; q=.2, */*; q=.2", `a/b;c="d, */*`} {
		f.Add(header, "application/*")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		media, ok := negotiate([]string{first, second})
		if media != mediaJSON && media != mediaGraphQLResponse || !ok && media != mediaJSON {
			t.Errorf("negotiate(%q, %q) = %q, %t, want one of the two types, and %q if not ok",
				first, second, media, ok, mediaJSON)
		}
		// Headers without a media type are ignored.
		if !ok && !strings.Contains(first+second, "/") {
			t.Errorf("negotiate(%q, %q): not ok, want ok without a valid range", first, second)
		}
		// A type without a weight is acceptable unless a range with a charset excludes it.
		hasCharset := strings.Contains(strings.ToLower(first+second), "charset")
		if _, ok := negotiate([]string{"application/json", first, second}); !ok && !hasCharset {
			t.Errorf("negotiate(application/json, %q, %q): not ok, want ok", first, second)
		}
	})
}
