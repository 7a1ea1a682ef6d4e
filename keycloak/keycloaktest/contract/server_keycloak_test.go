package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A realServer is a Keycloak, set up through its Admin API.
type realServer struct {
	url string

	mu     sync.Mutex              // guards the fields below
	tokens map[string]adminToken   // by realm
	realms map[string]*sharedRealm // by file
}

func newRealServer(url string) *realServer {
	return &realServer{url: strings.TrimSuffix(url, "/"), tokens: map[string]adminToken{},
		realms: map[string]*sharedRealm{}}
}

// A sharedRealm is a realm that several groups may use at the same time.
type sharedRealm struct {
	realm *realm
	refs  int
}

// acquireRealm returns a realm with this file, which other groups may be using, too.
func (k *realServer) acquireRealm(file object) *realm {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := fileKey(file)
	if k.realms[key] == nil {
		k.realms[key] = &sharedRealm{realm: newRealm(k)}
	}
	k.realms[key].refs++
	return k.realms[key].realm
}

// releaseRealm removes the realm after its last use.
func (k *realServer) releaseRealm(file object) error {
	k.mu.Lock()
	key := fileKey(file)
	l := k.realms[key]
	if l.refs--; l.refs == 0 {
		delete(k.realms, key)
	}
	last := l.refs == 0
	k.mu.Unlock()
	if !last {
		return nil
	}
	return k.removeRealm(l.realm.name)
}

func fileKey(file object) string {
	text, err := json.Marshal(file)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (k *realServer) name() string         { return "keycloak" }
func (k *realServer) base() string         { return k.url }
func (k *realServer) concurrent() bool     { return true }
func (k *realServer) now() time.Time       { return time.Now() }
func (k *realServer) wait(d time.Duration) { time.Sleep(d) }

// importRealm imports a realm, and adds a client that may administer it: see bearer.
func (k *realServer) importRealm(realm object) error {
	clients, _ := realm["clients"].([]any)
	users, _ := realm["users"].([]any)
	realm = merge(realm, object{
		"clients": append(clients, object{
			"clientId": adminClient, "enabled": true, "secret": adminClient,
			"serviceAccountsEnabled": true, "standardFlowEnabled": false,
		}),
		"users": append(users, object{
			"username": "service-account-" + adminClient, "enabled": true,
			"serviceAccountClientId": adminClient,
			"clientRoles":            object{"realm-management": []string{"realm-admin"}},
		}),
	})
	realmSlots.acquire()
	defer realmSlots.release()
	status, body, _, err := k.callOnce(http.MethodPost, "", realm) // realm.load retries
	if err == nil && status >= 300 {
		return &importError{status, body}
	}
	return err
}

// realmSlots limits how many realms are imported or removed at the same time: either makes Keycloak
// go through the roles of all realms.
var realmSlots = semaphore{max: 2}

func (k *realServer) removeRealm(realm string) error {
	realmSlots.acquire()
	defer realmSlots.release()
	return k.do(http.MethodDelete, "/"+realm, nil)
}

func (k *realServer) patchRealm(realm string, patch object) error {
	return k.do(http.MethodPut, "/"+realm, patch)
}

func (k *realServer) patchClient(ref clientRef, patch object) error {
	var found []object
	err := k.get("/"+ref.realm+"/clients?clientId="+url.QueryEscape(ref.clientID), &found)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%d clients %s", len(found), ref.clientID)
	}
	return k.do(http.MethodPut, fmt.Sprintf("/%s/clients/%s", ref.realm, found[0]["id"]),
		merge(found[0], patch))
}

func (k *realServer) addUser(realm string, user object) (string, error) {
	return k.create("/"+realm+"/users", user)
}

// patchUser gets the user first, because a PUT with one attribute drops the others.
func (k *realServer) patchUser(ref userRef, patch object) error {
	var user object
	if err := k.get(ref.path(), &user); err != nil {
		return err
	}
	return k.do(http.MethodPut, ref.path(), merge(user, patch))
}

func (k *realServer) deleteUser(ref userRef) error {
	return k.do(http.MethodDelete, ref.path(), nil)
}

