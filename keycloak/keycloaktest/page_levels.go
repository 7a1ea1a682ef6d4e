package keycloaktest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// Levels of authentication that don't depend on the browser flow.
const (
	noLevel  = -1 // nothing is authenticated, or no level is requested
	minLevel = 0  // single sign-on, if all levels of the session have expired
)

// configureOTP is the required action that sets up one-time codes.
const configureOTP = "CONFIGURE_TOTP"

// An acrRequest is the level of authentication that an authorization request asks for.
type acrRequest struct {
	level     *int // nil if the request asks for no level
	essential bool // the sign-in fails if it can't reach the level

	// The requested acr values. A token has the highest of these that the user has reached.
	essentialValues []string // values of the essential claim acr
	values          []string // all values, or the client's defaults
}

// A levelProgress is the progress of a sign-in through the browser flow.
type levelProgress struct {
	level              int           // the level reached, or noLevel
	levelTimes         map[int]int64 // see session.levelTimes
	levelIndex         int           // index of the current level in Realm.settings.AuthLevels
	formDone           bool          // the user completed a form
	mustReauthenticate bool          // levels that were reached earlier don't count
	mustConfigureOTP   bool          // a level needs a one-time code, and the user has none
}

// readACR sets authReq.acr. It returns false if the request marks a level as essential that is
// unknown or below the client's minimum (AuthorizationEndpoint and AcrUtils, Keycloak 26.7.4).
func (authReq *authRequest) readACR(r *Realm) (valid bool) {
	var claimsParameter struct {
		IDToken struct {
			ACR struct {
				Essential bool     `json:"essential"`
				Value     *string  `json:"value"`
				Values    []string `json:"values"`
			} `json:"acr"`
		} `json:"id_token"`
	}
	json.Unmarshal([]byte(authReq.parameter("claims")), &claimsParameter) // ignore invalid claims
	claim := claimsParameter.IDToken.ACR
	claimValues := claim.Values
	if claim.Values == nil && claim.Value != nil {
		claimValues = []string{*claim.Value}
	}
	levels := r.acrLevels(authReq.client)
	minimum, hasMinimum := r.levelOfACR(authReq.client.Attributes["minimum.acr.value"], levels)
	authReq.acr = acrRequest{values: r.requestedACR(authReq, claimValues, levels)}
	requestedValues := authReq.acr.values
	if claim.Essential && len(claimValues) > 0 {
		authReq.acr.essential, authReq.acr.essentialValues = true, claimValues
		requestedValues = claimValues
	}
	for _, value := range requestedValues {
		level, isKnown := parseACR(value, levels)
		if authReq.acr.essential && (!isKnown || hasMinimum && level < minimum) {
			return false
		}
		if !isKnown {
			level = minLevel
		}
		if authReq.acr.level == nil || level < *authReq.acr.level {
			authReq.acr.level = &level
		}
	}
	return true
}

// requestedACR returns the acr values of a request: the values in acr_values and in the claims
// parameter, or else the client's defaults. It replaces values below the client's minimum.
func (r *Realm) requestedACR(authReq *authRequest, claimValues []string,
	levels map[string]int) []string {
	var values []string
	if authReq.parameters.Has("acr_values") {
		values = strings.Split(authReq.parameter("acr_values"), " ")
		for len(values) > 1 && values[len(values)-1] == "" {
			values = values[:len(values)-1]
		}
	}
	values = append(values, claimValues...)
	if len(values) == 0 {
		for _, value := range strings.Split(authReq.client.Attributes["default.acr.values"], "##") {
			if value != "" {
				values = append(values, value)
			}
		}
	}
	minimumValue := authReq.client.Attributes["minimum.acr.value"]
	minimum, hasMinimum := r.levelOfACR(minimumValue, levels)
	if !hasMinimum {
		return values
	}
	values = slices.DeleteFunc(values, func(value string) bool {
		level, ok := r.levelOfACR(value, levels)
		return !ok || level < minimum
	})
	if len(values) == 0 {
		values = []string{minimumValue}
	}
	return values
}

// acrLevels returns the levels of authentication by name: the client's levels, or the realm's
// levels if the client has none.
func (r *Realm) acrLevels(c *client) map[string]int {
	if levels := realmfile.ACRLevels(c.Attributes); len(levels) > 0 {
		return levels
	}
	return realmfile.ACRLevels(r.settings.Attributes)
}

// parseACR returns the level that an acr value names. The value may be the level's number.
func parseACR(value string, levels map[string]int) (level int, ok bool) {
	if level, ok = levels[value]; ok {
		return level, true
	}
	level, err := strconv.Atoi(value)
	return level, err == nil
}

// levelOfACR is like parseACR, but accepts a number only if the browser flow has this level.
func (r *Realm) levelOfACR(value string, levels map[string]int) (level int, ok bool) {
	level, ok = parseACR(value, levels)
	_, isName := levels[value]
	return level, ok && (isName || slices.Contains(r.acrValues(), value))
}

