package realmfile

import (
	"encoding/json"
	"strconv"
)

// The structs in this file have the fields of a realm file that can affect an OpenID Connect
// response. The JSON names are from RealmRepresentation and the types it uses (Keycloak 26.7.4);
// schema.go also lists the other fields.

type Realm struct {
	ID    string `json:"id"`
	Realm string `json:"realm"`
	// absent means disabled, as in Keycloak
	Enabled                     bool                      `json:"enabled"`
	SSLRequired                 *string                   `json:"sslRequired"`
	NotBefore                   int64                     `json:"notBefore"`
	DefaultSignatureAlgorithm   string                    `json:"defaultSignatureAlgorithm"`
	RevokeRefreshToken          bool                      `json:"revokeRefreshToken"`
	RefreshTokenMaxReuse        int                       `json:"refreshTokenMaxReuse"`
	AccessTokenLifespan         *int                      `json:"accessTokenLifespan"`
	SSOSessionIdleTimeout       *int                      `json:"ssoSessionIdleTimeout"`
	SSOSessionMaxLifespan       *int                      `json:"ssoSessionMaxLifespan"`
	OfflineSessionIdleTimeout   *int                      `json:"offlineSessionIdleTimeout"`
	OfflineMaxLifespanEnabled   bool                      `json:"offlineSessionMaxLifespanEnabled"`
	OfflineSessionMaxLifespan   *int                      `json:"offlineSessionMaxLifespan"`
	ClientSessionIdleTimeout    int                       `json:"clientSessionIdleTimeout"`
	ClientSessionMaxLifespan    int                       `json:"clientSessionMaxLifespan"`
	AccessCodeLifespan          *int                      `json:"accessCodeLifespan"`
	AccessCodeLifespanLogin     *int                      `json:"accessCodeLifespanLogin"`
	OAuth2DeviceCodeLifespan    *int                      `json:"oauth2DeviceCodeLifespan"`
	OAuth2DevicePollingInterval *int                      `json:"oauth2DevicePollingInterval"`
	LoginWithEmailAllowed       *bool                     `json:"loginWithEmailAllowed"`
	DuplicateEmailsAllowed      bool                      `json:"duplicateEmailsAllowed"`
	BruteForceProtected         bool                      `json:"bruteForceProtected"`
	PermanentLockout            bool                      `json:"permanentLockout"`
	MaxTemporaryLockouts        int                       `json:"maxTemporaryLockouts"`
	MaxFailureWaitSeconds       *int                      `json:"maxFailureWaitSeconds"`
	MinimumQuickLoginWait       *int                      `json:"minimumQuickLoginWaitSeconds"`
	WaitIncrementSeconds        *int                      `json:"waitIncrementSeconds"`
	QuickLoginCheckMilliSeconds *int                      `json:"quickLoginCheckMilliSeconds"`
	MaxDeltaTimeSeconds         *int                      `json:"maxDeltaTimeSeconds"`
	FailureFactor               *int                      `json:"failureFactor"`
	OTPPolicyType               string                    `json:"otpPolicyType"`
	OTPPolicyAlgorithm          string                    `json:"otpPolicyAlgorithm"`
	OTPPolicyDigits             *int                      `json:"otpPolicyDigits"`
	OTPPolicyPeriod             *int                      `json:"otpPolicyPeriod"`
	OTPPolicyLookAheadWindow    *int                      `json:"otpPolicyLookAheadWindow"`
	OTPPolicyCodeReusable       bool                      `json:"otpPolicyCodeReusable"`
	DefaultRole                 *Role                     `json:"defaultRole"`
	DefaultRoles                []string                  `json:"defaultRoles"`
	Roles                       Roles                     `json:"roles"`
	Groups                      []Group                   `json:"groups"`
	DefaultGroups               []string                  `json:"defaultGroups"`
	Users                       []User                    `json:"users"`
	UserFederationProviders     []json.RawMessage         `json:"userFederationProviders"`
	ScopeMappings               []ScopeMapping            `json:"scopeMappings"`
	ClientScopeMappings         map[string][]ScopeMapping `json:"clientScopeMappings"`
	Clients                     []Client                  `json:"clients"`
	// nil: Keycloak's built-in scopes
	ClientScopes                []Scope                `json:"clientScopes"`
	DefaultDefaultClientScopes  []string               `json:"defaultDefaultClientScopes"`
	DefaultOptionalClientScopes []string               `json:"defaultOptionalClientScopes"`
	Components                  map[string][]Component `json:"components"`
	ClientOfflineIdleTimeout    int                    `json:"clientOfflineSessionIdleTimeout"`
	ClientOfflineMaxLifespan    int                    `json:"clientOfflineSessionMaxLifespan"`
	KeycloakVersion             string                 `json:"keycloakVersion"`
	PasswordPolicy              string                 `json:"passwordPolicy"`
	Organizations               []Organization         `json:"organizations"`
	RememberMe                  bool                   `json:"rememberMe"`
	RegistrationAllowed         bool                   `json:"registrationAllowed"`
	DefaultLocale               string                 `json:"defaultLocale"`
	SupportedLocales            []string               `json:"supportedLocales"`
	IdentityProviders           []IdentityProvider     `json:"identityProviders"`
	RememberMeIdleTimeout       int                    `json:"ssoSessionIdleTimeoutRememberMe"`
	RememberMeMaxLifespan       int                    `json:"ssoSessionMaxLifespanRememberMe"`
	RegistrationFlow            string                 `json:"registrationFlow"`
	ResetCredentialsFlow        string                 `json:"resetCredentialsFlow"`
	DockerFlow                  string                 `json:"dockerAuthenticationFlow"`
	FirstBrokerLoginFlow        string                 `json:"firstBrokerLoginFlow"`
	OrganizationsEnabled        bool                   `json:"organizationsEnabled"`
	MaxSecondaryFailures        int                    `json:"maxSecondaryAuthFailures"`
	BruteForceStrategy          string                 `json:"bruteForceStrategy"`
	RegistrationEmailAsUsername bool                   `json:"registrationEmailAsUsername"`
	VerifyEmail                 bool                   `json:"verifyEmail"`
	EditUsernameAllowed         bool                   `json:"editUsernameAllowed"`
	InternationalizationEnabled bool                   `json:"internationalizationEnabled"`
	BrowserFlow                 string                 `json:"browserFlow"`
	DirectGrantFlow             string                 `json:"directGrantFlow"`
	ClientAuthenticationFlow    string                 `json:"clientAuthenticationFlow"`
	AuthenticationFlows         []Flow                 `json:"authenticationFlows"`
	SMTPServer                  map[string]string      `json:"smtpServer"` // checked and dropped
	AuthenticatorConfig         []AuthenticatorConfig  `json:"authenticatorConfig"`
	ClientPolicies              json.RawMessage        `json:"clientPolicies"`
	ClientProfiles              json.RawMessage        `json:"clientProfiles"`
	Attributes                  map[string]string      `json:"attributes"`
	RequiredActions             []RequiredAction       `json:"requiredActions"`

	// These fields are from older releases: see migrate.go.
	ClientTemplates          []Template                `json:"clientTemplates"`
	ApplicationScopeMappings map[string][]ScopeMapping `json:"applicationScopeMappings"`

	derivedFields `json:"-"`
	Unsupported   []UnsupportedSetting `json:"-"`
	AuthLevels    []AuthLevel          `json:"-"` // of the browser flow; nil for the built-in flow
	// AsksForUsernameFirst is true if the login page asks for the username on a page of its own,
	// because the realm has organizations and the browser flow has a step for them.
	AsksForUsernameFirst bool `json:"-"`
}

