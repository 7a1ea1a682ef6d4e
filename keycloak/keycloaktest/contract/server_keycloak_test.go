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

// A realServer is a real Keycloak that the tests set up through its Admin API.
type realServer struct {
	url string

	mu     sync.Mutex              // guards the fields below
	tokens map[string]adminToken   // by realm
	realms map[string]*sharedRealm // by realmKey
}

func newRealServer(url string) *realServer {
	return &realServer{url: strings.TrimSuffix(url, "/"), tokens: map[string]adminToken{},
		realms: map[string]*sharedRealm{}}
}

// A sharedRealm is a realm that several suites may use at the same time.
type sharedRealm struct {
	realm *realm
	refs  int // the number of suites that use the realm
}

// acquireRealm returns a realm with this representation, which other suites may be using, too.
func (s *realServer) acquireRealm(representation object) *realm {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := realmKey(representation)
	if s.realms[key] == nil {
		s.realms[key] = &sharedRealm{realm: newRealm(s)}
	}
	s.realms[key].refs++
	return s.realms[key].realm
}

// releaseRealm removes the realm with this representation if no other suite uses it.
func (s *realServer) releaseRealm(representation object) error {
	s.mu.Lock()
	key := realmKey(representation)
	shared := s.realms[key]
	if shared.refs--; shared.refs == 0 {
		delete(s.realms, key)
	}
	isUnused := shared.refs == 0
	s.mu.Unlock()
	if !isUnused {
		return nil
	}
	return s.removeRealm(shared.realm.name)
}

