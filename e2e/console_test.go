package e2e

import "testing"

// consoleCases has the results of console.mjs in Chromium. The names of the cases describe the
// expected results.
const consoleCases = `
a first visit shows example operations: ["Me","Login","Refresh","Denied"]
me, anonymous: ["UNAUTHENTICATED/TOKEN_MISSING",["UNAUTHENTICATED/TOKEN_MISSING"]]
denied, with the server's detail: ["UNAUTHENTICATED/TOKEN_MALFORMED",true]
login by hand: ["tokenType","accessToken","expiresIn","refreshToken","refreshExpiresIn","scope"]
refresh by hand uses the token of login: ["accessToken","expiresIn","refreshToken"]
a login by hand does not sign in: true
wrong password: "INVALID_CREDENTIALS"
one-time code missing: "INVALID_CREDENTIALS"
one-time code: "signed in"
sign out: "You have signed out"
sign in with the keyboard: "name"
run me and leave the editor with the keyboard: [true,true]
the token's remaining time: true
the token, claim by claim: ["The server accepts it as alice's token.","preferred_username Usernamealice",true]
no secrets are stored: [true,false]
a document that may contain a secret isn't stored: [false,false,false,false,false,false,false,true]
every token is rejected as expired: only one refresh: 1
hostile claims and responses: [true,null]
an error code of the application: its message is shown: ["The shop is closed SHOP_CLOSED/NIGHT",["SHOP_CLOSED/NIGHT The shop is closed"]]
access rules: what they require is shown: ["The rule requires: {\"anyOf\":[\"admin\"]}","The rule requires: acr_values=gold silver, max_age=300"]
signing out leaves no tokens and no password: false
a first visit loads at most 1.6 MB: true
closing the form restores the focus: "Sign in"
an open form closes when another tab signs in: false
a server without keys: no verdict on the token: ["Signed in","SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE"]
reloading the last tab signs out: "Not signed in"
two tabs share a session: true
a reload gets the session from the other tab: true
signing out in one tab signs out the other: ["You have signed out","signed out"]
one of two tabs refreshes before the token expires: {"early":0,"sent":1,"same":true}
ten operations fail with an expired token: one refresh, and all are retried: {"succeeded":10,"sent":20,"refreshes":1}
a tab that is opened during a refresh: {"refreshes":1,"same":true}
signing out during a refresh: [true,true]
Keycloak is down: sign-in: "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE"
Keycloak is down: users stay signed in: ["SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE",true,["data"]]
a rejected token, with the reason: ["UNAUTHENTICATED/TOKEN_NOT_ACCEPTED","accepted in aud: [\"another-api\"]"]
a link in the docs opens a new tab: true
a description in the editor is shown and sanitized: [true,true,null]
the console's texts aren't cut off, and wrap only if necessary: true
with the fake Keycloak, the form suggests alice: ["alice",["alice"]]
without the fake Keycloak, the form suggests no user: [0,""]
introspection off: a notice, and operations run: ["Introspection is off on this server, so there are no docs and no completion. Operations still run.",true]
a phone scrolls only vertically: true
problems: []
`

// The console behaves in Chromium as consoleCases says.
func TestConsole(t *testing.T) {
	chromium, ok := findBrowser(t)
	if !ok {
		return
	}
	browse(t, "console.mjs", browserSettings(t, chromium), "console-", consoleCases)
}
