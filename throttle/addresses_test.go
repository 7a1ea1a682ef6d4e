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
		{"zone", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"Unix socket", "@", nil, "none"},
		{"no peer address", "", nil, "none"},
		{"Unix socket with header", "@", forwardedFor(victim), "none"},

		{"one proxy", proxy, forwardedFor(victim), victim},
		{"two proxies", proxy, forwardedFor(victim + ", 192.0.2.1"), victim},
		{"two proxies, two headers", proxy, forwardedFor(victim, "192.0.2.1"), victim},
		{"IPv6 proxy", "[2001:db8:1::5]:1", forwardedFor(victim), victim},
		{"proxy with IPv4 in IPv6", "[::ffff:10.1.2.3]:1", forwardedFor(victim), victim},
		{"proxy configured as IPv4 in IPv6", "172.16.0.5:1", forwardedFor(victim), victim},
		{"port", proxy, forwardedFor(victim + ":51234"), victim},
		{"IPv6", proxy, forwardedFor("2001:db8:9::1"), "2001:db8:9::1"},
		{"IPv6 in brackets", proxy, forwardedFor("[2001:db8:9::1]"), "2001:db8:9::1"},
		{"IPv6 with a port", proxy, forwardedFor("[2001:db8:9::1]:51234"), "2001:db8:9::1"},
		{"client with IPv4 in IPv6", proxy, forwardedFor("::ffff:" + victim), victim},
		{"proxy's entry with IPv4 in IPv6", proxy, forwardedFor(victim + ",::ffff:10.0.0.7"), victim},
		{"blanks", proxy, forwardedFor("  " + victim + "\t,  192.0.2.1 "), victim},
		{"no blanks", proxy, forwardedFor(victim + ",192.0.2.1"), victim},
		{"client in a trusted network", proxy, forwardedFor("10.9.9.9"), "10.9.9.9"},
		{"only proxies", proxy, forwardedFor("10.9.9.9, 192.0.2.1, 10.0.0.1"), "10.9.9.9"},
		{"proxy without header", proxy, nil, "10.1.2.3"},

		{"spoofed, no proxy", attacker + ":1", forwardedFor(victim), attacker},
		{"spoofed with a proxy, no proxy", attacker + ":1", forwardedFor(victim + ", 10.1.2.3"), attacker},
		{"spoofed before the proxy", proxy, forwardedFor(victim + ", " + attacker), attacker},
		{"spoofed proxies before the proxy", proxy, forwardedFor(victim + ", 10.0.0.1, 192.0.2.1, " + attacker), attacker},
		{"spoofed in another header", proxy, forwardedFor(victim, attacker), attacker},
		{"spoofed in many headers", proxy, forwardedFor(victim, victim+", 10.0.0.1", attacker+", 10.0.0.1"), attacker},
		{"name", proxy, forwardedFor(victim + ", localhost"), "10.1.2.3"},
		{"unknown", proxy, forwardedFor(victim + ", unknown"), "10.1.2.3"},
		{"obfuscated name", proxy, forwardedFor(victim + ", _hidden"), "10.1.2.3"},
		{"unknown before a proxy", proxy, forwardedFor(victim + ", unknown, 192.0.2.1"), "192.0.2.1"},
		{"empty header", proxy, forwardedFor(""), "10.1.2.3"},
		{"empty header at the end", proxy, forwardedFor(victim, ""), "10.1.2.3"},
		{"comma at the end", proxy, forwardedFor(victim + ","), "10.1.2.3"},
		{"commas", proxy, forwardedFor(strings.Repeat(",", 5000)), "10.1.2.3"},
		{"space instead of comma", proxy, forwardedFor(victim + " " + attacker), "10.1.2.3"},
		{"semicolon instead of comma", proxy, forwardedFor(victim + ";" + attacker), "10.1.2.3"},
		{"quotes", proxy, forwardedFor(`"` + victim + `"`), "10.1.2.3"},
		{"leading zeros", proxy, forwardedFor("198.051.100.009"), "10.1.2.3"},
		{"number", proxy, forwardedFor("3325256713"), "10.1.2.3"},
		{"hexadecimal", proxy, forwardedFor("0xc6336409"), "10.1.2.3"},
		{"too few parts", proxy, forwardedFor("198.51.100"), "10.1.2.3"},
		{"network", proxy, forwardedFor(victim + "/32"), "10.1.2.3"},
		{"IPv4 in brackets", proxy, forwardedFor("[" + victim + "]"), "10.1.2.3"},
		{"unclosed bracket", proxy, forwardedFor("[2001:db8:9::1"), "10.1.2.3"},
		{"invalid port", proxy, forwardedFor(victim + ":99999"), "10.1.2.3"},
		{"Arabic digits", proxy, forwardedFor("١٩٨.51.100.9"), "10.1.2.3"},
		{"line feed", proxy, forwardedFor(victim + "\n"), "10.1.2.3"},
		{"long zone", proxy, forwardedFor("fe80::1%" + strings.Repeat("x", 100)), "10.1.2.3"},
		{"zone in a trusted network", proxy, forwardedFor(victim + ", 2001:db8:1::9%x"), victim},
		{"longest chain", proxy, forwardedFor(victim + strings.Repeat(", 10.0.0.1", maxHops-1)), victim},
		{"chain too long", proxy, forwardedFor(victim + strings.Repeat(", 10.0.0.1", maxHops)), "10.0.0.1"},
		{"too many headers", proxy, forwardedFor(append([]string{victim}, slices.Repeat([]string{"10.0.0.1"}, 5000)...)...), "10.0.0.1"},

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

