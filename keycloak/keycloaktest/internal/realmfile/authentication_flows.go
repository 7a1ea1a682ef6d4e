package realmfile

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The fake Keycloak implements the built-in authentication flows, and browser flows for step-up
// authentication: see AuthLevel. A realm file may define the same flows with any names. Requests
// that would use a different flow get a 501.

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

// flowBindings are the realm fields that select a flow. For each field, supported has the flow that
// the fake implements, in the format of describe. There are several equivalent definitions, because
// the execution that checks the one-time code may be REQUIRED or ALTERNATIVE.
var flowBindings = []struct {
	field        string
	defaultAlias string
	alias        func(*Realm) string
	use          Use
	supported    []string
}{
	{"browserFlow", "browser", func(r *Realm) string { return r.BrowserFlow }, UseLogin, []string{
		"ALTERNATIVE auth-cookie, ALTERNATIVE (REQUIRED auth-username-password-form, CONDITIONAL " +
			"(REQUIRED conditional-user-configured, ALTERNATIVE auth-otp-form))",
		"ALTERNATIVE auth-cookie, ALTERNATIVE (REQUIRED auth-username-password-form, CONDITIONAL " +
			"(REQUIRED conditional-user-configured, REQUIRED auth-otp-form))",
	}},
	{"directGrantFlow", "direct grant", func(r *Realm) string { return r.DirectGrantFlow },
		UsePassword, []string{
			"REQUIRED direct-grant-validate-username, REQUIRED direct-grant-validate-password, " +
				"CONDITIONAL (REQUIRED conditional-user-configured, REQUIRED " +
				"direct-grant-validate-otp)",
			"REQUIRED direct-grant-validate-username, REQUIRED direct-grant-validate-password, " +
				"CONDITIONAL (REQUIRED conditional-user-configured, ALTERNATIVE " +
				"direct-grant-validate-otp)",
		}},
	{"clientAuthenticationFlow", "clients",
		func(r *Realm) string { return r.ClientAuthenticationFlow }, UseSecret, []string{
			"ALTERNATIVE client-secret", "REQUIRED client-secret",
		}},
}

// The authenticators of a browser flow that show a form.
const (
	UsernamePasswordForm = "auth-username-password-form"
	PasswordForm         = "auth-password-form"
	OTPForm              = "auth-otp-form"
)

// An AuthLevel is a level of authentication (conditional-level-of-authentication) in the browser
// flow. The flow must be built as Keycloak's documentation of step-up authentication shows: after
// the cookie, each level is a conditional subflow with one form, and the first form asks for the
// username and the password.
type AuthLevel struct {
	Level  int
	MaxAge int    // in seconds: for how long single sign-on keeps the level
	Form   string // UsernamePasswordForm, PasswordForm or OTPForm
}

// LevelCondition is the authenticator that makes a subflow a level of authentication.
const LevelCondition = "conditional-level-of-authentication"

var (
	authLevelPattern = regexp.MustCompile(`CONDITIONAL \(REQUIRED ` + LevelCondition +
		`\[(-?\d+), (-?\d+)\], REQUIRED (` + UsernamePasswordForm + `|` + PasswordForm + `|` +
		OTPForm + `)\)`)
	authLevelsPattern = regexp.MustCompile(`^ALTERNATIVE auth-cookie, ALTERNATIVE \(` +
		authLevelPattern.String() + `(, ` + authLevelPattern.String() + `)*\)$`)
)

// parseAuthLevels returns the levels of a browser flow, in the order of the flow, or nil if the
// flow doesn't have the shape that AuthLevel documents. description is in the format of describe.
func parseAuthLevels(description string) []AuthLevel {
	if !authLevelsPattern.MatchString(description) {
		return nil
	}
	var levels []AuthLevel
	for _, m := range authLevelPattern.FindAllStringSubmatch(description, -1) {
		level, levelErr := strconv.Atoi(m[1])
		maxAge, maxAgeErr := strconv.Atoi(m[2])
		if levelErr != nil || maxAgeErr != nil {
			return nil
		}
		levels = append(levels, AuthLevel{level, maxAge, m[3]})
	}
	for i, l := range levels {
		asksForUsername := l.Form == UsernamePasswordForm
		if l.Level < 1 || asksForUsername != (i == 0) ||
			i > 0 && l.Level <= levels[i-1].Level {
			return nil
		}
	}
	return levels
}

// builtinFlows are the flows that Keycloak adds to a realm whose file doesn't define them.
var builtinFlows = []string{"browser", "direct grant", "registration", "reset credentials",
	"clients", "first broker login", "docker auth", "forms", "registration form"}

// hasFlow reports whether match returns true for a flow in the file.
func (realm *Realm) hasFlow(match func(Flow) bool) bool {
	return slices.ContainsFunc(realm.AuthenticationFlows, match)
}

