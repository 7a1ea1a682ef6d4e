package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// With settings for a real Keycloak, newDevSetup doesn't start the fake. The output says so, and
// how to use the fake instead.
func TestNewDevSetup_realKeycloak(t *testing.T) {
	const realKeycloakSettings = "KEYCLOAK_SERVER_URL=http://localhost:8080\nKEYCLOAK_REALM_NAME=local\nKEYCLOAK_CLIENT_ID=local-api\nKEYCLOAK_CLIENT_SECRET_KEY=hush\n"
	for name, tt := range map[string]struct {
		file    string
		environ []string
		want    string
	}{
		"settings file": {realKeycloakSettings, nil,
			"This is not the fake Keycloak: .local.env sets KEYCLOAK_SERVER_URL, so the server " +
				"uses the Keycloak at http://localhost:8080. " +
				"To use the fake, move .local.env away, or remove its KEYCLOAK_ lines."},
		"environment": {"", strings.Fields(realKeycloakSettings),
			"This is not the fake Keycloak: the environment sets KEYCLOAK_SERVER_URL, so the " +
				"server uses the Keycloak at http://localhost:8080. " +
				"To use the fake, unset KEYCLOAK_SERVER_URL."},
		"environment overrides file": {realKeycloakSettings,
			[]string{"KEYCLOAK_SERVER_URL=http://me:s3cret@sso.example.com"}, "the environment " +
				"sets KEYCLOAK_SERVER_URL, so the server uses the Keycloak at " +
				"http://me:xxxxx@sso.example.com."},
	} {
		dir := t.TempDir()
		if tt.file != "" {
			err := os.WriteFile(filepath.Join(dir, ".local.env"), []byte(tt.file), 0o600)
			if err != nil {
				t.Fatal(err)
			}
		}
		dev, err := newDevSetup(tt.environ, dir)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		dev.printHelp(&out, "http://127.0.0.1:8000/graphql")
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: printed %q, want %q", name, out.String(), tt.want)
		}
		if dev.stop != nil {
			t.Errorf("%s: newDevSetup started the fake Keycloak, want no fake", name)
		}
		// If the settings have a problem, the error includes the note.
		err = run(t.Context(), append(tt.environ, "REFRESH_GRACE=1h"), dir, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "REFRESH_GRACE: is 1h") ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: run() = %v, want an error about REFRESH_GRACE and %q", name, err,
				tt.want)
		}
	}
}

// newDevSetup returns an error if a realm or a client is set, and KEYCLOAK_SERVER_URL isn't. The
// error includes other problems in the settings.
func TestNewDevSetup_partialSettings(t *testing.T) {
	_, err := newDevSetup([]string{"KEYCLOAK_REALM_NAME=a/b", "KEYCLOAK_CLIENT_ID=a",
		"REFRESH_GRACE=1h"}, t.TempDir())
	for _, want := range []string{"KEYCLOAK_REALM_NAME and KEYCLOAK_CLIENT_ID are set, and " +
		"KEYCLOAK_SERVER_URL isn't", "KEYCLOAK_REALM_NAME: \"a/b\" can't be",
		"REFRESH_GRACE: is 1h"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("newDevSetup() = %v, want an error with %q", err, want)
		}
	}
}
