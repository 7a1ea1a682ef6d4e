package keycloak

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A SessionEnd says that a session ended, or all sessions of a user.
type SessionEnd struct {
	// SessionID is the ID of the session. If it is empty, all sessions ended that
	// Subject had at At.
	SessionID string
	Subject   string    // the user's ID; may be empty if SessionID isn't
	At        time.Time // when the session ended, in whole seconds
	// Exact means that only the tokens issued until At ended, and the session may continue.
	Exact bool
}

// A BackchannelLogoutConfig configures BackchannelLogout. Tokens.Issuers, ClientIDs and End are
// required.
type BackchannelLogoutConfig struct {
	// Tokens has the realm's issuers and their keys, and the limits for tokens: Algorithms,
	// MaxBytes, Leeway and Now. Use the same KeySet as for access tokens, so that logout tokens
	// cause no additional fetches of keys. Its other fields aren't used.
	Tokens VerifierConfig

	// ClientIDs are the clients whose Backchannel logout URL in Keycloak is the handler's. The aud
	// of a logout token must be exactly one of them.
	ClientIDs []string

	// End is called for each valid logout token, before the response. It must be safe for
	// concurrent use.
	End func(SessionEnd)

	// Log gets a line for each session that ended, at most one warning a second about invalid
	// logout tokens that the realm signed, and at most one about others; slog.Default() if nil.
	Log *slog.Logger
}

// maxOtherFormBytes is the room for other fields in the form that contains the logout token.
const maxOtherFormBytes = 4 << 10

type backchannelLogout struct {
	verifier *Verifier
	end      func(SessionEnd)
	used     *usedTokens
	log      *slog.Logger
	// There are two limiters, so that strangers can't suppress warnings about the realm's tokens.
	signedWarnings, otherWarnings logLimiter
}

// BackchannelLogout returns the handler of a client's back-channel logout URL (OpenID Connect
// Back-Channel Logout 1.0). Keycloak sends it a logout token when a session of the client ends.
//
// The response is 200 if the token is valid and End was called, and 400 otherwise. The body of a
// 400 has the members error and error_description of RFC 6749, section 5.2, and no details for
// operators, because anyone can call the handler.
//
// Anyone can send tokens, but only the realm can sign one. An invalid token costs as much as an
// invalid access token: it can't cause a fetch of keys unless its claims are right, and all tokens
// together cause at most one fetch a second. A token that was used before is rejected.
func BackchannelLogout(config BackchannelLogoutConfig) (http.Handler, error) {
	if len(config.ClientIDs) == 0 || config.End == nil {
		return nil, errors.New("keycloak: BackchannelLogout needs ClientIDs and an End")
	}
	tokens := VerifierConfig{
		Issuers: config.Tokens.Issuers, Audience: config.ClientIDs,
		Algorithms: config.Tokens.Algorithms, MaxBytes: config.Tokens.MaxBytes,
		Leeway: config.Tokens.Leeway, Now: config.Tokens.Now,
		CacheBytes: -1,
	}
	verifier, err := NewVerifier(tokens)
	if err != nil {
		return nil, err
	}
	b := &backchannelLogout{verifier: verifier, end: config.End, log: config.Log,
		used: newUsedTokens(maxLogoutTokenAge + 2*verifier.config.Leeway)}
	if b.log == nil {
		b.log = slog.Default()
	}
	return b, nil
}

// ServeHTTP responds as BackchannelLogout documents.
func (b *backchannelLogout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Back-Channel Logout 1.0, section 2.8: intermediaries must not cache the response.
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeOAuthError(w, http.StatusMethodNotAllowed, "invalid_request",
			"expected the method POST")
		return
	}
	rawToken, problem := b.readForm(w, r)
	if problem != "" {
		writeOAuthError(w, http.StatusBadRequest, "invalid_request", problem)
		return
	}
	end, isSigned, err := b.verify(r.Context(), rawToken)
	if err != nil {
		b.refuse(r.Context(), w, err, isSigned)
		return
	}
	b.end(end)
	b.log.LogAttrs(r.Context(), slog.LevelInfo, "Keycloak ended a session",
		sessionAttr(end.SessionID), slog.String("subject", end.Subject))
	w.WriteHeader(http.StatusOK)
}

