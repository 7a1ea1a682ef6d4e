package keycloak

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// WarnIssuer fetches the issuer that the realm puts into its tokens, and logs a warning if that
// issuer isn't one of issuers. It retries until a response names the issuer, or ctx ends. A nil
// transport means NewTransport(), and a nil log means slog.Default().
func WarnIssuer(ctx context.Context, realm Realm, issuers []string, transport http.RoundTripper,
	log *slog.Logger) {
	client := newHTTPClient(transport)
	if log == nil {
		log = slog.Default()
	}
	if realm == (Realm{}) {
		log.Error("the zero Realm has no issuer: make it with keycloak.NewRealm")
		return
	}
	for {
		if issuer, ok := discoverIssuer(ctx, realm, client); ok {
			if !slices.Contains(issuers, issuer) {
				log.Warn(
					"the realm's tokens will be refused: set Issuer.Names to the realm's issuer",
					"issuer", truncateText(issuer), "accepted", issuers)
			}
			return
		}
		select {
		case <-time.After(maxRetryDelay):
		case <-ctx.Done():
			return
		}
	}
}

func discoverIssuer(ctx context.Context, realm Realm,
	client *http.Client) (issuer string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	resp, err := get(ctx, client, realm.discoveryURL())
	if err != nil || resp.status != http.StatusOK {
		return "", false
	}
	var metadata struct {
		Issuer string `json:"issuer"`
	}
	if json.Unmarshal(resp.body, &metadata) != nil || metadata.Issuer == "" {
		return "", false
	}
	return metadata.Issuer, true
}
