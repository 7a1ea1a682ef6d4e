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

// Addresses finds the address of a client behind trusted proxies, and ignores forged entries.
func TestAddresses(t *testing.T) {
	trustedProxies := must(
		ParseProxies([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48",
			"::ffff:172.16.0.0/108"}))
	const proxy = "10.1.2.3:4711"
	for _, tt := range []struct {
		name, peer string
		header     http.Header
		want       string
	}{
		{"no proxy", attackerAddr + ":1", nil, attackerAddr},
		{"no proxy, IPv6", "[2001:db8:9::1]:1", nil, "2001:db8:9::1"},
		{"IPv4-mapped IPv6", "[::ffff:" + attackerAddr + "]:1", nil, attackerAddr},
		{"zone", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"Unix socket", "@", nil, "none"},
		{"no peer address", "", nil, "none"},
		{"Unix socket with X-Forwarded-For", "@", forwardedFor(victimAddr), "none"},

		{"one proxy", proxy, forwardedFor(victimAddr), victimAddr},
		{"two proxies", proxy, forwardedFor(victimAddr + ", 192.0.2.1"), victimAddr},
		{"two proxies, two headers", proxy, forwardedFor(victimAddr, "192.0.2.1"), victimAddr},
		{"IPv6 proxy", "[2001:db8:1::5]:1", forwardedFor(victimAddr), victimAddr},
		{"proxy with an IPv4-mapped IPv6 address", "[::ffff:10.1.2.3]:1", forwardedFor(victimAddr),
			victimAddr},
		{"proxy configured as IPv4-mapped IPv6", "172.16.0.5:1", forwardedFor(victimAddr),
			victimAddr},
		{"entry with a port", proxy, forwardedFor(victimAddr + ":51234"), victimAddr},
		{"IPv6 entry", proxy, forwardedFor("2001:db8:9::1"), "2001:db8:9::1"},
		{"IPv6 entry in brackets", proxy, forwardedFor("[2001:db8:9::1]"), "2001:db8:9::1"},
		{"IPv6 entry with a port", proxy, forwardedFor("[2001:db8:9::1]:51234"), "2001:db8:9::1"},
		{"client with an IPv4-mapped IPv6 address", proxy, forwardedFor("::ffff:" + victimAddr),
			victimAddr},
		{"entry of a proxy with an IPv4-mapped IPv6 address", proxy,
			forwardedFor(victimAddr + ",::ffff:10.0.0.7"), victimAddr},
		{"blanks around entries", proxy, forwardedFor("  " + victimAddr + "\t,  192.0.2.1 "),
			victimAddr},
		{"no blank after the comma", proxy, forwardedFor(victimAddr + ",192.0.2.1"), victimAddr},
		{"client in a trusted network", proxy, forwardedFor("10.9.9.9"), "10.9.9.9"},
		{"all entries are proxies", proxy, forwardedFor("10.9.9.9, 192.0.2.1, 10.0.0.1"),
			"10.9.9.9"},
		{"proxy without X-Forwarded-For", proxy, nil, "10.1.2.3"},

		{"forged entry, no proxy", attackerAddr + ":1", forwardedFor(victimAddr), attackerAddr},
		{"forged proxy entry, no proxy", attackerAddr + ":1",
			forwardedFor(victimAddr + ", 10.1.2.3"), attackerAddr},
		{"forged entry before the real one", proxy, forwardedFor(victimAddr + ", " + attackerAddr),
			attackerAddr},
		{"forged proxies before the real entry", proxy,
			forwardedFor(victimAddr + ", 10.0.0.1, 192.0.2.1, " + attackerAddr), attackerAddr},
		{"forged entry in an earlier header", proxy, forwardedFor(victimAddr, attackerAddr),
			attackerAddr},
		{"forged entries in several headers", proxy,
			forwardedFor(victimAddr, victimAddr+", 10.0.0.1", attackerAddr+
				", 10.0.0.1"), attackerAddr},
		{"host name", proxy, forwardedFor(victimAddr + ", localhost"), "10.1.2.3"},
		{"the word unknown", proxy, forwardedFor(victimAddr + ", unknown"), "10.1.2.3"},
		{"obfuscated identifier", proxy, forwardedFor(victimAddr + ", _hidden"), "10.1.2.3"},
		{"the word unknown before a proxy", proxy,
			forwardedFor(victimAddr + ", unknown, 192.0.2.1"), "192.0.2.1"},
		{"empty header", proxy, forwardedFor(""), "10.1.2.3"},
		{"empty header at the end", proxy, forwardedFor(victimAddr, ""), "10.1.2.3"},
		{"comma at the end", proxy, forwardedFor(victimAddr + ","), "10.1.2.3"},
		{"only commas", proxy, forwardedFor(strings.Repeat(",", 5000)), "10.1.2.3"},
		{"space instead of comma", proxy, forwardedFor(victimAddr + " " + attackerAddr),
			"10.1.2.3"},
		{"semicolon instead of comma", proxy, forwardedFor(victimAddr + ";" + attackerAddr),
			"10.1.2.3"},
		{"entry in quotes", proxy, forwardedFor(`"` + victimAddr + `"`), "10.1.2.3"},
		{"leading zeros", proxy, forwardedFor("198.051.100.009"), "10.1.2.3"},
		{"IPv4 address as a number", proxy, forwardedFor("3325256713"), "10.1.2.3"},
		{"IPv4 address in hexadecimal", proxy, forwardedFor("0xc6336409"), "10.1.2.3"},
		{"IPv4 address with three parts", proxy, forwardedFor("198.51.100"), "10.1.2.3"},
		{"network in CIDR notation", proxy, forwardedFor(victimAddr + "/32"), "10.1.2.3"},
		{"IPv4 in brackets", proxy, forwardedFor("[" + victimAddr + "]"), "10.1.2.3"},
		{"unclosed bracket", proxy, forwardedFor("[2001:db8:9::1"), "10.1.2.3"},
		{"invalid port", proxy, forwardedFor(victimAddr + ":99999"), "10.1.2.3"},
		{"Arabic digits", proxy, forwardedFor("١٩٨.51.100.9"), "10.1.2.3"},
		{"line feed at the end", proxy, forwardedFor(victimAddr + "\n"), "10.1.2.3"},
		{"long zone", proxy, forwardedFor("fe80::1%" + strings.Repeat("x", 100)), "10.1.2.3"},
		{"zone in a trusted network", proxy, forwardedFor(victimAddr + ", 2001:db8:1::9%x"),
			victimAddr},
		{"as many entries as allowed", proxy,
			forwardedFor(victimAddr + strings.Repeat(", 10.0.0.1", maxHops-1)), victimAddr},
		{"one entry too many", proxy,
			forwardedFor(victimAddr + strings.Repeat(", 10.0.0.1", maxHops)), "10.0.0.1"},
		{"too many headers", proxy,
			forwardedFor(append([]string{victimAddr},
				slices.Repeat([]string{"10.0.0.1"}, 5000)...)...), "10.0.0.1"},

		{"other headers", proxy, http.Header{
			"Forwarded": {"for=" + victimAddr}, "X-Real-Ip": {victimAddr},
			"True-Client-Ip": {victimAddr}, "Cf-Connecting-Ip": {victimAddr},
			"X-Client-Ip": {victimAddr}, "X-Forwarded": {victimAddr}, "Forwarded-For": {victimAddr},
			"X-Cluster-Client-Ip": {victimAddr}, "Client-Ip": {victimAddr},
		}, "10.1.2.3"},
	} {
		config := AddressConfig{Trusted: trustedProxies, Log: slog.New(slog.DiscardHandler)}
		got := clientAddress(config, tt.peer, tt.header)
		if got != tt.want {
			t.Errorf("%s: the client is %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The zero AddressConfig trusts no proxy, not even on the same host.
func TestAddresses_zeroConfig(t *testing.T) {
	for _, peer := range []string{attackerAddr, "127.0.0.1", "10.0.0.1", "[::1]", "[fe80::1]"} {
		want := strings.Trim(peer, "[]")
		got := clientAddress(AddressConfig{Log: slog.New(slog.DiscardHandler)}, peer+":1",
			forwardedFor(victimAddr))
		if got != want {
			t.Errorf("peer %s: got %s, want %s", peer, got, want)
		}
	}
}

// An IPv4-mapped IPv6 network in Trusted matches IPv4 addresses, even if Trusted doesn't come from
// ParseProxies.
func TestAddresses_mappedProxies(t *testing.T) {
	config := AddressConfig{Trusted: []netip.Prefix{netip.MustParsePrefix("::ffff:172.16.0.0/108")}}
	for _, peer := range []string{"172.16.0.5:1", "[::ffff:172.16.0.5]:1"} {
		if got := clientAddress(config, peer, forwardedFor(victimAddr)); got != victimAddr {
			t.Errorf("peer %s: got %s, want %s", peer, got, victimAddr)
		}
	}
}

// Addresses logs only one warning, even if several proxies seem to be missing in Trusted.
func TestAddresses_missingProxy(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	middleware := Addresses(AddressConfig{Trusted: must(ParseProxies([]string{"10.0.0.1"})),
		Log: log})
	send := func(peer string, header http.Header) {
		r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
		r.RemoteAddr, r.Header = peer, header
		for range 3 {
			// All handlers that one middleware wraps share its single warning.
			middleware(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	send("10.0.0.1:1", forwardedFor(victimAddr)) // a trusted proxy
	send("10.0.0.2:1", http.Header{})            // no X-Forwarded-For
	// Public addresses cause no warning, because attackers must not be able to write to the log.
	send(attackerAddr+":1", forwardedFor(victimAddr))
	send("@", forwardedFor(victimAddr))               // a Unix socket
	send("[2001:db8::5]:1", forwardedFor(victimAddr)) // public
	if text.Len() != 0 {
		t.Errorf("logged %s, want nothing", text.String())
	}
	for _, peer := range []string{"10.0.0.2:1", "127.0.0.1:1", "[::1]:1", "[fd00::1]:1",
		"[fe80::1%eth0]:1", "100.64.0.1:1", "[::ffff:192.168.0.1]:1"} {
		send(peer, forwardedFor(victimAddr))
	}
	if got := text.String(); strings.Count(got, "\n") != 1 ||
		!strings.Contains(got, "AddressConfig.Trusted") || !strings.Contains(got, "10.0.0.2") ||
		strings.Contains(got, victimAddr) {
		t.Errorf("logged %q, want one line with AddressConfig.Trusted and 10.0.0.2, and without "+
			"%s "+
			"from the header", got, victimAddr)
	}
	for _, peer := range []string{"127.0.0.1:1", "[::1]:1", "[fd00::1]:1", "[fe80::1%eth0]:1",
		"100.64.0.1:1", "[::ffff:192.168.0.1]:1"} {
		text.Reset()
		clientAddress(AddressConfig{Log: log}, peer, forwardedFor(victimAddr))
		if text.Len() == 0 {
			t.Errorf("peer %s: logged nothing, want a warning", peer)
		}
	}
}

// ParseProxies accepts addresses and networks, and names each invalid entry in its error.
func TestParseProxies(t *testing.T) {
	got, err := ParseProxies([]string{" 10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1 ",
		"::ffff:192.0.2.0/120", "::ffff:192.0.2.9"})
	want := "[10.0.0.0/8 192.0.2.1/32 2001:db8::/32 ::1/128 192.0.2.0/24 192.0.2.9/32]"
	var text bytes.Buffer
	for i, prefix := range got {
		text.WriteString(map[bool]string{true: "[", false: " "}[i == 0] + prefix.String())
	}
	if text.String()+"]" != want || err != nil {
		t.Errorf("ParseProxies() = %v, %v, want %s", got, err, want)
	}
	if got, err := ParseProxies(nil); len(got) != 0 || err != nil {
		t.Errorf("ParseProxies(nil) = %v, %v, want none", got, err)
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

// ParseProxies rejects a list whose networks, singly or together, cover the whole internet. It
// accepts a list that covers only a part of the internet.
func TestParseProxies_wholeInternet(t *testing.T) {
	var allNetworks, networksButOne []string
	for i := range 224 {
		allNetworks = append(allNetworks, fmt.Sprintf("%d.0.0.0/8", i))
		if i != 203 {
			networksButOne = append(networksButOne, fmt.Sprintf("%d.0.0.0/8", i))
		}
	}
	for _, list := range [][]string{
		{"0.0.0.0/1", "128.0.0.0/1"},
		{"128.0.0.0/1", "10.0.0.1", "0.0.0.0/1"},
		{"0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"},
		{"0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"}, // the rest isn't unicast
		{"::ffff:0.0.0.0/97", "::ffff:128.0.0.0/97"},
		{"0.0.0.0/1", "::ffff:128.0.0.0/97"},
		allNetworks,
		{"::/1", "8000::/1"},
		{"2000::/3"},
		{"2000::/4", "3000::/4"},
		{"::/1"},
	} {
		const want = "holds the whole internet, in several networks: that trusts everyone, and so " +
			"lets every client claim any address"
		prefixes, err := ParseProxies(list)
		if err == nil || err.Error() != want || prefixes != nil {
			t.Errorf("ParseProxies(%.100q) = %v, %v; want no list and the error %q", list, prefixes,
				err, want)
		}
	}
	for _, list := range [][]string{
		{"0.0.0.0/1"},
		{"0.0.0.0/1", "128.0.0.0/2"},
		{"0.0.0.0/1", "::/3"},
		{"2000::/4", "3800::/5"},
		{"8000::/1"},
		networksButOne,
		{"10.0.0.0/8", "fd00::/8"},
	} {
		prefixes, err := ParseProxies(list)
		if err != nil || len(prefixes) != len(list) {
			t.Errorf("ParseProxies(%.100q) = %d networks, %v; want %d, no error", list, len(prefixes),
				err, len(list))
		}
	}
}

// For every X-Forwarded-For that a client sends, Addresses finds the address of the peer, or an
// address in an entry that a trusted proxy wrote.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"", victimAddr, victimAddr + ", 10.0.0.1", ",,,", "[::1]:80",
		"unknown", "::ffff:10.0.0.1", "fe80::1%", "[", "]", "10.0.0.1,\x00"} {
		f.Add(seed, seed)
	}
	trustedProxies := must(ParseProxies([]string{"10.0.0.0/8"}))
	config := AddressConfig{Trusted: trustedProxies, Log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, first, second string) {
		got := clientAddress(config, attackerAddr+":1", forwardedFor(first, second))
		if got != attackerAddr {
			t.Errorf("without a proxy: got %s, want %s", got, attackerAddr)
		}
		// A proxy appends the client's address, as a new header or to the last header.
		for _, header := range []http.Header{forwardedFor(first, second, attackerAddr),
			forwardedFor(first, second+", "+attackerAddr),
			forwardedFor(first, second, attackerAddr+",10.0.0.9")} {
			if got := clientAddress(config, "10.0.0.1:1", header); got != attackerAddr {
				t.Errorf("%q: got %s, want %s, the entry that the proxy appended", header, got,
					attackerAddr)
			}
		}
		// If the proxy appends nothing, the result is an address in the header, or the peer's
		// address.
		got = clientAddress(config, "10.0.0.1:1", forwardedFor(first, second))
		address, err := netip.ParseAddr(got)
		if err != nil || address.Zone() != "" || address.Is4In6() {
			t.Errorf("%q, %q: got %s, want an unmapped address without a zone", first, second, got)
		}
	})
}
