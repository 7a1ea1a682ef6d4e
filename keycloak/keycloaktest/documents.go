package keycloaktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Keycloak's export writes a realm in several files, and a file may hold several realms: kc.sh
// import --dir and --import-realm take X-realm.json beside X-users-0.json, and a list of realms.

// A realmDocument is one realm of a file, or users of a realm.
type realmDocument struct {
	name  string // of the realm; empty where the document says none
	users bool   // it has users and nothing else
	text  json.RawMessage
}

// documentsOf are the realms of a file.
func documentsOf(file []byte) ([]realmDocument, error) {
	if len(file) > maxRealmFile {
		return nil, fmt.Errorf("longer than %d bytes", maxRealmFile)
	}
	texts := []json.RawMessage{file}
	if trimmed := bytes.TrimSpace(file); len(trimmed) > 0 && trimmed[0] == '[' {
		if err := json.Unmarshal(file, &texts); err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			return nil, errors.New("the list has no realm")
		}
	}
	var all []realmDocument
	for _, text := range texts {
		document := realmDocument{text: text}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) == nil { // readRealm says what is wrong with it
			json.Unmarshal(members["realm"], &document.name)
			document.users = members["users"] != nil
			for name := range members {
				document.users = document.users && slices.Contains([]string{"realm", "users"}, name)
			}
		}
		all = append(all, document)
	}
	return all, nil
}

// joined puts the users of files that have nothing else into the realms of the others.
func joined(documents []realmDocument) ([]realmDocument, error) {
	realms := slices.DeleteFunc(slices.Clone(documents), func(d realmDocument) bool { return d.users })
	for _, d := range documents {
		if !d.users {
			continue
		}
		at := slices.IndexFunc(realms, func(realm realmDocument) bool { return realm.name == d.name && !realm.users })
		if at < 0 {
			realms = append(realms, d)
			continue
		}
		whole, err := realms[at].with(d)
		if err != nil {
			return nil, err
		}
		realms[at].text = whole
	}
	return realms, nil
}

// with is the realm's document with the users of another added.
func (d realmDocument) with(more realmDocument) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	var users, added struct {
		Users []json.RawMessage `json:"users"`
	}
	for text, into := range map[*json.RawMessage]any{&d.text: &members, &more.text: &added} {
		if err := json.Unmarshal(*text, into); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(d.text, &users); err != nil {
		return nil, err
	}
	var err error
	members["users"], err = json.Marshal(slices.Concat(users.Users, added.Users))
	if err != nil {
		return nil, err
	}
	return json.Marshal(members)
}

// maxRealmFile is the longest realm file that is read, in bytes.
const maxRealmFile = 16 << 20