func (k *realServer) logoutUser(ref userRef) error {
	return k.do(http.MethodPost, ref.path()+"/logout", nil)
}

func (k *realServer) resetPassword(ref userRef, password string) error {
	return k.do(http.MethodPut, ref.path()+"/reset-password",
		object{"type": "password", "value": password, "temporary": false})
}

func (k *realServer) grantRole(ref userRef, role roleRef) error {
	return k.mapRole(http.MethodPost, ref, role)
}

func (k *realServer) revokeRole(ref userRef, role roleRef) error {
	return k.mapRole(http.MethodDelete, ref, role)
}

func (k *realServer) mapRole(method string, ref userRef, role roleRef) error {
	definition, mapping := "/"+ref.realm+"/roles/"+role.name, ref.path()+"/role-mappings/realm"
	if role.client != "" {
		id, err := k.clientUUID(clientRef{ref.realm, role.client})
		if err != nil {
			return err
		}
		definition, mapping = "/"+ref.realm+"/clients/"+id+"/roles/"+role.name,
			ref.path()+"/role-mappings/clients/"+id
	}
	var found object
	if err := k.get(definition, &found); err != nil {
		return err
	}
	return k.do(method, mapping, []object{found})
}

func (k *realServer) revokeConsent(ref userRef, client string) error {
	return k.do(http.MethodDelete, ref.path()+"/consents/"+client, nil)
}

func (k *realServer) endSession(ref sessionRef) error {
	return k.do(http.MethodDelete,
		fmt.Sprintf("/%s/sessions/%s?isOffline=%t", ref.realm, ref.sid, ref.offline), nil)
}

func (k *realServer) failures(ref userRef, n int) error {
	return k.attack(ref, func(s lockStatus) bool { return s.NumFailures == n })
}

func (k *realServer) locked(ref userRef) error {
	return k.attack(ref, func(s lockStatus) bool { return s.Disabled })
}

func (k *realServer) unlock(ref userRef) error {
	return k.do(http.MethodDelete, "/"+ref.realm+"/attack-detection/brute-force/users/"+ref.id, nil)
}

type lockStatus struct {
	NumFailures int
	Disabled    bool
}

// attack waits until brute-force protection has reached a status.
func (k *realServer) attack(ref userRef, reached func(lockStatus) bool) error {
	var status lockStatus
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(
		50 * time.Millisecond) {
		err := k.get("/"+ref.realm+"/attack-detection/brute-force/users/"+ref.id, &status)
		if err != nil {
			return err
		}
		if reached(status) {
			return nil
		}
	}
	return fmt.Errorf("brute-force protection: got %+v after %v", status, patience)
}

const keyProviderType = "org.keycloak.keys.KeyProvider"

func (k *realServer) keyProviders(realm string) ([]keyProvider, error) {
	var found []struct {
		ID, Name, ProviderID string
		Config               map[string][]string
	}
	err := k.get("/"+realm+"/components?type="+keyProviderType, &found)
	var providers []keyProvider
	for _, c := range found {
		config := map[string]string{}
		for name, values := range c.Config {
			config[name] = strings.Join(values, ",")
		}
		providers = append(providers, keyProvider{c.ID, c.Name, c.ProviderID, config})
	}
	return providers, err
}

func (k *realServer) addKeyProvider(realm string, p keyProvider) (string, error) {
	var found struct{ ID string }
	if err := k.get("/"+realm, &found); err != nil {
		return "", err
	}
	config := object{}
	for name, value := range p.config {
		config[name] = []string{value}
	}
	return k.create("/"+realm+"/components", object{
		"name": p.name, "providerId": p.provider, "providerType": keyProviderType,
		"parentId": found.ID, "config": config,
	})
}

func (k *realServer) patchKeyProvider(realm string, p keyProvider) error {
	var component object
	path := "/" + realm + "/components/" + p.id
	if err := k.get(path, &component); err != nil {
		return err
	}
	config, _ := component["config"].(object)
	for name, value := range p.config {
		config[name] = []string{value}
	}
	return k.do(http.MethodPut, path, component)
}

func (k *realServer) removeKeyProvider(realm, id string) error {
	return k.do(http.MethodDelete, "/"+realm+"/components/"+id, nil)
}

