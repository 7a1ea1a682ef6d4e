package keycloaktest

type authorization struct{}
type login struct{}
type device struct{}

func (c *call) codeGrant(*client) (*issue, *refusal)   { return nil, refuse(501, "x", "") }
func (c *call) deviceGrant(*client) (*issue, *refusal) { return nil, refuse(501, "x", "") }
func (r *Realm) authorize(*call) answer                { return notHere("") }
func (r *Realm) authenticate(*call) answer             { return notHere("") }
func (r *Realm) consent(*call) answer                  { return notHere("") }
func (r *Realm) requiredAction(*call) answer           { return notHere("") }
func (r *Realm) deviceAuthorization(*call) answer      { return notHere("") }
func (r *Realm) devicePage(*call) answer               { return notHere("") }
func (r *Realm) deviceStatus(*call) answer             { return notHere("") }
func (r *Realm) browserLogout(*call) answer            { return notHere("") }
func (r *Realm) logoutConfirm(*call) answer            { return notHere("") }

func errorPage(status int, message string) answer { return answer{status: status} }
