package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"time"
)

// writeProfile sends a mix of requests to the server, and writes the server's CPU profile to a
// file. The compiler uses the file for profile-guided optimization.
func (s *setup) writeProfile(file string) error {
	const window = 6 * time.Second
	server, err := s.startSelf("profiled", s.settings("ANSWER_CACHE=off",
		"TOKEN_CACHE_BYTES=4194304"), "cloakql") // room for about a thousand tokens
	if err != nil {
		return err
	}
	defer server.stop()
	load := load{url: server.url, path: "/graphql", bodies: []string{meBody,
		`{"query":"query Me($roles: Boolean!) { me { id name ...Roles @include(if: $roles) } } ` +
			`fragment Roles on User { realmRoles clientRoles { client roles } }",` +
			`"variables":{"roles":true}}`}}
	debugURL, err := server.findInLog(regexp.MustCompile(`debug (http://\S+)`))
	if err != nil {
		return err
	}
	// Most requests have a cached token, and some have a new token.
	var scripts []script
	for i, tokens := range [][]string{s.tokens[:500], s.tokens[:500], s.tokens[:500], s.tokens} {
		load.tokens = tokens
		script, err := writeScript(s.dir, fmt.Sprint("profile-", i), load)
		if err != nil {
			return err
		}
		scripts = append(scripts, script)
	}
	profile := make(chan error, 1)
	go func() {
		seconds := int(window.Seconds()) * len(scripts)
		profile <- download(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", debugURL, seconds),
			file)
	}()
	for _, script := range scripts {
		if _, err := script.run(32, window); err != nil {
			return err
		}
	}
	return <-profile
}

// download writes the response from a URL to a file.
func download(url, file string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, content)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}