// realmKey returns the key of a realm representation in realServer.realms.
func realmKey(representation object) string {
	text, err := json.Marshal(representation)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (s *realServer) name() string         { return "keycloak" }
func (s *realServer) baseURL() string      { return s.url }
func (s *realServer) concurrent() bool     { return true }
func (s *realServer) now() time.Time       { return time.Now() }
func (s *realServer) wait(d time.Duration) { time.Sleep(d) }

// importRealm imports a realm with adminClient, which may administer the realm: see accessToken.
func (s *realServer) importRealm(realm object) error {
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
	// Don't retry here, because realm.load retries.
	status, body, _, err := s.callOnce(http.MethodPost, "", realm)
	if err == nil && status >= 300 {
		return &importError{status, body}
	}
	return err
}

// realmSlots limits how many realms are imported or removed at the same time, because for each
// import and removal, Keycloak reads the roles of all realms.
var realmSlots = semaphore{capacity: 2}

func (s *realServer) removeRealm(realm string) error {
	realmSlots.acquire()
	defer realmSlots.release()
	return s.do(http.MethodDelete, "/"+realm, nil)
}

func (s *realServer) patchRealm(realm string, patch object) error {
	return s.do(http.MethodPut, "/"+realm, patch)
}

func (s *realServer) patchClient(ref clientRef, patch object) error {
	var clients []object
	err := s.get("/"+ref.realm+"/clients?clientId="+url.QueryEscape(ref.clientID), &clients)
	if err != nil {
		return err
	}
	if len(clients) != 1 {
		return fmt.Errorf("clients with the ID %s: got %d, want 1", ref.clientID, len(clients))
	}
	return s.do(http.MethodPut, fmt.Sprintf("/%s/clients/%s", ref.realm, clients[0]["id"]),
		merge(clients[0], patch))
}

func (s *realServer) addUser(realm string, user object) (string, error) {
	return s.create("/"+realm+"/users", user)
}

// patchUser gets the user first, because a PUT with one attribute drops the other attributes.
func (s *realServer) patchUser(ref userRef, patch object) error {
	var user object
	if err := s.get(ref.path(), &user); err != nil {
		return err
	}
	return s.do(http.MethodPut, ref.path(), merge(user, patch))
}

func (s *realServer) deleteUser(ref userRef) error {
	return s.do(http.MethodDelete, ref.path(), nil)
}

func (s *realServer) logoutUser(ref userRef) error {
	return s.do(http.MethodPost, ref.path()+"/logout", nil)
}

func (s *realServer) resetPassword(ref userRef, password string) error {
	return s.do(http.MethodPut, ref.path()+"/reset-password",
		object{"type": "password", "value": password, "temporary": false})
}

func (s *realServer) grantRole(ref userRef, role roleRef) error {
	return s.changeRoleMapping(http.MethodPost, ref, role)
}

func (s *realServer) revokeRole(ref userRef, role roleRef) error {
	return s.changeRoleMapping(http.MethodDelete, ref, role)
}

// changeRoleMapping adds or removes a role mapping.
func (s *realServer) changeRoleMapping(method string, ref userRef, role roleRef) error {
	rolePath, mappingPath := "/"+ref.realm+"/roles/"+role.name, ref.path()+"/role-mappings/realm"
	if role.client != "" {
		id, err := s.clientUUID(clientRef{ref.realm, role.client})
		if err != nil {
			return err
		}
		rolePath, mappingPath = "/"+ref.realm+"/clients/"+id+"/roles/"+role.name,
			ref.path()+"/role-mappings/clients/"+id
	}
	var roleJSON object
	if err := s.get(rolePath, &roleJSON); err != nil {
		return err
	}
	return s.do(method, mappingPath, []object{roleJSON})
}

func (s *realServer) revokeConsent(ref userRef, client string) error {
	return s.do(http.MethodDelete, ref.path()+"/consents/"+client, nil)
}

func (s *realServer) endSession(ref sessionRef) error {
	return s.do(http.MethodDelete,
		fmt.Sprintf("/%s/sessions/%s?isOffline=%t", ref.realm, ref.sid, ref.offline), nil)
}

func (s *realServer) awaitFailures(ref userRef, n int) error {
	return s.awaitLockStatus(ref, fmt.Sprint(n, " failures"),
		func(s lockStatus) bool { return s.NumFailures == n })
}

func (s *realServer) awaitLocked(ref userRef) error {
	return s.awaitLockStatus(ref, "locked", func(s lockStatus) bool { return s.Disabled })
}

func (s *realServer) unlock(ref userRef) error {
	return s.do(http.MethodDelete, "/"+ref.realm+"/attack-detection/brute-force/users/"+ref.id, nil)
}

// A lockStatus is the status of brute-force protection for a user.
type lockStatus struct {
	NumFailures int
	Disabled    bool
}

// awaitLockStatus waits until reached returns true for the user's status. want describes that
// status.
func (s *realServer) awaitLockStatus(ref userRef, want string,
	reached func(lockStatus) bool) error {
	var status lockStatus
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(
		50 * time.Millisecond) {
		err := s.get("/"+ref.realm+"/attack-detection/brute-force/users/"+ref.id, &status)
		if err != nil {
			return err
		}
		if reached(status) {
			return nil
		}
	}
	return fmt.Errorf("brute-force protection: got %+v after %v, want %s", status, timeout, want)
}

const keyProviderType = "org.keycloak.keys.KeyProvider"

func (s *realServer) keyProviders(realm string) ([]keyProvider, error) {
	var components []struct {
		ID, Name, ProviderID string
		Config               map[string][]string
	}
	err := s.get("/"+realm+"/components?type="+keyProviderType, &components)
	var providers []keyProvider
	for _, c := range components {
		config := map[string]string{}
		for name, values := range c.Config {
			config[name] = strings.Join(values, ",")
		}
		providers = append(providers, keyProvider{c.ID, c.Name, c.ProviderID, config})
	}
	return providers, err
}

func (s *realServer) addKeyProvider(realm string, p keyProvider) (string, error) {
	var realmJSON struct{ ID string }
	if err := s.get("/"+realm, &realmJSON); err != nil {
		return "", err
	}
	config := object{}
	for name, value := range p.config {
		config[name] = []string{value}
	}
	return s.create("/"+realm+"/components", object{
		"name": p.name, "providerId": p.provider, "providerType": keyProviderType,
		"parentId": realmJSON.ID, "config": config,
	})
}

func (s *realServer) patchKeyProvider(realm string, p keyProvider) error {
	var component object
	path := "/" + realm + "/components/" + p.id
	if err := s.get(path, &component); err != nil {
		return err
	}
	config, _ := component["config"].(object)
	for name, value := range p.config {
		config[name] = []string{value}
	}
	return s.do(http.MethodPut, path, component)
}

func (s *realServer) removeKeyProvider(realm, id string) error {
	return s.do(http.MethodDelete, "/"+realm+"/components/"+id, nil)
}

// path returns the Admin API path of a user.
func (ref userRef) path() string { return "/" + ref.realm + "/users/" + ref.id }

// clientUUID returns the ID of a client, which differs from its client ID.
func (s *realServer) clientUUID(ref clientRef) (string, error) {
	var clients []struct{ ID string }
	err := s.get("/"+ref.realm+"/clients?clientId="+url.QueryEscape(ref.clientID), &clients)
	if err == nil && len(clients) != 1 {
		err = fmt.Errorf("clients with the ID %s: got %d, want 1", ref.clientID, len(clients))
	}
	if err != nil {
		return "", err
	}
	return clients[0].ID, nil
}

// get decodes the response to a GET request into dst.
func (s *realServer) get(path string, dst any) error {
	status, body, _, err := s.call(http.MethodGet, path, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %s", path, status, body)
	}
	return errors.Join(err, json.Unmarshal([]byte(body), dst))
}

// do sends a request, and ignores the body of a successful response.
func (s *realServer) do(method, path string, content any) error {
	status, body, _, err := s.call(method, path, content)
	if err == nil && status >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, status, body)
	}
	return err
}