// acrOf returns the acr claim for a level of authentication: the highest requested value that
// doesn't exceed the level, or else the level's name, or else its number.
func (a acrRequest) acrOf(level int, levels map[string]int) string {
	for _, values := range [][]string{a.essentialValues, a.values} {
		acr, highest := "", noLevel
		for _, value := range values {
			if n, ok := parseACR(value, levels); ok && n > highest && n <= level {
				acr, highest = value, n
			}
		}
		if acr != "" && len(levels) > 0 {
			return acr
		}
	}
	for _, name := range slices.Sorted(maps.Keys(levels)) {
		if levels[name] == level {
			return name
		}
	}
	return strconv.Itoa(level)
}

// requestedLevel returns the level of authentication that a sign-in must reach: the level that the
// client requests, or the level of the credential that the action in kc_action changes, if that is
// higher.
func (req *pageRequest) requestedLevel(as *authSession) int {
	requested := noLevel
	if as.authReq.acr.level != nil {
		requested = *as.authReq.acr.level
	}
	if as.requestedAction() != configureOTP || as.user == nil {
		return requested
	}
	levelsByForm := map[string]int{}
	for _, l := range req.realm.settings.AuthLevels {
		levelsByForm[l.Form] = l.Level
	}
	passwordLevel := max(levelsByForm[stepPassword], levelsByForm[stepPasswordOnly])
	switch otpLevel, ok := levelsByForm[stepOTP]; {
	case !ok:
		return requested
	case as.user.otp != nil:
		return max(requested, otpLevel)
	default:
		return max(requested, min(passwordLevel, otpLevel-1))
	}
}

// previousLevel returns the level of authentication that a session still has: the last level before
// the first level that has expired (AcrStore, Keycloak 26.7.4).
func (r *Realm) previousLevel(s *session, now time.Time) int {
	if len(s.levelTimes) == 0 {
		return noLevel
	}
	level := minLevel
	for _, n := range slices.Sorted(maps.Keys(s.levelTimes)) {
		maxAge := 0
		for _, l := range r.settings.AuthLevels {
			if l.Level == n {
				maxAge = l.MaxAge
			}
		}
		if now.Unix() > s.levelTimes[n]+int64(maxAge) {
			break
		}
		level = n
	}
	return level
}

// needsForm reports whether the user must complete the form of a level. If the level was reached
// earlier and is still valid, it counts as reached (ConditionalLoaAuthenticator, Keycloak 26.7.4).
func (req *pageRequest) needsForm(as *authSession, l realmfile.AuthLevel) bool {
	if as.level < minLevel {
		return true
	}
	if req.requestedLevel(as) < l.Level {
		return false
	}
	reachedAt, reached := as.levelTimes[l.Level]
	if as.mustReauthenticate || !reached || req.now.Unix() > reachedAt+int64(l.MaxAge) {
		return true
	}
	as.level = max(as.level, l.Level)
	return false
}

// nextForm shows the form of the current level or of a later level. If no form is left, it
// completes the browser flow.
func (req *pageRequest) nextForm(as *authSession) response {
	as.step = stepPassword
	if levels := req.realm.settings.AuthLevels; levels != nil {
		for as.levelIndex < len(levels) && !req.needsForm(as, levels[as.levelIndex]) {
			as.levelIndex++
		}
		if as.levelIndex >= len(levels) {
			return req.completeFlow(as)
		}
		as.step = levels[as.levelIndex].Form
	}
	if as.step == stepOTP && as.user.otp == nil && req.realm.actionEnabled(configureOTP) {
		as.mustConfigureOTP = true
		return req.completeForm(as)
	}
	if as.step == stepOTP {
		if as.user.otp == nil {
			return unsupportedResponse("sign-in without a one-time code if " + configureOTP +
				" is disabled")
		}
		if err := req.realm.checkSupported(as.client, realmfile.UseOTP); err != nil {
			return err.response()
		}
	}
	if as.authReq.hasPrompt("none") {
		return req.endWithError(as, "login_required")
	}
	if alias := as.authReq.parameter("kc_idp_hint"); req.realm.hasIdentityProvider(alias) {
		return unsupportedResponse("identity providers, but kc_idp_hint names " + alias)
	}
	return req.formPage(as)
}

// completeForm goes on to the next form, after the user completed the current one.
func (req *pageRequest) completeForm(as *authSession) response {
	as.formDone = true
	levels := req.realm.settings.AuthLevels
	switch {
	case as.levelIndex < len(levels):
		l := levels[as.levelIndex]
		if as.level = l.Level; l.MaxAge != 0 {
			if as.levelTimes == nil {
				as.levelTimes = map[int]int64{}
			}
			as.levelTimes[l.Level] = req.now.Unix()
		}
		as.levelIndex++
		return req.nextForm(as)
	case as.step == stepPassword && as.user.otp != nil:
		if err := req.realm.checkSupported(as.client, realmfile.UseOTP); err != nil {
			return err.response()
		}
		as.step = stepOTP
		return req.otpPage(as)
	}
	return req.completeFlow(as)
}

// completeFlow ends the browser flow. It fails if the user can't reach the requested level.
func (req *pageRequest) completeFlow(as *authSession) response {
	switch {
	case !as.formDone: // the session has all levels of the flow, but not the requested one
		return req.errorResponse(400, invalidLoginMessage)
	case req.realm.settings.AuthLevels != nil && as.authReq.acr.essential &&
		req.requestedLevel(as) > as.level:
		return req.errorResponse(400, "Authentication requirements not fulfilled")
	}
	req.realm.resetFailures(as.user)
	return req.proceed(as)
}