// checkBoundFlows reports realm settings that refer to a flow that doesn't exist. Settings whose
// flow the fake doesn't use are listed as ignored.
func (r *reader) checkBoundFlows(realm *Realm) {
	var root *fieldPath
	check := func(name, alias string) {
		if alias != "" && !slices.Contains(builtinFlows, alias) &&
			!realm.hasFlow(func(f Flow) bool { return f.Alias == alias }) {
			r.report(root.field(name), "the file has no authentication flow %q", alias)
		}
	}
	for _, binding := range flowBindings {
		check(binding.field, binding.alias(realm))
	}
	for name, alias := range map[string]string{
		"registrationFlow":         realm.RegistrationFlow,
		"resetCredentialsFlow":     realm.ResetCredentialsFlow,
		"dockerAuthenticationFlow": realm.DockerFlow,
		"firstBrokerLoginFlow":     realm.FirstBrokerLoginFlow,
	} {
		if alias != "" {
			r.ignore(name)
		}
		check(name, alias)
	}
}

// checkExecutions reports executions that are incomplete, or that refer to a flow or an
// authenticator config that doesn't exist.
func (r *reader) checkExecutions(realm *Realm) {
	var root *fieldPath
	flows := root.field("authenticationFlows")
	for i, flow := range realm.AuthenticationFlows {
		if flow.Executions == nil {
			r.report(flows.item(i).field("authenticationExecutions"), "missing")
		}
		for j, e := range flow.Executions {
			path := flows.item(i).field("authenticationExecutions").item(j)
			if e.Requirement == "" {
				r.report(path.field("requirement"), "missing")
			}
			if e.FlowAlias != "" &&
				!realm.hasFlow(func(f Flow) bool { return f.Alias == e.FlowAlias }) {
				r.report(path.field("flowAlias"), "the file has no authentication flow %q",
					e.FlowAlias)
			}
			matches := func(c AuthenticatorConfig) bool { return c.Alias == e.Config }
			if e.Config != "" && !slices.ContainsFunc(realm.AuthenticatorConfig, matches) {
				r.report(path.field("authenticatorConfig"),
					"the file has no authenticator config %q", e.Config)
			}
		}
	}
	for i, c := range realm.AuthenticatorConfig {
		if c.Alias == "" {
			r.report(root.field("authenticatorConfig").item(i).field("alias"), "missing")
		}
	}
}

// checkClientFlows reports a client's flow overrides that refer to a flow that doesn't exist.
func (r *reader) checkClientFlows(path *fieldPath, c *Client, realm *Realm) {
	for name, id := range c.FlowOverrides {
		if id != "" && !realm.hasFlow(func(f Flow) bool { return f.ID == id }) {
			r.report(path.field("authenticationFlowBindingOverrides").key(name),
				"the file has no authentication flow with the id %q", id)
		}
	}
}

// unsupportedFlows returns the flows that the realm selects and the fake doesn't support. It also
// sets realm.AuthLevels.
func unsupportedFlows(realm *Realm) []UnsupportedSetting {
	realm.AuthLevels, realm.AsksForUsernameFirst = nil, false
	var unsupported []UnsupportedSetting
	for _, binding := range flowBindings {
		add := func(format string, args ...any) {
			reason := binding.field + ": " + fmt.Sprintf(format, args...)
			unsupported = append(unsupported, UnsupportedSetting{reason, binding.use})
		}
		alias := cmp.Or(binding.alias(realm), binding.defaultAlias)
		d := flowDescriber{realm: realm}
		if !realm.hasFlow(func(f Flow) bool { return f.Alias == alias }) {
			if alias != binding.defaultAlias { // Keycloak adds the default flow itself
				add("%s is not supported: the fake Keycloak does %q", alias, binding.supported[0])
			} else if binding.use == UseLogin {
				realm.AsksForUsernameFirst = realm.hasOrganizations()
			}
			continue
		}
		description := d.describe(alias)
		levels := parseAuthLevels(description)
		if binding.use == UseLogin {
			realm.AsksForUsernameFirst = realm.hasOrganizations() && d.hasOrganizationStep
		}
		switch {
		case d.cyclicAlias != "":
			add("the authentication flow %s contains itself", d.cyclicAlias)
		case d.flowCount > maxFlows:
			add("the authentication flow %s expands to more than %d flows", alias, maxFlows)
		case levels != nil && realm.AsksForUsernameFirst:
			add("%s is not supported: it has both levels of authentication and a step for "+
				"organizations", alias)
		case levels != nil && binding.use == UseLogin:
			realm.AuthLevels = levels
		case binding.use == UseLogin && strings.Contains(description, LevelCondition):
			add("%s is not supported: its steps are %q; the fake Keycloak supports only "+
				"increasing levels of authentication as in Keycloak's documentation, for "+
				"example %q", alias, description, exampleLevels)
		case !slices.Contains(binding.supported, description):
			add("%s is not supported: its steps are %q; the fake Keycloak supports %q", alias,
				description, binding.supported[0])
		}
	}
	if realm.AsksForUsernameFirst {
		unsupported = append(unsupported, UnsupportedSetting{"organizations are not " +
			"supported in the browser: the login page would ask for a username first", UseLogin})
	}
	return unsupported
}