// readForm returns the logout token in the form, or what is wrong with the request.
func (b *backchannelLogout) readForm(w http.ResponseWriter, r *http.Request) (token,
	problem string) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", "expected the media type application/x-www-form-urlencoded"
	}
	maxBytes := int64(b.verifier.config.MaxBytes + maxOtherFormBytes)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	if err != nil {
		return "", "the body is too large or incomplete"
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", "the body is not a form"
	}
	// RFC 6749, section 3.2: parameters must not be included more than once.
	if values := form["logout_token"]; len(values) == 1 && values[0] != "" {
		return values[0], ""
	}
	return "", "expected one logout_token"
}

// verify verifies a logout token, and marks it as used. isSigned reports whether the realm signed
// it.
func (b *backchannelLogout) verify(ctx context.Context, rawToken string) (end SessionEnd,
	isSigned bool, err error) {
	token, isSigned, err := b.verifier.verifyLogoutToken(ctx, rawToken)
	if err != nil {
		return SessionEnd{}, isSigned, err
	}
	if !b.used.add(token.tokenID, b.verifier.config.Now()) {
		return SessionEnd{}, isSigned,
			notAcceptedError("jti names a logout token that was used before")
	}
	return token.end, isSigned, nil
}

// refuse responds to an invalid logout token, and warns at most once a second.
func (b *backchannelLogout) refuse(ctx context.Context, w http.ResponseWriter, err error,
	isSigned bool) {
	identityErr, ok := errors.AsType[*identity.Error](err)
	if !ok { // the context ended while keys were being fetched
		identityErr = &identity.Error{Reason: identity.ErrKeysUnavailable, Detail: err.Error()}
	}
	warnings := &b.otherWarnings
	if isSigned {
		warnings = &b.signedWarnings
	}
	if suppressed, ok := warnings.allow(time.Now()); ok {
		b.log.LogAttrs(ctx, slog.LevelWarn, "logout token refused",
			slog.Any("reason", identityErr.Reason), slog.String("detail", identityErr.Detail),
			slog.Bool("signed", isSigned), slog.Int("suppressed", suppressed))
	}
	code := "invalid_request"
	if identityErr.Reason == identity.ErrKeysUnavailable {
		code = "temporarily_unavailable"
	}
	writeOAuthError(w, http.StatusBadRequest, code, identityErr.Error())
}

// writeOAuthError writes an error response, RFC 6749 section 5.2.
func writeOAuthError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
}

// maxUsedTokens limits the tokens in each of the two sets of usedTokens, which take about 100 bytes
// per token.
const maxUsedTokens = 50_000

// usedTokens remembers logout tokens by their jti, for at least period. If there are more than
// maxUsedTokens within period, it forgets the oldest. That is harmless: only the realm can sign
// logout tokens, and to end a session a second time has no effect. It is safe for concurrent use.
type usedTokens struct {
	period time.Duration

	mu                sync.Mutex // guards the fields below
	current, previous map[digest]struct{}
	startedAt         time.Time // when current was empty
}

func newUsedTokens(period time.Duration) *usedTokens {
	return &usedTokens{period: period, current: map[digest]struct{}{}}
}

// add remembers a token, and reports whether it is new.
func (u *usedTokens) add(tokenID string, now time.Time) bool {
	key := digestOf(identity.NewSecret(tokenID))
	u.mu.Lock()
	defer u.mu.Unlock()
	// Each token stays in current or previous for at least period, and leaves after two periods.
	if now.Sub(u.startedAt) >= u.period || len(u.current) >= maxUsedTokens {
		u.previous, u.current, u.startedAt = u.current, map[digest]struct{}{}, now
	}
	_, isCurrent := u.current[key]
	_, isPrevious := u.previous[key]
	if isCurrent || isPrevious {
		return false
	}
	u.current[key] = struct{}{}
	return true
}