// create creates an object, and returns its ID.
func (s *realServer) create(path string, content any) (id string, err error) {
	status, body, location, err := s.call(http.MethodPost, path, content)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("POST %s: %d %s", path, status, body)
	}
	return location[strings.LastIndex(location, "/")+1:], err
}

// call sends a request to the Admin API. It retries after a 500, which may be the effect of a race
// in Keycloak's role cache.
func (s *realServer) call(method, path string,
	content any) (status int, body, location string, err error) {
	for range 3 {
		status, body, location, err = s.callOnce(method, path, content)
		if err != nil || status != http.StatusInternalServerError {
			break
		}
	}
	return status, body, location, err
}

// callOnce is like call, without retries.
func (s *realServer) callOnce(method, path string,
	content any) (status int, body, location string, err error) {
	var requestBody []byte
	if content != nil {
		if requestBody, err = json.Marshal(content); err != nil {
			return 0, "", "", err
		}
	}
	realm, _, inRealm := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !inRealm {
		realm = "master"
	}
	for {
		token, err := s.accessToken(realm)
		if err != nil {
			return 0, "", "", err
		}
		request, err := http.NewRequest(method, s.url+"/admin/realms"+path,
			bytes.NewReader(requestBody))
		if err != nil {
			return 0, "", "", err
		}
		if content != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		request.Header.Set("Authorization", "Bearer "+token)
		resp, err := httpClient.Do(request)
		if err != nil {
			return 0, "", "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized && realm != "master" {
			realm = "master" // the scenario has invalidated the token of the realm
			continue
		}
		return resp.StatusCode, string(body), resp.Header.Get("Location"), err
	}
}

// adminClient is a client that importRealm adds to every realm.
const adminClient = "suite-administrator"

// accessToken returns an access token for administering a realm. A token of the realm's adminClient
// is much cheaper than a token of the administrator of all realms. For the administrator's token,
// Keycloak reads the roles of all realms, and it reads them again after each import or removal of a
// realm.
func (s *realServer) accessToken(realm string) (string, error) {
	s.mu.Lock()
	cachedToken := s.tokens[realm]
	s.mu.Unlock()
	if time.Now().Before(cachedToken.refreshAt) {
		return cachedToken.value, nil
	}
	grant := form("grant_type", "client_credentials", "client_id", adminClient, "client_secret",
		adminClient)
	if realm == "master" {
		grant = form("grant_type", "password", "client_id", "admin-cli", "username", "admin",
			"password", "admin")
	}
	resp, err := httpClient.PostForm(s.url+"/realms/"+realm+"/protocol/openid-connect/token", grant)
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
		return s.accessToken("master") // the realm is disabled, or has no adminClient
	}
	if body.AccessToken == "" {
		return "", fmt.Errorf("the administrator admin/admin can't sign in at %s: %d", s.url,
			resp.StatusCode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[realm] = adminToken{body.AccessToken, time.Now().Add(seconds(body.ExpiresIn / 2))}
	return body.AccessToken, nil
}

// An adminToken is a cached access token.
type adminToken struct {
	value     string
	refreshAt time.Time
}

// merge returns a copy of o with the fields of patch added or replaced. It merges nested objects,
// too.
func merge(o, patch object) object {
	merged := object{}
	for name, value := range o {
		merged[name] = value
	}
	for name, value := range patch {
		oldObject, _ := merged[name].(object)
		if newObject, ok := value.(object); ok && oldObject != nil {
			value = merge(oldObject, newObject)
		}
		merged[name] = value
	}
	return merged
}