// The zero AddressConfig trusts no address, not even this machine's.
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

// IPv4-mapped IPv6 networks mean their IPv4 networks, even if Trusted doesn't come from
// ParseProxies.
func TestAddresses_mappedProxies(t *testing.T) {
	config := AddressConfig{Trusted: []netip.Prefix{netip.MustParsePrefix("::ffff:172.16.0.0/108")}}
	for _, peer := range []string{"172.16.0.5:1", "[::ffff:172.16.0.5]:1"} {
		if got := addressSeen(config, peer, forwardedFor(victim)); got != victim {
			t.Errorf("%s: got %s, want %s", peer, got, victim)
		}
	}
}

// A proxy that is missing in Trusted is logged once.
func TestAddresses_missingProxy(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	middleware := Addresses(AddressConfig{Trusted: must(ParseProxies([]string{"10.0.0.1"})),
		Log: log})
	send := func(peer string, header http.Header) {
		r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
		r.RemoteAddr, r.Header = peer, header
		for range 3 {
			// Several handlers of one middleware log one line together.
			middleware(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	send("10.0.0.1:1", forwardedFor(victim))      // a trusted proxy
	send("10.0.0.2:1", http.Header{})             // no header
	send(attacker+":1", forwardedFor(victim))     // public: an attacker can't write to the log
	send("@", forwardedFor(victim))               // a Unix socket
	send("[2001:db8::5]:1", forwardedFor(victim)) // public
	if text.Len() != 0 {
		t.Errorf("logged %s, want nothing", text.String())
	}
	for _, peer := range []string{"10.0.0.2:1", "127.0.0.1:1", "[::1]:1", "[fd00::1]:1",
		"[fe80::1%eth0]:1", "100.64.0.1:1", "[::ffff:192.168.0.1]:1"} {
		send(peer, forwardedFor(victim))
	}
	if got := text.String(); strings.Count(got, "\n") != 1 ||
		!strings.Contains(got, "AddressConfig.Trusted") || !strings.Contains(got, "10.0.0.2") ||
		strings.Contains(got, victim) {
		t.Errorf(
			"logged %q, want one line with the field and the first proxy's address, and without "+
				"the header", got)
	}
	for _, peer := range []string{"127.0.0.1:1", "[::1]:1", "[fd00::1]:1", "[fe80::1%eth0]:1",
		"100.64.0.1:1", "[::ffff:192.168.0.1]:1"} {
		text.Reset()
		addressSeen(AddressConfig{Log: log}, peer, forwardedFor(victim))
		if text.Len() == 0 {
			t.Errorf("nothing was logged for %s, want a warning", peer)
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
	for text, want := range map[string]string{
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
		if want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseProxies(%q) = %v, want %q in the error", text, err, want)
		}
	}
}

// A list that covers the whole internet is rejected, whether in one network or in several. A list
// that covers a part of it is allowed.
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
		invalid bool
	}{
		{[]string{"0.0.0.0/1", "128.0.0.0/1"}, true},
		{[]string{"128.0.0.0/1", "10.0.0.1", "0.0.0.0/1"}, true},
		{[]string{"0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"}, true},
		{[]string{"0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"}, true}, // the rest isn't unicast
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
		if (err != nil) != tt.invalid ||
			err != nil && !strings.Contains(err.Error(), "trusts everyone") {
			t.Errorf("ParseProxies(%.100q) = %v, want an error: %t", tt.list, err, tt.invalid)
		}
	}
}

// For any header, the address is the client's own, or a trusted proxy wrote it. Entries before the
// last one that isn't a trusted proxy have no effect.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"", victim, victim + ", 10.0.0.1", ",,,", "[::1]:80", "unknown",
		"::ffff:10.0.0.1", "fe80::1%", "[", "]", "10.0.0.1,\x00"} {
		f.Add(seed, seed)
	}
	trusted := must(ParseProxies([]string{"10.0.0.0/8"}))
	config := AddressConfig{Trusted: trusted, Log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, first, second string) {
		if got := addressSeen(config, attacker+":1", forwardedFor(first, second)); got != attacker {
			t.Errorf("without a proxy: got %s, want %s", got, attacker)
		}
		// A proxy appends the client's address, in a header of its own or in the last one.
		for _, header := range []http.Header{forwardedFor(first, second, attacker),
			forwardedFor(first, second+", "+attacker),
			forwardedFor(first, second, attacker+",10.0.0.9")} {
			if got := addressSeen(config, "10.0.0.1:1", header); got != attacker {
				t.Errorf("%q: got %s, want %s, which the proxy appended", header, got, attacker)
			}
		}
		// If the proxy appends nothing, the result is an address from the header, or the peer's.
		got := addressSeen(config, "10.0.0.1:1", forwardedFor(first, second))
		address, err := netip.ParseAddr(got)
		if err != nil || address.Zone() != "" || address.Is4In6() {
			t.Errorf("%q, %q: got %s, want an address without zone and unmapped", first, second, got)
		}
	})
}
