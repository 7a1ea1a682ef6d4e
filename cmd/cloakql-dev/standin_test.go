package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of settings for a real Keycloak keeps the stand-in away: its output says so, and how to
// get it.
func TestDevelop_says_that_it_is_not_the_stand_in(t *testing.T) {
	const real = "KEYCLOAK_SERVER_URL=http://localhost:8080\nKEYCLOAK_REALM_NAME=local\nKEYCLOAK_CLIENT_ID=local-api\nKEYCLOAK_CLIENT_SECRET_KEY=hush\n"
	for name, tt := range map[string]struct {
		file    string
		environ []string
		want    string
	}{
		"the file": {real, nil, "This is not the stand-in: .local.env sets KEYCLOAK_SERVER_URL, so the server uses the Keycloak at http://localhost:8080. " +
			"For the stand-in, move .local.env away, or take its KEYCLOAK_ lines out."},
		"the environment": {"", strings.Fields(real), "This is not the stand-in: the environment sets KEYCLOAK_SERVER_URL, so the server uses the Keycloak at http://localhost:8080. " +
			"For the stand-in, unset KEYCLOAK_SERVER_URL."},
		"both": {real, []string{"KEYCLOAK_SERVER_URL=http://me:s3cret@sso.example.com"}, "the environment sets KEYCLOAK_SERVER_URL, so the server uses the Keycloak at http://me:xxxxx@sso.example.com."},
	} {
		dir := t.TempDir()
		if tt.file != "" {
			if err := os.WriteFile(filepath.Join(dir, ".local.env"), []byte(tt.file),
				0o600); err != nil {
				t.Fatal(err)
			}
		}
		beside, err := develop(tt.environ, dir)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		beside.announce(&said, "http://127.0.0.1:8000/graphql")
		if !strings.Contains(said.String(), tt.want) || beside.stop != nil {
			t.Errorf("%s: it says %q, want %q", name, said.String(), tt.want)
		}
		// A fault of the settings is the time when one wonders most.
		err = run(t.Context(), append(tt.environ, "REFRESH_GRACE=1h"), dir, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "REFRESH_GRACE: is 1h") ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: with a fault it says %v; want the fault, and %q", name, err, tt.want)
		}
	}
}

// Half of a Keycloak is refused with all of its names, and whatever else is wrong.
func TestDevelop_names_every_fault(t *testing.T) {
	_, err := develop([]string{"KEYCLOAK_REALM_NAME=a/b", "KEYCLOAK_CLIENT_ID=a",
		"REFRESH_GRACE=1h"}, t.TempDir())
	for _, want := range []string{"KEYCLOAK_REALM_NAME and KEYCLOAK_CLIENT_ID are set, and " +
		"KEYCLOAK_SERVER_URL isn't", "KEYCLOAK_REALM_NAME: \"a/b\" can't be", "REFRESH_GRACE: is 1h"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it says %v, want %q", err, want)
		}
	}
}
