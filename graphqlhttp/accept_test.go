package graphqlhttp

import (
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	const neither mediaType = ""
	for _, tt := range []struct {
		accept []string
		want   mediaType
	}{
		{nil, mediaJSON}, {[]string{""}, mediaJSON}, {[]string{" , ,\t"}, mediaJSON},

		// Lists: blanks, empty elements, several lines, commas and semicolons in quotes.
		{[]string{"text/html,,application/json"}, mediaJSON},
		{[]string{"text/html", "application/graphql-response+json"}, mediaResponse},
		{[]string{"\tapplication/json\t;\tq=0.1 ,\tapplication/graphql-response+json ; q=0.2"}, mediaResponse},
		{[]string{`text/html;x="a, application/json;q=1", application/graphql-response+json`}, mediaResponse},
		{[]string{`application/json;x="a\",b;q=0"`}, mediaJSON},
		{[]string{`text/html;x="application/json, */*`}, neither},
		{[]string{`text/html;x="\", application/json, "`}, neither},

		// Weights.
		{[]string{"application/json;q=1.000, application/graphql-response+json;q=0.999"}, mediaJSON},
		{[]string{"application/json;q=0.001, application/graphql-response+json;q=0.002"}, mediaResponse},
		{[]string{"application/json;Q=0, */*;q=0.5"}, mediaResponse},
		{[]string{"application/json;q=0."}, neither}, {[]string{"application/json;q=1."}, mediaJSON},
		{[]string{"*/*;q=0"}, neither}, {[]string{"*/*;q=0.0, application/*;q=0.00, application/json;q=0.000"}, neither},
		{[]string{"application/json, application/json;q=0"}, mediaJSON},

		// Malformed ones are passed over.
		{[]string{"application/json;q=1.001"}, neither}, {[]string{"application/json;q=0.1234"}, neither},
		{[]string{"application/json;q=NaN"}, neither}, {[]string{"application/json;q=+1"}, neither}, {[]string{"application/json;q=1e0"}, neither},
		{[]string{"application/json;q=.5"}, neither}, {[]string{"application/json;q="}, neither}, {[]string{"application/json;q"}, neither},
		{[]string{`application/json;q="1"`}, neither}, {[]string{"application/json;q =1"}, neither}, {[]string{"application/json;=1"}, neither},
		{[]string{"application/json;a=b c"}, neither}, {[]string{"application json"}, neither}, {[]string{"application/"}, neither},
		{[]string{"/json"}, neither}, {[]string{"application/json/json"}, neither}, {[]string{"*"}, neither}, {[]string{"*/json"}, neither},
		{[]string{"application/jsön"}, neither}, {[]string{"application/json\x00"}, neither}, {[]string{"application/json;q=2, application/json;q=0.1"}, mediaJSON},

		// Ranges: the narrower one counts, wherever it stands; a charset makes it narrower still.
		{[]string{"*/*, application/json;q=0"}, mediaResponse}, {[]string{"application/json;q=0, */*"}, mediaResponse},
		{[]string{"application/*;q=0.1, */*;q=0.9, application/graphql-response+json;q=0.05"}, mediaJSON},
		{[]string{"application/json;q=0, application/json;charset=utf-8"}, mediaJSON},
		{[]string{"application/json;charset=latin1"}, neither}, {[]string{`application/json;charset="UTF-8"`}, mediaJSON},
		{[]string{"application/json, application/json;charset=utf-8;q=0"}, neither},
		{[]string{"application/json;profile=x"}, mediaJSON},
		{[]string{"APPLICATION/*"}, mediaJSON}, {[]string{"*/*, application/GRAPHQL-response+json"}, mediaResponse},
		{[]string{"application/graphql-response+jsonx, application/graphql+json"}, neither},

		// Only so many ranges are looked at.
		{[]string{strings.Repeat("text/html,", maxRanges-1) + "application/json"}, mediaJSON},
		{[]string{strings.Repeat("text/html,", maxRanges) + "application/json"}, neither},
		{[]string{strings.Repeat(",", 10_000) + "application/graphql-response+json"}, mediaResponse},
	} {
		want, wantOK := tt.want, tt.want != neither
		if !wantOK {
			want = mediaJSON // in which the refusal goes out
		}
		if media, ok := negotiate(tt.accept); media != want || ok != wantOK {
			t.Errorf("%.200q: %s, %t; want %s, %t", tt.accept, media, ok, want, wantOK)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	for _, header := range []string{"", "*/*;q=0.8, application/json", `a/b;c="\",", application/graphql-response+json;q=0.001`, ";;,=\"", "application/json;q=0"} {
		f.Add(header, "application/*")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		media, ok := negotiate([]string{first, second})
		if media != mediaJSON && media != mediaResponse || !ok && media != mediaJSON {
			t.Errorf("%q, %q: %q, %t", first, second, media, ok)
		}
		// A type that is named without a weight can be given, unless a narrower range refuses it.
		narrower := strings.Contains(strings.ToLower(first+second), "charset")
		if _, ok := negotiate([]string{"application/json", first, second}); !ok && !narrower {
			t.Errorf("%q, %q: refused beside application/json", first, second)
		}
	})
}
