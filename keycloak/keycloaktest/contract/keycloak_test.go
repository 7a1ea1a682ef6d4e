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

// realSide is a Keycloak server, set up through its Admin API.
type realSide struct {
	url string

	mu     sync.Mutex            // guards the fields below
	tokens map[string]adminToken // by their realm
	realms map[string]*lent      // by their file
}

func newRealSide(url string) *realSide {
	return &realSide{url: strings.TrimSuffix(url, "/"), tokens: map[string]adminToken{},
		realms: map[string]*lent{}}
}

// A lent realm is one that several groups may use at the same time.
type lent struct {
	realm *realm
	users int
}

// lend is a realm with this file, which another group may be using as well.
func (k *realSide) lend(file object) *realm {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := fileKey(file)
	if k.realms[key] == nil {
		k.realms[key] = &lent{realm: newRealm(k)}
	}
	k.realms[key].users++
	return k.realms[key].realm
}

// giveBack removes the realm after its last user.
func (k *realSide) giveBack(file object) error {
	k.mu.Lock()
	key := fileKey(file)
	l := k.realms[key]
	if l.users--; l.users == 0 {
		delete(k.realms, key)
	}
	last := l.users == 0
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

func (k *realSide) name() string         { return "keycloak" }
func (k *realSide) base() string         { return k.url }
func (k *realSide) concurrent() bool     { return true }
func (k *realSide) now() time.Time       { return time.Now() }
func (k *realSide) pass(d time.Duration) { time.Sleep(d) }

// importRealm adds a client to the realm that may administrate it: see bearer.
func (k *realSide) importRealm(realm object) error {
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
	few.enter()
	defer few.leave()
	status, body, _, err := k.callOnce(http.MethodPost, "", realm) // realm.load asks again
	if err == nil && status >= 300 {
		return &refusal{status, body}
	}
	return err
}

// few bounds how many realms come or go at a time: for either, Keycloak works through the roles of
// all realms.
var few = bound{most: 2}

func (k *realSide) removeRealm(realm string) error {
	few.enter()
	defer few.leave()
	return k.do(http.MethodDelete, "/"+realm, nil)
}

func (k *realSide) patchRealm(realm string, patch object) error {
	return k.do(http.MethodPut, "/"+realm, patch)
}

func (k *realSide) patchClient(at clientRef, patch object) error {
	var found []object
	err := k.get("/"+at.realm+"/clients?clientId="+url.QueryEscape(at.clientID), &found)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%d clients %s", len(found), at.clientID)
	}
	return k.do(http.MethodPut, fmt.Sprintf("/%s/clients/%s", at.realm, found[0]["id"]),
		merge(found[0], patch))
}

func (k *realSide) addUser(realm string, user object) (string, error) {
	return k.create("/"+realm+"/users", user)
}

// patchUser reads first: a PUT with one attribute drops the others.
func (k *realSide) patchUser(at userRef, patch object) error {
	var user object
	if err := k.get(at.path(), &user); err != nil {
		return err
	}
	return k.do(http.MethodPut, at.path(), merge(user, patch))
}

func (k *realSide) deleteUser(at userRef) error { return k.do(http.MethodDelete, at.path(), nil) }

func (k *realSide) logoutUser(at userRef) error {
	return k.do(http.MethodPost, at.path()+"/logout", nil)
}

func (k *realSide) resetPassword(at userRef, password string) error {
	return k.do(http.MethodPut, at.path()+"/reset-password",
		object{"type": "password", "value": password, "temporary": false})
}

func (k *realSide) grantRole(at userRef, role roleRef) error {
	return k.mapRole(http.MethodPost, at, role)
}

func (k *realSide) revokeRole(at userRef, role roleRef) error {
	return k.mapRole(http.MethodDelete, at, role)
}

func (k *realSide) mapRole(method string, at userRef, role roleRef) error {
	definition, mapping := "/"+at.realm+"/roles/"+role.name, at.path()+"/role-mappings/realm"
	if role.client != "" {
		id, err := k.clientUUID(clientRef{at.realm, role.client})
		if err != nil {
			return err
		}
		definition, mapping = "/"+at.realm+"/clients/"+id+"/roles/"+role.name,
			at.path()+"/role-mappings/clients/"+id
	}
	var found object
	if err := k.get(definition, &found); err != nil {
		return err
	}
	return k.do(method, mapping, []object{found})
}

func (k *realSide) revokeConsent(at userRef, client string) error {
	return k.do(http.MethodDelete, at.path()+"/consents/"+client, nil)
}