func (ref userRef) path() string { return "/" + ref.realm + "/users/" + ref.id }

func (k *realServer) clientUUID(ref clientRef) (string, error) {
	var found []struct{ ID string }
	err := k.get("/"+ref.realm+"/clients?clientId="+url.QueryEscape(ref.clientID), &found)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d clients %s", len(found), ref.clientID)
	}
	if err != nil {
		return "", err
	}
	return found[0].ID, nil
}

func (k *realServer) get(path string, to any) error {
	status, body, _, err := k.call(http.MethodGet, path, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %s", path, status, body)
	}
	return errors.Join(err, json.Unmarshal([]byte(body), to))
}

func (k *realServer) do(method, path string, content any) error {
	status, body, _, err := k.call(method, path, content)
	if err == nil && status >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, status, body)
	}
	return err
}

func (k *realServer) create(path string, content any) (id string, err error) {
	status, body, location, err := k.call(http.MethodPost, path, content)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("POST %s: %d %s", path, status, body)
	}
	return location[strings.LastIndex(location, "/")+1:], err
}

// call calls the Admin API. It retries after a 500, because Keycloak's role cache has a race.
func (k *realServer) call(method, path string,
	content any) (status int, body, location string, err error) {
	for range 3 {
		status, body, location, err = k.callOnce(method, path, content)
		if err != nil || status != http.StatusInternalServerError {
			break
		}
	}
	return status, body, location, err
}

func (k *realServer) callOnce(method, path string,
	content any) (status int, body, location string, err error) {
	var text []byte
	if content != nil {
		if text, err = json.Marshal(content); err != nil {
			return 0, "", "", err
		}
	}
	realm, _, inRealm := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !inRealm {
		realm = "master"
	}
	for {
		bearer, err := k.bearer(realm)
		if err != nil {
			return 0, "", "", err
		}
		request, err := http.NewRequest(method, k.url+"/admin/realms"+path, bytes.NewReader(text))
		if err != nil {
			return 0, "", "", err
		}
		if content != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		request.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := direct.Do(request)
		if err != nil {
			return 0, "", "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized && realm != "master" {
			realm = "master" // the exchange has invalidated the realm's own tokens
			continue
		}
		return resp.StatusCode, string(body), resp.Header.Get("Location"), err
	}
}

// adminClient is a client that importRealm adds to every realm.
const adminClient = "suite-administrator"

// bearer returns an access token to administer a realm. The realm's own is much cheaper than the
// administrator's: for that one, Keycloak goes through the roles of all realms, again after each
// realm that is imported or removed.
func (k *realServer) bearer(realm string) (string, error) {
	k.mu.Lock()
	known := k.tokens[realm]
	k.mu.Unlock()
	if time.Now().Before(known.until) {
		return known.token, nil
	}
	grant := form("grant_type", "client_credentials", "client_id", adminClient, "client_secret",
		adminClient)
	if realm == "master" {
		grant = form("grant_type", "password", "client_id", "admin-cli", "username", "admin",
			"password", "admin")
	}
	resp, err := direct.PostForm(k.url+"/realms/"+realm+"/protocol/openid-connect/token", grant)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	json.NewDecoder(resp.Body).Decode(&body)
	if body.AccessToken == "" && realm != "master" {
		return k.bearer("master") // the realm is disabled, or not the suite's
	}
	if body.AccessToken == "" {
		return "", fmt.Errorf("the administrator admin/admin can't sign in at %s: %d", k.url,
			resp.StatusCode)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[realm] = adminToken{body.AccessToken, time.Now().Add(sec(body.ExpiresIn / 2))}
	return body.AccessToken, nil
}

type adminToken struct {
	token string
	until time.Time
}

// merge returns an object with the members of a patch added or replaced. It merges nested objects,
// too.
func merge(o, patch object) object {
	merged := object{}
	for name, value := range o {
		merged[name] = value
	}
	for name, value := range patch {
		old, _ := merged[name].(object)
		if inner, ok := value.(object); ok && old != nil {
			value = merge(old, inner)
		}
		merged[name] = value
	}
	return merged
}
