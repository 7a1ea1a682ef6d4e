package throttle

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	trusted := must(
		ParseProxies([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48",
			"::ffff:172.16.0.0/108"}))
	const proxy = "10.1.2.3:4711"
	for _, tt := range []struct {
		name, peer string
		header     http.Header
		want       string
	}{
		{"no proxy", attacker + ":1", nil, attacker},
		{"no proxy, IPv6", "[2001:db8:9::1]:1", nil, "2001:db8:9::1"},
		{"IPv4 in IPv6", "[::ffff:" + attacker + "]:1", nil, attacker},
		{"a zone", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"a Unix socket", "@", nil, "none"},
		{"nothing", "", nil, "none"},
		{"a Unix socket that says more", "@", forwardedFor(victim), "none"},

		{"one proxy", proxy, forwardedFor(victim), victim},
		{"two proxies", proxy, forwardedFor(victim + ", 192.0.2.1"), victim},
		{"two proxies, a header each", proxy, forwardedFor(victim, "192.0.2.1"), victim},
		{"a proxy that connects by IPv6", "[2001:db8:1::5]:1", forwardedFor(victim), victim},
		{"a proxy in IPv4 in IPv6", "[::ffff:10.1.2.3]:1", forwardedFor(victim), victim},
		{"a proxy that was named in IPv6", "172.16.0.5:1", forwardedFor(victim), victim},
		{"a proxy that adds the port", proxy, forwardedFor(victim + ":51234"), victim},
		{"IPv6", proxy, forwardedFor("2001:db8:9::1"), "2001:db8:9::1"},
		{"IPv6 in brackets", proxy, forwardedFor("[2001:db8:9::1]"), "2001:db8:9::1"},
		{"IPv6 with a port", proxy, forwardedFor("[2001:db8:9::1]:51234"), "2001:db8:9::1"},
		{"IPv4 in IPv6 behind a proxy", proxy, forwardedFor("::ffff:" + victim), victim},
		{"a proxy's entry in IPv4 in IPv6", proxy, forwardedFor(victim + ",::ffff:10.0.0.7"), victim},
		{"blanks", proxy, forwardedFor("  " + victim + "\t,  192.0.2.1 "), victim},
		{"no blanks", proxy, forwardedFor(victim + ",192.0.2.1"), victim},
		{"a client inside", proxy, forwardedFor("10.9.9.9"), "10.9.9.9"},
		{"proxies alone", proxy, forwardedFor("10.9.9.9, 192.0.2.1, 10.0.0.1"), "10.9.9.9"},
		{"a proxy that adds nothing", proxy, nil, "10.1.2.3"},

		{"spoofed, no proxy", attacker + ":1", forwardedFor(victim), attacker},
		{"spoofed, no proxy, as if by one", attacker + ":1", forwardedFor(victim + ", 10.1.2.3"), attacker},
		{"spoofed before the proxy", proxy, forwardedFor(victim + ", " + attacker), attacker},
		{"spoofed proxies before the proxy", proxy, forwardedFor(victim + ", 10.0.0.1, 192.0.2.1, " + attacker), attacker},
		{"spoofed in a header before", proxy, forwardedFor(victim, attacker), attacker},
		{"spoofed in many headers", proxy, forwardedFor(victim, victim+", 10.0.0.1", attacker+", 10.0.0.1"), attacker},
		{"a name", proxy, forwardedFor(victim + ", localhost"), "10.1.2.3"},
		{"unknown", proxy, forwardedFor(victim + ", unknown"), "10.1.2.3"},
		{"an obfuscated name", proxy, forwardedFor(victim + ", _hidden"), "10.1.2.3"},
		{"behind a proxy that is known", proxy, forwardedFor(victim + ", unknown, 192.0.2.1"), "192.0.2.1"},
		{"an empty header", proxy, forwardedFor(""), "10.1.2.3"},
		{"an empty header at the end", proxy, forwardedFor(victim, ""), "10.1.2.3"},
		{"a comma at the end", proxy, forwardedFor(victim + ","), "10.1.2.3"},
		{"commas", proxy, forwardedFor(strings.Repeat(",", 5000)), "10.1.2.3"},
		{"a space for a comma", proxy, forwardedFor(victim + " " + attacker), "10.1.2.3"},
		{"a semicolon for a comma", proxy, forwardedFor(victim + ";" + attacker), "10.1.2.3"},
		{"quotes", proxy, forwardedFor(`"` + victim + `"`), "10.1.2.3"},
		{"zeros before", proxy, forwardedFor("198.051.100.009"), "10.1.2.3"},
		{"a number", proxy, forwardedFor("3325256713"), "10.1.2.3"},
		{"hexadecimal", proxy, forwardedFor("0xc6336409"), "10.1.2.3"},
		{"too few parts", proxy, forwardedFor("198.51.100"), "10.1.2.3"},
		{"a network", proxy, forwardedFor(victim + "/32"), "10.1.2.3"},
		{"IPv4 in brackets", proxy, forwardedFor("[" + victim + "]"), "10.1.2.3"},
		{"an open bracket", proxy, forwardedFor("[2001:db8:9::1"), "10.1.2.3"},
		{"a port that is none", proxy, forwardedFor(victim + ":99999"), "10.1.2.3"},
		{"digits of another script", proxy, forwardedFor("١٩٨.51.100.9"), "10.1.2.3"},
		{"a line feed", proxy, forwardedFor(victim + "\n"), "10.1.2.3"},
		{"a zone that is long", proxy, forwardedFor("fe80::1%" + strings.Repeat("x", 100)), "10.1.2.3"},
		{"a zone in a trusted network", proxy, forwardedFor(victim + ", 2001:db8:1::9%x"), victim},
		{"a chain up to the bound", proxy, forwardedFor(victim + strings.Repeat(", 10.0.0.1", maxHops-1)), victim},
		{"a chain past the bound", proxy, forwardedFor(victim + strings.Repeat(", 10.0.0.1", maxHops)), "10.0.0.1"},
		{"headers past the bound", proxy, forwardedFor(append([]string{victim}, slices.Repeat([]string{"10.0.0.1"}, 5000)...)...), "10.0.0.1"},

		{"other headers", proxy, http.Header{
			"Forwarded": {"for=" + victim}, "X-Real-Ip": {victim}, "True-Client-Ip": {victim}, "Cf-Connecting-Ip": {victim},
			"X-Client-Ip": {victim}, "X-Forwarded": {victim}, "Forwarded-For": {victim}, "X-Cluster-Client-Ip": {victim}, "Client-Ip": {victim},
		}, "10.1.2.3"},
	} {
		quiet := slog.New(slog.DiscardHandler)
		got := addressSeen(AddressConfig{Trusted: trusted, Log: quiet}, tt.peer, tt.header)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The zero AddressConfig trusts nobody, not even this machine.
func TestAddresses_zeroConfig(t *testing.T) {
	for _, peer := range []string{attacker, "127.0.0.1", "10.0.0.1", "[::1]", "[fe80::1]"} {
		want := strings.Trim(peer, "[]")
		got := addressSeen(AddressConfig{Log: slog.New(slog.DiscardHandler)}, peer+":1",
			forwardedFor(victim))
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A list needn't come from ParseProxies: IPv4-mapped IPv6 networks mean their IPv4 networks.
func TestAddresses_mappedProxies(t *testing.T) {
	config := AddressConfig{Trusted: []netip.Prefix{netip.MustParsePrefix("::ffff:172.16.0.0/108")}}
	for _, peer := range []string{"172.16.0.5:1", "[::ffff:172.16.0.5]:1"} {
		if got := addressSeen(config, peer, forwardedFor(victim)); got != victim {
			t.Errorf("%s: got %s, want %s", peer, got, victim)
		}
	}
}

func TestAddresses_forgottenProxy(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	middleware := Addresses(AddressConfig{Trusted: must(ParseProxies([]string{"10.0.0.1"})),
		Log: log})
	ask := func(peer string, header http.Header) {
		r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
		r.RemoteAddr, r.Header = peer, header
		for range 3 {
			// Two handlers of one middleware are one server.
			middleware(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	ask("10.0.0.1:1", forwardedFor(victim))      // a proxy that is known
	ask("10.0.0.2:1", http.Header{})             // a neighbour that claims nothing
	ask(attacker+":1", forwardedFor(victim))     // an attacker mustn't write lines
	ask("@", forwardedFor(victim))               // nobody
	ask("[2001:db8::5]:1", forwardedFor(victim)) // nor from elsewhere
	if text.Len() != 0 {
		t.Errorf("logged %s", text.String())
	}
	for _, peer := range []string{"10.0.0.2:1", "127.0.0.1:1", "[::1]:1", "[fd00::1]:1",
		"[fe80::1%eth0]:1", "100.64.0.1:1", "[::ffff:192.168.0.1]:1"} {
		ask(peer, forwardedFor(victim))
	}
	if got := text.String(); strings.Count(got, "\n") != 1 ||
		!strings.Contains(got, "AddressConfig.Trusted") || !strings.Contains(got, "10.0.0.2") ||
		strings.Contains(got, victim) {
		t.Errorf(
			"logged %q, want one line with the field and the first proxy's address, and nothing "+
				"that it sent", got)
	}
	for _, peer := range []string{"127.0.0.1:1", "[::1]:1", "[fd00::1]:1", "[fe80::1%eth0]:1",
		"100.64.0.1:1", "[::ffff:192.168.0.1]:1"} {
		text.Reset()
		addressSeen(AddressConfig{Log: log}, peer, forwardedFor(victim))
		if text.Len() == 0 {
			t.Errorf("%s isn't private", peer)
		}
	}
}

func TestParseProxies(t *testing.T) {
	got, err := ParseProxies([]string{" 10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1 ",
		"::ffff:192.0.2.0/120", "::ffff:192.0.2.9"})
	want := "[10.0.0.0/8 192.0.2.1/32 2001:db8::/32 ::1/128 192.0.2.0/24 192.0.2.9/32]"
	var text bytes.Buffer
	for i, prefix := range got {
		text.WriteString(map[bool]string{true: "[", false: " "}[i == 0] + prefix.String())
	}
	if text.String()+"]" != want || err != nil {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
	if got, err := ParseProxies(nil); len(got) != 0 || err != nil {
		t.Errorf("got %v, %v, want none", got, err)
	}
	for text, words := range map[string]string{
		"":               "such as 10.0.0.0/8",
		"proxy.internal": "such as 10.0.0.0/8",
		"10.0.0.0/33":    "such as 10.0.0.0/8",
		"10.0.0.0/8/8":   "such as 10.0.0.0/8",
		"10.0.0.1:80":    "such as 10.0.0.0/8",
		"*":              "such as 10.0.0.0/8",
		"fe80::1%eth0":   "such as 10.0.0.0/8",
		"10.0.0.5/8": "expected 10.0.0.0/8 for the network, or 10.0.0.5 for the one " +
			"address",
		"0.0.0.0/0":           "trusts everyone",
		"::/0":                "trusts everyone",
		"::ffff:0.0.0.0/96":   "trusts everyone",
		"::ffff:0.0.0.0/95":   "expected",
		"::fffe:0:0/95":       "",
		"::ffff:10.0.0.5/104": "expected 10.0.0.0/8",
	} {
		_, err := ParseProxies([]string{"192.0.2.1", text})
		if words == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", text, err, words)
		}
	}
}

// A list that covers the whole internet is refused, in however many networks. A list that covers a
// part is allowed.
func TestParseProxies_wholeInternet(t *testing.T) {
	var eighths, allButOne []string
	for i := range 224 {
		eighths = append(eighths, fmt.Sprintf("%d.0.0.0/8", i))
		if i != 203 {
			allButOne = append(allButOne, fmt.Sprintf("%d.0.0.0/8", i))
		}
	}
	for _, tt := range []struct {
		list    []string
		refused bool
	}{
		{[]string{"0.0.0.0/1", "128.0.0.0/1"}, true},
		{[]string{"128.0.0.0/1", "10.0.0.1", "0.0.0.0/1"}, true},
		{[]string{"0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"}, true},
		{[]string{"0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"}, true}, // what is left is no unicast
		{[]string{"::ffff:0.0.0.0/97", "::ffff:128.0.0.0/97"}, true},
		{[]string{"0.0.0.0/1", "::ffff:128.0.0.0/97"}, true},
		{eighths, true},
		{[]string{"::/1", "8000::/1"}, true},
		{[]string{"2000::/3"}, true},
		{[]string{"2000::/4", "3000::/4"}, true},
		{[]string{"::/1"}, true},
		{[]string{"0.0.0.0/1"}, false},
		{[]string{"0.0.0.0/1", "128.0.0.0/2"}, false},
		{[]string{"0.0.0.0/1", "::/3"}, false},
		{[]string{"2000::/4", "3800::/5"}, false},
		{[]string{"8000::/1"}, false},
		{allButOne, false},
		{[]string{"10.0.0.0/8", "fd00::/8"}, false},
	} {
		_, err := ParseProxies(tt.list)
		if (err != nil) != tt.refused ||
			err != nil && !strings.Contains(err.Error(), "trusts everyone") {
			t.Errorf("%.100q: %v, want it refused: %t", tt.list, err, tt.refused)
		}
	}
}

// Whatever a client sends, the address is its own, or was written by a trusted proxy. What stands
// before the last entry that isn't a trusted proxy has no effect.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"", victim, victim + ", 10.0.0.1", ",,,", "[::1]:80", "unknown",
		"::ffff:10.0.0.1", "fe80::1%", "[", "]", "10.0.0.1,\x00"} {
		f.Add(seed, seed)
	}
	trusted := must(ParseProxies([]string{"10.0.0.0/8"}))
	config := AddressConfig{Trusted: trusted, Log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, first, second string) {
		if got := addressSeen(config, attacker+":1", forwardedFor(first, second)); got != attacker {
			t.Errorf("nobody's proxy: %s", got)
		}
		// A proxy appends what it sees, in a header of its own or in the last one.
		for _, header := range []http.Header{forwardedFor(first, second, attacker),
			forwardedFor(first, second+", "+attacker),
			forwardedFor(first, second, attacker+",10.0.0.9")} {
			if got := addressSeen(config, "10.0.0.1:1", header); got != attacker {
				t.Errorf("%q: got %s, want what the proxy appended", header, got)
			}
		}
		// Without that, it is an address that stands there, or the peer's.
		got := addressSeen(config, "10.0.0.1:1", forwardedFor(first, second))
		address, err := netip.ParseAddr(got)
		if err != nil || address.Zone() != "" || address.Is4In6() {
			t.Errorf("%q, %q: %s is no plain address", first, second, got)
		}
	})
}
