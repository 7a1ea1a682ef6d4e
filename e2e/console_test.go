package e2e

import "testing"

// consoleCases has the results of console.mjs in Chromium. The names of the cases describe the
// expected results.
const consoleCases = `
a first visit has operations ready: ["Me","Login","Refresh","Denied"]
me, nobody: ["UNAUTHENTICATED/TOKEN_MISSING",["UNAUTHENTICATED/TOKEN_MISSING"]]
denied, with the server's detail: ["UNAUTHENTICATED/TOKEN_MALFORMED",true]
login by hand: ["tokenType","accessToken","expiresIn","refreshToken","refreshExpiresIn","scope"]
refresh by hand takes the token of login: ["accessToken","expiresIn","refreshToken"]
by hand, nobody is signed in: true
wrong password: "INVALID_CREDENTIALS"
one-time code missing: "INVALID_CREDENTIALS"
one-time code: "signed in"
sign out: "You have signed out"
sign in, by keyboard alone: "name"
run me, and leave the editor, by keyboard alone: [true,true]
how long the token lasts: true
the token, claim by claim: ["The server accepts it, as alice's.","preferred_username The name to sign in withalice",true]
nothing secret is stored: [true,false]
a document that may hold a secret isn't stored: [false,false,false,false,false,false,false,true]
every token expired, says the server: one refresh, and no more: 1
hostile claims and answers: [true,null]
a code of a product's own: its message: ["The shop is closed SHOP_CLOSED/NIGHT",["SHOP_CLOSED/NIGHT The shop is closed"]]
signing out leaves nothing to the next person: false
a first visit weighs no more than 1.6 MB: true
leaving the form gives the focus back: "Sign in"
a form that was open while another tab signed in is gone: false
a server that can't verify says nothing of the token: ["Signed in","SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE"]
the last tab's reload signs out: "Not signed in"
two tabs share a session: true
a reload asks the other tab: true
sign out in one, seen in the other: ["You have signed out","signed out"]
refreshed before it expires, by one of two tabs: {"early":0,"sent":1,"same":true}
ten operations find the token expired, and one refresh mends them: {"mended":10,"asked":20,"refreshes":1}
a tab that joins in the middle of a refresh: {"refreshes":1,"same":true}
signing out wins over a refresh under way: [true,true]
Keycloak is down: a sign-in: "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE"
Keycloak is down: nobody is signed out: ["SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE",true,["data"]]
a token that the server refuses, and why: ["UNAUTHENTICATED/TOKEN_NOT_ACCEPTED","accepted in aud: [\"another-api\"]"]
a link in the docs opens elsewhere: true
a description in the editor: it is shown, and harmless: [true,true,null]
nothing of the console's is cut off, nor wrapped where there is room: true
beside the stand-in, the form offers alice: ["alice",["alice"]]
elsewhere it offers nobody: [0,""]
introspection off: it says so, and works: ["Introspection is off at this server, so there are no docs and no completion. Operations run all the same.",true]
a phone scrolls one way: true
complaints: []
`

func TestConsole(t *testing.T) {
	chromium, ok := withBrowser(t)
	if !ok {
		return
	}
	browse(t, "console.mjs", browserSettings(t, chromium), "console-", consoleCases)
}
