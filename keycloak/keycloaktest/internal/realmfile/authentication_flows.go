package realmfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The stand-in signs people in as Keycloak's own flows do. A realm file may hold them, under any
// name; another flow is refused where it would be used, because it would ask for something else.

type Flow struct {
	ID         string      `json:"id"`
	Alias      string      `json:"alias"`
	Executions []Execution `json:"authenticationExecutions"`
}

type Execution struct {
	Authenticator string `json:"authenticator"`
	Config        string `json:"authenticatorConfig"`
	FlowAlias     string `json:"flowAlias"`
	Requirement   string `json:"requirement"`
	Priority      int    `json:"priority"`
}

type AuthenticatorConfig struct {
	Alias  string            `json:"alias"`
	Config map[string]string `json:"config"`
}

// ownFlows are the flows that a realm binds, by Keycloak's names, and what they come down to,
// one-time codes written in either way.
var ownFlows = []struct {
	member, alias string
	bound         func(*Realm) string
	at            Use
	does          []string
}{
	{"browserFlow", "browser", func(f *Realm) string { return f.BrowserFlow }, UseLogin, []string{
		"ALTERNATIVE auth-cookie, ALTERNATIVE (REQUIRED auth-username-password-form, CONDITIONAL (REQUIRED conditional-user-configured, ALTERNATIVE auth-otp-form))",
		"ALTERNATIVE auth-cookie, ALTERNATIVE (REQUIRED auth-username-password-form, CONDITIONAL (REQUIRED conditional-user-configured, REQUIRED auth-otp-form))",
	}},
	{"directGrantFlow", "direct grant", func(f *Realm) string { return f.DirectGrantFlow }, UsePassword, []string{
		"REQUIRED direct-grant-validate-username, REQUIRED direct-grant-validate-password, CONDITIONAL (REQUIRED conditional-user-configured, REQUIRED direct-grant-validate-otp)",
		"REQUIRED direct-grant-validate-username, REQUIRED direct-grant-validate-password, CONDITIONAL (REQUIRED conditional-user-configured, ALTERNATIVE direct-grant-validate-otp)",
	}},
	{"clientAuthenticationFlow", "clients", func(f *Realm) string { return f.ClientAuthenticationFlow }, UseSecret, []string{
		"ALTERNATIVE client-secret", "REQUIRED client-secret",
	}},
}

// builtinFlows are the flows that Keycloak makes where a file hasn't them.
var builtinFlows = []string{"browser", "direct grant", "registration", "reset credentials",
	"clients", "first broker login", "docker auth", "forms", "registration form"}

func (file *Realm) hasFlow(named func(Flow) bool) bool {
	return slices.ContainsFunc(file.AuthenticationFlows, named)
}

// checkBoundFlows refuses a realm that binds a flow that it hasn't. Some flows are for what isn't
// done here.
func (r *reader) checkBoundFlows(file *Realm) {
	var root *path
	check := func(name, alias string) {
		if alias != "" && !slices.Contains(builtinFlows, alias) &&
			!file.hasFlow(func(f Flow) bool { return f.Alias == alias }) {
			r.problem(root.field(name), "the file has no authentication flow %q", alias)
		}
	}
	for _, own := range ownFlows {
		check(own.member, own.bound(file))
	}
	for name, alias := range map[string]string{
		"registrationFlow":         file.RegistrationFlow,
		"resetCredentialsFlow":     file.ResetCredentialsFlow,
		"dockerAuthenticationFlow": file.DockerFlow,
		"firstBrokerLoginFlow":     file.FirstBrokerLoginFlow,
	} {
		if alias != "" {
			r.ignore(name)
		}
		check(name, alias)
	}
}

