package keycloak

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
)

// The reasons why a response isn't repeated, for the log.
const (
	reasonSuperseded   = "the new refresh token was used"
	reasonOtherNetwork = "it comes from another network (ClientConfig.RefreshGraceAnyNetwork)"
)

func logRepeat(ctx context.Context, log *slog.Logger, session string, network netip.Prefix) {
	log.LogAttrs(ctx, slog.LevelInfo,
		"a refresh token was presented again from its network: the response is repeated",
		sessionAttr(session), slog.String("network", formatNetwork(network)))
}

func logRefusedRepeat(ctx context.Context, log *slog.Logger, reason, session string,
	network netip.Prefix, more ...slog.Attr) {
	attrs := append([]slog.Attr{slog.String("reason", reason), sessionAttr(session),
		slog.String("network", formatNetwork(network))}, more...)
	log.LogAttrs(ctx, slog.LevelWarn,
		"a refresh token was presented again and the response isn't repeated: Keycloak is "+
			"called, and may end the session", attrs...)
}

func formatNetwork(network netip.Prefix) string {
	if !network.IsValid() {
		return "unknown"
	}
	return network.String()
}

// sessionAttr returns a session's ID for the log. The ID isn't secret, and lets an administrator
// find the session. The token may be forged, so an ID that doesn't look like one of Keycloak's is
// left out.
func sessionAttr(session string) slog.Attr {
	if len(session) > 64 ||
		strings.ContainsFunc(session, func(r rune) bool {
			return r != '-' && r != '_' && !isAlphanumeric(r)
		}) {
		session = ""
	}
	return slog.String("session", session)
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