// derivedFields has values that aren't decoded from fields of the same name. The reader takes them
// from parts of the file that it then drops, such as components with secrets, or migration sets
// them.
type derivedFields struct {
	Keys    []Key // nil: Keycloak's default keys
	Profile *Profile

	templates []Scope // in addition to Keycloak's built-in scopes

	hasFederatedUsers   bool // users of a user storage provider can sign in, too
	NeedsAccountConsole bool // migration adds the client account-console to an older file
	allowsAnyAttribute  bool // users may have attributes that aren't in the profile
	// LateServiceAccountScope is true if the clients with service accounts don't have the scope
	// service_account, because migration adds the scope after it creates the service accounts.
	LateServiceAccountScope bool
}

type RequiredAction struct {
	Alias   string `json:"alias"`
	Enabled bool   `json:"enabled"`
	Default bool   `json:"defaultAction"`
}

type Roles struct {
	Realm  []Role            `json:"realm"`
	Client map[string][]Role `json:"client"`

	Application map[string][]Role `json:"application"` // from older releases
}

type Role struct {
	Name       string `json:"name"`
	Composites struct {
		Realm       []string            `json:"realm"`
		Client      map[string][]string `json:"client"`
		Application map[string][]string `json:"application"` // from older releases
	} `json:"composites"`
}

type Group struct {
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Attributes  map[string][]string `json:"attributes"`
	RealmRoles  []string            `json:"realmRoles"`
	ClientRoles map[string][]string `json:"clientRoles"`
	SubGroups   []Group             `json:"subGroups"`
}

type User struct {
	ID                     string              `json:"id"`
	Username               string              `json:"username"`
	Email                  string              `json:"email"`
	FirstName              string              `json:"firstName"`
	LastName               string              `json:"lastName"`
	EmailVerified          bool                `json:"emailVerified"`
	Enabled                bool                `json:"enabled"` // absent means disabled
	NotBefore              int64               `json:"notBefore"`
	Attributes             map[string][]string `json:"attributes"`
	Credentials            []Credential        `json:"credentials"`
	RequiredActions        []string            `json:"requiredActions"`
	RealmRoles             []string            `json:"realmRoles"`
	ClientRoles            map[string][]string `json:"clientRoles"`
	ApplicationRoles       map[string][]string `json:"applicationRoles"` // from older releases
	Groups                 []string            `json:"groups"`
	ServiceAccountClientID string              `json:"serviceAccountClientId"`
	Consents               []Consent           `json:"clientConsents"`
	FederationLink         string              `json:"federationLink"`
}