// checkFlowParts refuses flows that name what the file hasn't.
func (r *reader) checkFlowParts(file *Realm) {
	var root *path
	all := root.field("authenticationFlows")
	for i, flow := range file.AuthenticationFlows {
		if flow.Executions == nil {
			r.problem(all.item(i).field("authenticationExecutions"), "missing")
		}
		for j, e := range flow.Executions {
			at := all.item(i).field("authenticationExecutions").item(j)
			if e.Requirement == "" {
				r.problem(at.field("requirement"), "missing")
			}
			if e.FlowAlias != "" &&
				!file.hasFlow(func(f Flow) bool { return f.Alias == e.FlowAlias }) {
				r.problem(at.field("flowAlias"), "the file has no authentication flow %q",
					e.FlowAlias)
			}
			configured := func(c AuthenticatorConfig) bool { return c.Alias == e.Config }
			if e.Config != "" && !slices.ContainsFunc(file.AuthenticatorConfig, configured) {
				r.problem(at.field("authenticatorConfig"),
					"the file has no authenticator config %q", e.Config)
			}
		}
	}
	for i, c := range file.AuthenticatorConfig {
		if c.Alias == "" {
			r.problem(root.field("authenticatorConfig").item(i).field("alias"), "missing")
		}
	}
}

// checkClientFlows refuses a client that has a flow of its own that the file hasn't.
func (r *reader) checkClientFlows(at *path, c *Client, file *Realm) {
	for name, id := range c.FlowOverrides {
		if id != "" && !file.hasFlow(func(f Flow) bool { return f.ID == id }) {
			r.problem(at.field("authenticationFlowBindingOverrides").key(name),
				"the file has no authentication flow with the id %q", id)
		}
	}
}

// unsupportedFlows are the flows that the realm binds and the stand-in can't do.
func unsupportedFlows(file *Realm) []Unsupported {
	var all []Unsupported
	for _, own := range ownFlows {
		add := func(format string, args ...any) {
			all = append(all, Unsupported{own.member + ": " + fmt.Sprintf(format, args...), own.at})
		}
		alias := own.bound(file)
		if alias == "" {
			alias = own.alias
		}
		f := flows{file: file}
		if !slices.ContainsFunc(file.AuthenticationFlows, func(f Flow) bool {
			return f.Alias == alias
		}) {
			if alias != own.alias { // Keycloak makes its own where a file hasn't them
				add("%s is not supported: the stand-in does %q", alias, own.does[0])
			}
			continue
		}
		does := f.describe(alias)
		switch {
		case f.endless:
			add("the authentication flow %s goes on for ever", alias)
		case !slices.Contains(own.does, does):
			add("%s is not supported: it does %q, and the stand-in does %q", alias, does,
				own.does[0])
		}
	}
	return all
}

// flows describes what flows come down to.
type flows struct {
	file    *Realm
	within  []string // aliases of flows that are being described
	steps   int
	endless bool
}

// maxSteps bounds a flow: a subflow may be there many times.
const maxSteps = 1000

// describe leaves out what is switched off, and what doesn't matter here: organizations, other
// identity providers and security keys, which no realm of a stand-in has.
func (f *flows) describe(alias string) string {
	i := slices.IndexFunc(f.file.AuthenticationFlows, func(flow Flow) bool {
		return flow.Alias == alias
	})
	if f.steps++; i < 0 || slices.Contains(f.within, alias) || f.steps > maxSteps {
		f.endless = true
		return ""
	}
	f.within = append(f.within, alias)
	defer func() { f.within = f.within[:len(f.within)-1] }()
	executions := slices.Clone(f.file.AuthenticationFlows[i].Executions)
	slices.SortStableFunc(executions, func(a, b Execution) int {
		return cmp.Compare(a.Priority, b.Priority)
	})
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
		if e.Requirement == "OPTIONAL" { // of releases before 8: whoever has it uses it
			e.Requirement, step = "CONDITIONAL",
				"(REQUIRED conditional-user-configured, REQUIRED "+step+")"
		}
		steps = append(steps, e.Requirement+" "+step)
	}
	return strings.Join(steps, ", ")
}

// harmless reports whether an execution changes nothing for people who have a password and perhaps
// one-time codes.
func (f *flows) harmless(e Execution) bool {
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
	case "webauthn-authenticator", "webauthn-authenticator-passwordless",
		"auth-recovery-authn-code-form",
		"client-jwt", "client-secret-jwt", "client-x509", "federated-jwt":
		return e.Requirement == "ALTERNATIVE"
	}
	return false
}

// onlyConditions reports whether a flow does nothing but ask whether it applies.
func onlyConditions(does string) bool {
	return does == "" || does == "REQUIRED conditional-user-configured"
}