func (k *realSide) endSession(at sessionRef) error {
	return k.do(http.MethodDelete,
		fmt.Sprintf("/%s/sessions/%s?isOffline=%t", at.realm, at.sid, at.offline), nil)
}

func (k *realSide) failures(at userRef, n int) error {
	return k.attack(at, func(s lockStatus) bool { return s.NumFailures == n })
}

func (k *realSide) locked(at userRef) error {
	return k.attack(at, func(s lockStatus) bool { return s.Disabled })
}

func (k *realSide) unlock(at userRef) error {
	return k.do(http.MethodDelete, "/"+at.realm+"/attack-detection/brute-force/users/"+at.id, nil)
}

type lockStatus struct {
	NumFailures int
	Disabled    bool
}

// attack waits for a status of brute-force protection.
func (k *realSide) attack(at userRef, reached func(lockStatus) bool) error {
	var status lockStatus
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(
		50 * time.Millisecond) {
		err := k.get("/"+at.realm+"/attack-detection/brute-force/users/"+at.id, &status)
		if err != nil {
			return err
		}
		if reached(status) {
			return nil
		}
	}
	return fmt.Errorf("brute-force protection stays at %+v", status)
}

const keyProviderType = "org.keycloak.keys.KeyProvider"

func (k *realSide) keyProviders(realm string) ([]keyProvider, error) {
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

func (k *realSide) addKeyProvider(realm string, p keyProvider) (string, error) {
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

func (k *realSide) patchKeyProvider(realm string, p keyProvider) error {
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

func (k *realSide) removeKeyProvider(realm, id string) error {
	return k.do(http.MethodDelete, "/"+realm+"/components/"+id, nil)
}

func (at userRef) path() string { return "/" + at.realm + "/users/" + at.id }

func (k *realSide) clientUUID(at clientRef) (string, error) {
	var found []struct{ ID string }
	err := k.get("/"+at.realm+"/clients?clientId="+url.QueryEscape(at.clientID), &found)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d clients %s", len(found), at.clientID)
	}
	if err != nil {
		return "", err
	}
	return found[0].ID, nil
}

func (k *realSide) get(path string, to any) error {
	status, body, _, err := k.call(http.MethodGet, path, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %s", path, status, body)
	}
	return errors.Join(err, json.Unmarshal([]byte(body), to))
}

func (k *realSide) do(method, path string, content any) error {
	status, body, _, err := k.call(method, path, content)
	if err == nil && status >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, status, body)
	}
	return err
}

func (k *realSide) create(path string, content any) (id string, err error) {
	status, body, location, err := k.call(http.MethodPost, path, content)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("POST %s: %d %s", path, status, body)
	}
	return location[strings.LastIndex(location, "/")+1:], err
}

// call asks again when it gets 500: Keycloak's cache of roles has a race that the Admin API loses
// at times.
func (k *realSide) call(method, path string,
	content any) (status int, body, location string, err error) {
	for range 3 {
		status, body, location, err = k.callOnce(method, path, content)
		if err != nil || status != http.StatusInternalServerError {
			break
		}
	}
	return status, body, location, err
}

func (k *realSide) callOnce(method, path string,
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
		response, err := direct.Do(request)
		if err != nil {
			return 0, "", "", err
		}
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode == http.StatusUnauthorized && realm != "master" {
			// the realm's tokens are worth nothing any more: that is what the exchange is about
			realm = "master"
			continue
		}
		return response.StatusCode, string(answer), response.Header.Get("Location"), err
	}
}

// adminClient is a client in every realm of the suite, on the real side alone.
const adminClient = "suite-administrator"

// bearer is a token to administrate a realm with. The realm's own is much cheaper than the
// administrator's: for that one, Keycloak looks through the roles of all realms, and forgets what
// it found whenever a realm comes or goes.
func (k *realSide) bearer(realm string) (string, error) {
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
	response, err := direct.PostForm(k.url+"/realms/"+realm+"/protocol/openid-connect/token", grant)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	json.NewDecoder(response.Body).Decode(&answer)
	if answer.AccessToken == "" && realm != "master" {
		return k.bearer("master") // the realm is disabled, or not of the suite
	}
	if answer.AccessToken == "" {
		return "", fmt.Errorf("the administrator admin/admin can't sign in at %s: %d", k.url,
			response.StatusCode)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[realm] = adminToken{answer.AccessToken, time.Now().Add(sec(answer.ExpiresIn / 2))}
	return answer.AccessToken, nil
}

type adminToken struct {
	token string
	until time.Time
}

// merge lays a patch over an object; objects within are merged, too.
func merge(to, patch object) object {
	merged := object{}
	for name, value := range to {
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
