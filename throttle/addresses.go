package throttle

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/cloakql/cloakql/identity"
)

// Bounds of what is read of a header that strangers write the beginning of.
const (
	maxHops       = 32 // proxies between a client and us
	maxEntryBytes = 64 // an IPv6 address with its port has 47
)

// An AddressConfig says whom Addresses believes. Its zero value believes nobody.
type AddressConfig struct {
	// Trusted are the addresses of the reverse proxies in front of this server. Each must append
	// the address that it got a request from to X-Forwarded-For, or set the header anew.
	// ParseProxies reads a list of them.
	Trusted []netip.Prefix
	Log     *slog.Logger // slog.Default() if nil
}

// Addresses puts the client's address into the context of each request, for identity.Address.
//
// It is the address that the connection comes from, unless that is a trusted proxy's: then it is
// the last entry of X-Forwarded-For that isn't a trusted proxy's, since that one was written by a
// trusted proxy, and everything before it by whoever likes to. An entry that is no address ends the
// search at the proxy that wrote it, as does the 32nd. With proxies alone in the header, it is the
// first of them. Entries may have a port. Several headers count as one, in their order; Forwarded
// (RFC 7239), X-Real-IP and others are never read. IPv4 addresses inside of IPv6 come out as IPv4,
// and zones are dropped.
//
// A request that comes from a private address, unknown here, with an X-Forwarded-For makes one line
// in the log, one for all such requests: most likely it is a proxy that somebody forgot to name,
// and then all clients are one address.
func Addresses(config AddressConfig) func(http.Handler) http.Handler {
	trusted := make([]netip.Prefix, 0, len(config.Trusted))
	for _, prefix := range config.Trusted {
		trusted = append(trusted, unmapped(prefix))
	}
	log := config.Log
	if log == nil {
		log = slog.Default()
	}
	var once sync.Once
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer := peerOf(r)
			address := peer
			forwarded := r.Header.Values("X-Forwarded-For")
			switch {
			case contains(trusted, peer):
				address = client(peer, forwarded, trusted)
			case len(forwarded) > 0 && private(peer):
				once.Do(func() {
					log.WarnContext(r.Context(), "X-Forwarded-For is not read: it comes from an address that isn't in TRUSTED_PROXIES. "+
						"If that is your proxy, name it there; until then all its clients count as one address", "address", peer.String())
				})
			}
			if address.IsValid() {
				r = r.WithContext(identity.WithAddress(r.Context(), address))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// ParseProxies reads addresses and networks in CIDR notation ("10.0.0.0/8", "192.0.2.1",
// "2001:db8::/32"). It fails for anything else, for a network that names a host in it, and for a
// list that holds the whole internet, in one piece or in several: then every client could say that
// it is another. Its error joins one for each text that it can't take.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	var faults []error
	for _, text := range list {
		prefix, err := parseProxy(strings.TrimSpace(text))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	for _, internet := range wholeInternets {
		if !slices.ContainsFunc(internet, func(part netip.Prefix) bool { return !covers(prefixes, part) }) {
			return nil, errors.New("holds the whole internet, if in several networks: that trusts everyone, and so lets every client claim any address")
		}
	}
	return prefixes, nil
}

// wholeInternets are the unicast addresses of IPv4, and those of IPv6 that were given to anybody.
var wholeInternets = [][]netip.Prefix{
	{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/2"), netip.MustParsePrefix("192.0.0.0/3")},
	{netip.MustParsePrefix("2000::/3")},
}

// covers reports whether the networks of a list hold all addresses of another.
func covers(list []netip.Prefix, network netip.Prefix) bool {
	overlaps := false
	for _, prefix := range list {
		if prefix.Overlaps(network) {
			if prefix.Bits() <= network.Bits() {
				return true
			}
			overlaps = true // with a part of it
		}
	}
	if !overlaps {
		return false
	}
	bits := network.Bits() + 1
	bytes := network.Addr().AsSlice()
	bytes[network.Bits()/8] |= 0x80 >> (network.Bits() % 8)
	upper, _ := netip.AddrFromSlice(bytes)
	return covers(list, netip.PrefixFrom(network.Addr(), bits)) && covers(list, netip.PrefixFrom(upper, bits))
}

func parseProxy(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("holds %q: expected addresses or networks such as 10.0.0.0/8, with a comma between them", text)
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	whole := unmapped(prefix)
	switch {
	case whole != whole.Masked():
		return netip.Prefix{}, fmt.Errorf("holds %q: expected %v for the network, or %v for the one address", text, whole.Masked(), whole.Addr())
	case whole.Bits() == 0 || prefix.Addr().Is4In6() && !whole.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("holds %q: that trusts everyone, and so lets every client claim any address", text)
	}
	return whole, nil
}

// unmapped is a network of IPv4 addresses where it was written as one of IPv6, ::ffff:10.0.0.0/104.
func unmapped(prefix netip.Prefix) netip.Prefix {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix
}

// peerOf is the address that a connection comes from; the zero Addr where it has none, such as a
// Unix socket.
func peerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(peer.Addr())
}

func plain(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

// client walks the header from its end, which is next to us, to the first address that isn't a
// proxy's. Each address it believes was written by one that is trusted.
func client(peer netip.Addr, headers []string, trusted []netip.Prefix) netip.Addr {
	believed := peer
	hops := 0
	for i := len(headers) - 1; i >= 0; i-- {
		rest, more := headers[i], true
		for more {
			if hops++; hops > maxHops {
				return believed
			}
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			address, ok := parseEntry(entry)
			if !ok {
				return believed
			}
			believed = address
			if !contains(trusted, address) {
				return believed
			}
		}
	}
	return believed
}

// parseEntry reads one address of X-Forwarded-For. The header has no standard; proxies write an
// address, some with a port, and some put IPv6 into brackets.
func parseEntry(entry string) (netip.Addr, bool) {
	entry = strings.Trim(entry, " \t")
	if len(entry) > maxEntryBytes {
		return netip.Addr{}, false
	}
	if address, err := netip.ParseAddr(entry); err == nil {
		return plain(address), true
	}
	if both, err := netip.ParseAddrPort(entry); err == nil {
		return plain(both.Addr()), true
	}
	if inner, ok := strings.CutPrefix(entry, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if address, err := netip.ParseAddr(inner); ok && err == nil && address.Is6() {
			return plain(address), true
		}
	}
	return netip.Addr{}, false
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// carrier is where providers put the inside of their own address translation, RFC 6598.
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// private tells whether an address is none of the internet's: a proxy's in the same network, most
// likely.
func private(address netip.Addr) bool {
	return address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() || carrier.Contains(address)
}