// exampleLevels describes a browser flow with levels of authentication that the fake supports. The
// numbers are the level and its maximum age in seconds.
const exampleLevels = "ALTERNATIVE auth-cookie, ALTERNATIVE (CONDITIONAL (REQUIRED " +
	LevelCondition + "[1, 36000], REQUIRED " + UsernamePasswordForm + "), CONDITIONAL (REQUIRED " +
	LevelCondition + "[2, 0], REQUIRED " + OTPForm + "))"

// A flowDescriber formats flows as text, so that they can be compared.
type flowDescriber struct {
	realm       *Realm
	parents     []string // aliases of the flows that contain the current one
	flowCount   int      // how many flows were described
	cyclicAlias string   // the alias of a flow that contains itself, or ""
	// hasOrganizationStep is true if a described flow asks for the user's organization.
	hasOrganizationStep bool
}

// maxFlows limits how many flows are described. Without a limit, a small file whose flows each
// contain the next flow twice would have a huge description.
const maxFlows = 1000

// describe returns a flow's enabled executions, with subflows in parentheses. It omits executions
// for organizations, identity providers and security keys. The fake has no identity providers and
// no security keys, and hasOrganizationStep records the step for organizations.
func (d *flowDescriber) describe(alias string) string {
	i := slices.IndexFunc(d.realm.AuthenticationFlows, func(flow Flow) bool {
		return flow.Alias == alias
	})
	if slices.Contains(d.parents, alias) {
		d.cyclicAlias = alias
		return ""
	}
	if d.flowCount++; i < 0 || d.flowCount > maxFlows { // checkExecutions reports unknown flows
		return ""
	}
	d.parents = append(d.parents, alias)
	defer func() { d.parents = d.parents[:len(d.parents)-1] }()
	executions := slices.Clone(d.realm.AuthenticationFlows[i].Executions)
	slices.SortStableFunc(executions, func(a, b Execution) int {
		return cmp.Compare(a.Priority, b.Priority)
	})
	var steps []string
	for _, e := range executions {
		if e.Requirement == "DISABLED" || d.skips(e) {
			continue
		}
		step := e.Authenticator
		if step == LevelCondition {
			step = fmt.Sprintf("%s[%s, %s]", step, d.setting(e, "loa-condition-level"),
				d.setting(e, "loa-max-age"))
		}
		if e.FlowAlias != "" {
			subflow := d.describe(e.FlowAlias)
			if hasOnlyConditions(subflow) {
				continue
			}
			step = "(" + subflow + ")"
		}
		// Before release 8, OPTIONAL meant that the execution applies only to users who have
		// configured the authenticator.
		if e.Requirement == "OPTIONAL" {
			e.Requirement, step = "CONDITIONAL",
				"(REQUIRED conditional-user-configured, REQUIRED "+step+")"
		}
		steps = append(steps, e.Requirement+" "+step)
	}
	return strings.Join(steps, ", ")
}

// skips reports whether users whose only credentials are a password and one-time codes skip an
// execution.
func (d *flowDescriber) skips(e Execution) bool {
	setting := func(name string) string { return d.setting(e, name) }
	switch e.Authenticator {
	case "organization":
		d.hasOrganizationStep = true // checked separately, and not described
		return true
	case "identity-provider-redirector":
		return e.Requirement == "ALTERNATIVE" && setting("defaultProvider") == ""
	case "conditional-credential":
		return setting("credentials") == "webauthn-passwordless" && setting("included") != "true"
	case "webauthn-authenticator", "webauthn-authenticator-passwordless",
		"auth-recovery-authn-code-form",
		"client-jwt", "client-secret-jwt", "client-x509", "federated-jwt":
		return e.Requirement == "ALTERNATIVE"
	}
	return false
}

// setting returns a setting of an execution's authenticator, or "".
func (d *flowDescriber) setting(e Execution, name string) string {
	for _, c := range d.realm.AuthenticatorConfig {
		if c.Alias == e.Config && e.Config != "" {
			return c.Config[name]
		}
	}
	return ""
}

// hasOnlyConditions reports whether the described flow has only conditions and nothing to execute.
func hasOnlyConditions(description string) bool {
	return description == "" || description == "REQUIRED conditional-user-configured"
}