type Consent struct {
	ClientID string   `json:"clientId"`
	Scopes   []string `json:"grantedClientScopes"`
}

type Credential struct {
	Type           string `json:"type"`
	Value          string `json:"value"`
	SecretData     string `json:"secretData"`
	SaltedHash     string `json:"hashedSaltedValue"` // before release 8
	CredentialData string `json:"credentialData"`
	Temporary      bool   `json:"temporary"`
}

type Client struct {
	ID                        string   `json:"id"`
	ClientID                  string   `json:"clientId"`
	Name                      string   `json:"name"`
	Enabled                   *bool    `json:"enabled"`
	Protocol                  string   `json:"protocol"`
	PublicClient              bool     `json:"publicClient"`
	BearerOnly                bool     `json:"bearerOnly"`
	ConsentRequired           bool     `json:"consentRequired"`
	ClientAuthenticatorType   string   `json:"clientAuthenticatorType"`
	Secret                    string   `json:"secret"`
	RootURL                   string   `json:"rootUrl"`
	BaseURL                   string   `json:"baseUrl"`
	AdminURL                  string   `json:"adminUrl"`
	RedirectURIs              []string `json:"redirectUris"`
	WebOrigins                []string `json:"webOrigins"`
	NotBefore                 int64    `json:"notBefore"`
	StandardFlowEnabled       *bool    `json:"standardFlowEnabled"`
	ImplicitFlowEnabled       bool     `json:"implicitFlowEnabled"`
	DirectAccessGrantsEnabled bool     `json:"directAccessGrantsEnabled"`
	// from older releases: sets StandardFlowEnabled and DirectAccessGrantsEnabled
	DirectGrantsOnly       *bool             `json:"directGrantsOnly"`
	ServiceAccountsEnabled bool              `json:"serviceAccountsEnabled"`
	AuthorizationEnabled   bool              `json:"authorizationServicesEnabled"`
	FrontchannelLogout     bool              `json:"frontchannelLogout"`
	FullScopeAllowed       *bool             `json:"fullScopeAllowed"`
	ProtocolMappers        []Mapper          `json:"protocolMappers"`
	DefaultClientScopes    []string          `json:"defaultClientScopes"`
	OptionalClientScopes   []string          `json:"optionalClientScopes"`
	DefaultRoles           []string          `json:"defaultRoles"` // before release 13
	Attributes             map[string]string `json:"attributes"`
	Authorization          json.RawMessage   `json:"authorizationSettings"`
	FlowOverrides          map[string]string `json:"authenticationFlowBindingOverrides"`
	ClientTemplate         string            `json:"clientTemplate"` // before release 4
}

type Scope struct {
	Name            string            `json:"name"`
	Protocol        string            `json:"protocol"`
	Attributes      map[string]string `json:"attributes"`
	ProtocolMappers []Mapper          `json:"protocolMappers"`
}

// A Template is a client template, the predecessor of client scopes before release 4.
type Template struct {
	Name            string            `json:"name"`
	Protocol        string            `json:"protocol"`
	Attributes      map[string]string `json:"attributes"`
	ProtocolMappers []Mapper          `json:"protocolMappers"`
}

type Mapper struct {
	Name           string            `json:"name"`
	Protocol       string            `json:"protocol"`
	ProtocolMapper string            `json:"protocolMapper"`
	Config         map[string]string `json:"config"`
}

type ScopeMapping struct {
	Client      string   `json:"client"`
	ClientScope string   `json:"clientScope"`
	Template    string   `json:"clientTemplate"` // before release 4
	Roles       []string `json:"roles"`
}

type Component struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	ProviderID string              `json:"providerId"`
	Config     map[string][]string `json:"config"`

	SubComponents map[string][]Component `json:"subComponents"`
}

// valueOr returns *p, or the fallback if p is nil.
func valueOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}

// IntAttribute returns the value of a client's or a realm's attribute if it is a positive number,
// and the fallback otherwise.
func IntAttribute(attributes map[string]string, name string, fallback int) int {
	n, err := strconv.Atoi(attributes[name])
	if err != nil || n <= 0 {
		return fallback
	}
	return n
}

// IsHashed reports whether a credential is a hashed password, which the fake Keycloak can't check.
func (c Credential) IsHashed() bool {
	return (c.Type == "password" || c.Type == "") && c.Value == "" &&
		(c.SecretData != "" || c.SaltedHash != "")
}

// IsSupported reports whether the fake Keycloak supports credentials of this type. It doesn't
// support security keys.
func (c Credential) IsSupported() bool {
	return c.Type == "password" || c.Type == "" || c.Type == "otp" || c.Type == "totp"
}
