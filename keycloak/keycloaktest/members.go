package keycloaktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

func readRealm(file []byte) (realmRepresentation, []string, error) {
	if len(file) > maxRealmFile {
		return realmRepresentation{}, nil, fmt.Errorf("longer than %d bytes", maxRealmFile)
	}
	var out realmRepresentation
	d := json.NewDecoder(bytes.NewReader(file))
	if err := d.Decode(&out); err != nil {
		return out, nil, err
	}
	if out.Realm == "" {
		return out, nil, errors.New("realm: missing")
	}
	return out, nil, nil
}

func unsupportedIn(document clientRepresentation, scopes map[string]*scope) []string { return nil }
