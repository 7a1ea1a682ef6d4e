package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const loginMutation = `mutation($u: String!, $p: String!) ` +
	`{ login(username: $u, password: $p) { accessToken } }`

// A loginTarget signs users in, through CloakQL or straight at Keycloak.
type loginTarget struct {
	connections int
	straight    bool
	target
}

// measureLogins compares sign-ins through CloakQL with those at Keycloak itself: at the fake one,
// or at the one of scripts/keycloak if TEST_KEYCLOAK_URL is set.
func (s *setup) measureLogins(o options) error {
	keycloakURL, realm, client, secret := s.keycloak.URL, "bench", "bench-api", "bench-secret"
	users := make([]string, userCount)
	for i := range users {
		users[i] = userName(i)
	}
	password := func(user string) string { return "password-of-" + user }
	name, pause := "the fake Keycloak", time.Duration(0)
	if address := os.Getenv("TEST_KEYCLOAK_URL"); address != "" {
		keycloakURL, realm, client, secret = address, "local", "local-api", "local-api-secret"
		users = users[:256] // hashing their passwords takes half a minute
		if err := createUsers(address, users, password); err != nil {
			return err
		}
		// When its time is over, wrk abandons requests that Keycloak still works on. They must not
		// run beside the next ones: Keycloak rejects simultaneous sign-ins of one user.
		name, pause = "a real Keycloak", 8*time.Second
	}
	server, err := s.startCloakQL("logins", "KEYCLOAK_SERVER_URL="+keycloakURL,
		"KEYCLOAK_REALM_NAME="+realm, "KEYCLOAK_CLIENT_ID="+client,
		"KEYCLOAK_CLIENT_SECRET_KEY="+secret, "MAX_LOGINS=1000",
		"LOGIN_ADDRESS_LIMIT=2000/6s")
	if err != nil {
		return err
	}
	defer server.stop()
	var mutations, forms []string
	for _, user := range users {
		mutations = append(mutations, fmt.Sprintf(`{"query":%q,"variables":{"u":%q,"p":%q}}`,
			loginMutation, user, password(user)))
		form := url.Values{"grant_type": {"password"}, "client_id": {client},
			"client_secret": {secret}, "username": {user}, "password": {password(user)},
			"scope": {"openid"}}
		forms = append(forms, form.Encode())
	}
	var targets []*loginTarget
	for _, connections := range []int{1, 8, 64} {
		// With brute-force detection, Keycloak rejects simultaneous sign-ins of one user.
		connections = min(connections, len(users))
		through := load{url: server.url, path: "/graphql", bodies: mutations, want: "accessToken"}
		straight := load{url: keycloakURL, path: "/realms/" + realm +
			"/protocol/openid-connect/token", bodies: forms, form: true, want: "access_token"}
		for i, l := range []load{through, straight} {
			t := &loginTarget{connections: connections, straight: i == 1,
				target: target{server: server, load: l}}
			name := fmt.Sprint("login-", len(targets))
			if t.script, err = writeScript(s.dir, name, l); err != nil {
				return err
			}
			targets = append(targets, t)
		}
	}
	accepted := s.listener.accepted.Load()
	for range o.rounds {
		for _, i := range rand.Perm(len(targets)) {
			t := targets[i]
			time.Sleep(pause)
			before, err := server.cpu()
			if err != nil {
				return err
			}
			r, err := t.script.run(t.connections, o.window)
			if err != nil {
				return fmt.Errorf("sign-ins, %d connections, straight %t: %w", t.connections,
					t.straight, err)
			}
			after, err := server.cpu()
			if err != nil {
				return err
			}
			t.runs = append(t.runs,
				targetRun{r, float64((after - before).Microseconds()) / r.requests})
		}
	}
	fmt.Printf("Sign-ins at %s:\n\n", name)
	fmt.Println("| connections | straight: logins/s | p50 ms | through CloakQL: logins/s | p50 " +
		"ms | " +
		"CloakQL's CPU ms a login |")
	fmt.Println("|---|---|---|---|---|---|")
	for i := 0; i < len(targets); i += 2 {
		through, straight := targets[i], targets[i+1]
		rate := func(r targetRun) float64 { return r.rate }
		p50 := func(r targetRun) float64 { return r.p50 }
		fmt.Printf("| %d | %.0f | %.1f | %.0f | %.1f | %.2f |\n", through.connections,
			straight.median(rate), straight.median(p50), through.median(rate),
			through.median(p50), through.cpu()/1e3)
	}
	if !strings.Contains(name, "real") {
		var logins float64
		for i := 0; i < len(targets); i += 2 {
			for _, run := range targets[i].runs {
				logins += run.requests
			}
		}
		fmt.Printf("\n%.0f logins through CloakQL. All sign-ins together opened %d connections to "+
			"Keycloak, those of wrk included.\n", logins, s.listener.accepted.Load()-accepted)
	}
	return nil
}

// createUsers adds users to the realm local of a Keycloak that scripts/keycloak started.
func createUsers(address string, users []string, password func(string) string) error {
	response, err := http.PostForm(address+"/realms/master/protocol/openid-connect/token",
		url.Values{"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"},
			"password": {"admin"}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&token); err != nil {
		return err
	}
	for _, user := range users {
		body, err := json.Marshal(map[string]any{"username": user, "enabled": true,
			"email": user + "@example.com", "firstName": "Some", "lastName": "Body",
			"emailVerified": true, "credentials": []map[string]any{
				{"type": "password", "value": password(user), "temporary": false}}})
		if err != nil {
			return err
		}
		request, err := http.NewRequest("POST", address+"/admin/realms/local/users",
			bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+token.AccessToken)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		// 409: an earlier run has created the user.
		if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusConflict {
			return fmt.Errorf("create %s: %s", user, response.Status)
		}
	}
	return nil
}
