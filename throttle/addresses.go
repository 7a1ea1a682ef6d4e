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

// Limits on how much of X-Forwarded-For is read. The header may be of any length, because a client
// may send it and proxies append to it.
const (
	maxHops       = 32 // entries
	maxEntryBytes = 64 // in one entry; an IPv6 address with a port has up to 47
)

// An AddressConfig configures Addresses. The zero value trusts no proxy.
type AddressConfig struct {
	// Trusted lists the addresses of the reverse proxies in front of this server. Each proxy must
	// append its peer's address to X-Forwarded-For, or replace the header with it. ParseProxies
	// parses such a list.
	Trusted []netip.Prefix
	Log     *slog.Logger // slog.Default() if nil
}

// Addresses returns a middleware that puts the client's address into the context of each request,
// for identity.Address.
//
// If the peer of the connection isn't a trusted proxy, the client's address is the peer's address.
// Otherwise it is the last entry of X-Forwarded-For that isn't a trusted proxy's address: a trusted
// proxy wrote that entry, but earlier entries may be forged. If all entries are trusted proxies'
// addresses, the client's address is the first entry. Addresses reads backwards from the last
// entry. It stops at an entry that isn't an address, and after 32 entries; the client's address is
// then the last address that it read, or the peer's address if it read none.
//
// Entries may have a port. If a request has several X-Forwarded-For headers, they count as one, in
// their order. Other headers, such as Forwarded (RFC 7239) and X-Real-IP, are never read.
// IPv4-mapped IPv6 addresses become IPv4 addresses, and zones are dropped.
//
// If a private address that isn't trusted sends X-Forwarded-For, it is probably a proxy that is
// missing in Trusted, and all its clients count as one address. Addresses logs a warning about the
// first such request.
func Addresses(config AddressConfig) func(http.Handler) http.Handler {
	trustedProxies := make([]netip.Prefix, 0, len(config.Trusted))
	for _, prefix := range config.Trusted {
		trustedProxies = append(trustedProxies, unmapPrefix(prefix))
	}
	log := config.Log
	if log == nil {
		log = slog.Default()
	}
	var warnOnce sync.Once
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer := peerOf(r)
			address := peer
			forwarded := r.Header.Values("X-Forwarded-For")
			switch {
			case contains(trustedProxies, peer):
				address = clientAddr(peer, forwarded, trustedProxies)
			case len(forwarded) > 0 && isPrivate(peer):
				warnOnce.Do(func() {
					log.WarnContext(r.Context(), "X-Forwarded-For is not read: it comes from an "+
						"address that isn't in AddressConfig.Trusted. If that is your proxy, "+
						"add it there; until then all its clients count as one address",
						"address", peer.String())
				})
			}
			if address.IsValid() {
				r = r.WithContext(identity.WithAddress(r.Context(), address))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// ParseProxies parses addresses and networks in CIDR notation ("10.0.0.0/8", "192.0.2.1",
// "2001:db8::/32"). It returns an error for anything else, and for a network whose address has bits
// outside the prefix. It also returns an error if one network or several together cover the whole
// internet, because then every client could claim any address. The error joins one error for each
// invalid entry.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	var errs []error
	for _, text := range list {
		prefix, err := parseProxy(strings.TrimSpace(text))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, space := range addressSpaces {
		isUncovered := func(network netip.Prefix) bool { return !covers(prefixes, network) }
		if !slices.ContainsFunc(space, isUncovered) {
			return nil, errors.New("holds the whole internet, in several networks: that " +
				"trusts everyone, and so lets every client claim any address")
		}
	}
	return prefixes, nil
}

// addressSpaces has two lists of networks: one covers all IPv4 unicast addresses, the other all
// assigned IPv6 addresses.
var addressSpaces = [][]netip.Prefix{
	{
		netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/2"),
		netip.MustParsePrefix("192.0.0.0/3"),
	},
	{netip.MustParsePrefix("2000::/3")},
}

// covers reports whether the networks in list together contain every address of network. Unless one
// of them contains all of network, covers checks each half of network.
func covers(list []netip.Prefix, network netip.Prefix) bool {
	hasOverlap := false
	for _, prefix := range list {
		if prefix.Overlaps(network) {
			if prefix.Bits() <= network.Bits() {
				return true
			}
			hasOverlap = true // prefix contains only a part of network
		}
	}
	if !hasOverlap {
		return false
	}
	bits := network.Bits() + 1
	bytes := network.Addr().AsSlice()
	bytes[network.Bits()/8] |= 0x80 >> (network.Bits() % 8)
	upperHalf, _ := netip.AddrFromSlice(bytes)
	return covers(list, netip.PrefixFrom(network.Addr(), bits)) &&
		covers(list, netip.PrefixFrom(upperHalf, bits))
}

// parseProxy parses one address or network.
func parseProxy(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("holds %q: expected addresses or networks "+
				"such as 10.0.0.0/8, with a comma between them", text)
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	unmappedPrefix := unmapPrefix(prefix)
	switch {
	case unmappedPrefix != unmappedPrefix.Masked():
		return netip.Prefix{}, fmt.Errorf("holds %q: expected %v for the network, or %v for "+
			"the one address", text, unmappedPrefix.Masked(), unmappedPrefix.Addr())
	case unmappedPrefix.Bits() == 0 || prefix.Addr().Is4In6() && !unmappedPrefix.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("holds %q: that trusts everyone, and so lets every "+
			"client claim any address", text)
	}
	return unmappedPrefix, nil
}

// unmapPrefix converts an IPv4-mapped IPv6 network, such as ::ffff:10.0.0.0/104, to the IPv4
// network. It returns other networks unchanged.
func unmapPrefix(prefix netip.Prefix) netip.Prefix {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix
}

// peerOf returns the address of the connection's peer, or the zero Addr if the peer has no address,
// as on a Unix socket.
func peerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return unmap(peer.Addr())
}

// unmap converts an IPv4-mapped IPv6 address to the IPv4 address, and drops the zone of an address.
func unmap(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

// clientAddr returns the client's address for a peer that is a trusted proxy, as documented at
// Addresses. It reads the entries from the last to the first. The peer wrote the last entry. While
// an entry is a trusted proxy's address, that proxy wrote the entry before it, so clientAddr may
// read on. At any other entry it stops, because earlier entries may be forged.
func clientAddr(peer netip.Addr, headers []string, trustedProxies []netip.Prefix) netip.Addr {
	client := peer
	hops := 0
	for i := len(headers) - 1; i >= 0; i-- {
		rest, hasMore := headers[i], true
		for hasMore {
			if hops++; hops > maxHops {
				return client
			}
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, hasMore = rest, false
			}
			address, ok := parseEntry(entry)
			if !ok {
				return client
			}
			client = address
			if !contains(trustedProxies, address) {
				return client
			}
		}
	}
	return client
}

// parseEntry parses one entry of X-Forwarded-For, and reports whether it is an address. The header
// has no standard: some proxies add a port, and some put IPv6 addresses in brackets.
func parseEntry(entry string) (netip.Addr, bool) {
	entry = strings.Trim(entry, " \t")
	if len(entry) > maxEntryBytes {
		return netip.Addr{}, false
	}
	if address, err := netip.ParseAddr(entry); err == nil {
		return unmap(address), true
	}
	if addrPort, err := netip.ParseAddrPort(entry); err == nil {
		return unmap(addrPort.Addr()), true
	}
	if innerText, ok := strings.CutPrefix(entry, "["); ok {
		innerText, ok = strings.CutSuffix(innerText, "]")
		if address, err := netip.ParseAddr(innerText); ok && err == nil && address.Is6() {
			return unmap(address), true
		}
	}
	return netip.Addr{}, false
}

// contains reports whether an address is in one of the networks.
func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// cgnat is the shared address space of carrier-grade NAT (RFC 6598).
var cgnat = netip.MustParsePrefix("100.64.0.0/10")

// isPrivate reports whether an address isn't public. If such an address sends X-Forwarded-For, it
// is probably a proxy in the same network.
func isPrivate(address netip.Addr) bool {
	return address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() ||
		cgnat.Contains(address)
}
