package keycloaktest

import (
	"cmp"
	"slices"
	"strings"
)

// The stand-in signs people in as Keycloak's own flows do. A realm file may hold them, under any name; another flow is
// refused, because it would ask for something else.

type flowRepresentation struct {
	Alias      string                    `json:"alias"`
	Executions []executionRepresentation `json:"authenticationExecutions"`
}

type executionRepresentation struct {
	Authenticator string `json:"authenticator"`
	Config        string `json:"authenticatorConfig"`
	FlowAlias     string `json:"flowAlias"`
	Requirement   string `json:"requirement"`
	Priority      int    `json:"priority"`
}

type authenticatorConfiguration struct {
	Alias  string            `json:"alias"`
	Config map[string]string `json:"config"`
}

// ownFlows are the flows that a realm binds, by Keycloak's names, and what they come down to, one-time codes written
// in either way.
var ownFlows = []struct {
	member, alias string
	bound         func(*realmRepresentation) string
	does          []string
}{
	{"browserFlow", "browser", func(f *realmRepresentation) string { return f.BrowserFlow }, []string{
		"ALTERNATIVE auth-cookie, ALTERNATIVE (REQUIRED auth-username-password-form, CONDITIONAL (REQUIRED conditional-user-configured, ALTERNATIVE auth-otp-form))",
		"ALTERNATIVE auth-cookie, ALTERNATIVE (REQUIRED auth-username-password-form, CONDITIONAL (REQUIRED conditional-user-configured, REQUIRED auth-otp-form))",
	}},
	{"directGrantFlow", "direct grant", func(f *realmRepresentation) string { return f.DirectGrantFlow }, []string{
		"REQUIRED direct-grant-validate-username, REQUIRED direct-grant-validate-password, CONDITIONAL (REQUIRED conditional-user-configured, REQUIRED direct-grant-validate-otp)",
		"REQUIRED direct-grant-validate-username, REQUIRED direct-grant-validate-password, CONDITIONAL (REQUIRED conditional-user-configured, ALTERNATIVE direct-grant-validate-otp)",
	}},
	{"clientAuthenticationFlow", "clients", func(f *realmRepresentation) string { return f.ClientAuthenticationFlow }, []string{
		"ALTERNATIVE client-secret", "REQUIRED client-secret",
	}},
}

// checkFlows refuses the flows that the realm binds and the stand-in can't do.
func (r *reader) checkFlows(file *realmRepresentation) {
	var top *place
	for _, own := range ownFlows {
		alias, at := own.bound(file), top.member(own.member)
		if alias == "" {
			alias = own.alias
		}
		f := flows{file: file}
		if !slices.ContainsFunc(file.AuthenticationFlows, func(f flowRepresentation) bool { return f.Alias == alias }) {
			if alias != own.alias { // Keycloak makes its own where a file hasn't them
				r.problem(at, "the file has no authentication flow %q", alias)
			}
			continue
		}
		does := f.describe(alias)
		switch {
		case f.missing != "":
			r.problem(at, "%s", f.missing)
		case !slices.Contains(own.does, does):
			r.problem(at, "%s is not supported: it does %q, and the stand-in does %q", alias, does, own.does[0])
		}
	}
}

// flows describes what flows come down to.
type flows struct {
	file    *realmRepresentation
	within  []string // aliases of flows that are being described
	steps   int
	missing string
}

// maxSteps bounds a flow: a subflow may be there many times.
const maxSteps = 1000

// describe leaves out what is switched off, and what doesn't matter here: organizations, other identity providers and
// security keys, which no realm of a stand-in has.
func (f *flows) describe(alias string) string {
	i := slices.IndexFunc(f.file.AuthenticationFlows, func(flow flowRepresentation) bool { return flow.Alias == alias })
	if f.steps++; i < 0 || slices.Contains(f.within, alias) || f.steps > maxSteps {
		f.missing = "the file has no authentication flow " + alias
		if i >= 0 {
			f.missing = "the authentication flow " + alias + " goes on for ever"
		}
		return ""
	}
	f.within = append(f.within, alias)
	defer func() { f.within = f.within[:len(f.within)-1] }()
	executions := slices.Clone(f.file.AuthenticationFlows[i].Executions)
	slices.SortStableFunc(executions, func(a, b executionRepresentation) int { return cmp.Compare(a.Priority, b.Priority) })
	var steps []string
	for _, e := range executions {
		if e.Requirement == "DISABLED" || f.harmless(e) {
			continue
		}
		step := e.Authenticator
		if e.FlowAlias != "" {
			inner := f.describe(e.FlowAlias)
			if onlyConditions(inner) {
				continue
			}
			step = "(" + inner + ")"
		}
		steps = append(steps, e.Requirement+" "+step)
	}
	return strings.Join(steps, ", ")
}

// harmless says whether an execution changes nothing for people who have a password and perhaps one-time codes.
func (f *flows) harmless(e executionRepresentation) bool {
	set := func(name string) string {
		for _, c := range f.file.AuthenticatorConfig {
			if c.Alias == e.Config && e.Config != "" {
				return c.Config[name]
			}
		}
		return ""
	}
	switch e.Authenticator {
	case "organization":
		return true
	case "identity-provider-redirector":
		return e.Requirement == "ALTERNATIVE" && set("defaultProvider") == ""
	case "conditional-credential":
		return set("credentials") == "webauthn-passwordless" && set("included") != "true"
	case "webauthn-authenticator", "webauthn-authenticator-passwordless", "auth-recovery-authn-code-form",
		"client-jwt", "client-secret-jwt", "client-x509", "federated-jwt":
		return e.Requirement == "ALTERNATIVE"
	}
	return false
}

// onlyConditions says whether a flow does nothing but ask whether it applies.
func onlyConditions(does string) bool {
	return does == "" || does == "REQUIRED conditional-user-configured"
}
