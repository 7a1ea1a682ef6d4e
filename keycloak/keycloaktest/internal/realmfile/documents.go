package realmfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Keycloak's export writes a realm in several files, and a file may hold several realms: kc.sh
// import --dir and --import-realm take X-realm.json beside X-users-0.json, and a list of realms.

// A Document is one realm of a file, or users of a realm.
type Document struct {
	Realm     string // of the realm; empty where the document says none
	UsersOnly bool   // it has users and nothing else
	Text      json.RawMessage
}

// Documents are the realms of a file.
func Documents(file []byte) ([]Document, error) {
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
	var all []Document
	for _, text := range texts {
		document := Document{Text: text}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) == nil { // Read says what is wrong with it
			json.Unmarshal(members["realm"], &document.Realm)
			document.UsersOnly = members["users"] != nil
			for name := range members {
				document.UsersOnly = document.UsersOnly &&
					slices.Contains([]string{"realm", "users"}, name)
			}
		}
		all = append(all, document)
	}
	return all, nil
}

// Join puts the users of files that have nothing else into the realms of the others.
func Join(documents []Document) ([]Document, error) {
	realms := slices.DeleteFunc(slices.Clone(documents), func(d Document) bool {
		return d.UsersOnly
	})
	for _, d := range documents {
		if !d.UsersOnly {
			continue
		}
		at := slices.IndexFunc(realms, func(realm Document) bool {
			return realm.Realm == d.Realm && !realm.UsersOnly
		})
		if at < 0 {
			realms = append(realms, d)
			continue
		}
		whole, err := realms[at].with(d)
		if err != nil {
			return nil, err
		}
		realms[at].Text = whole
	}
	return realms, nil
}

// with is the realm's document with the users of another added.
func (d Document) with(more Document) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	var users, added struct {
		Users []json.RawMessage `json:"users"`
	}
	for text, into := range map[*json.RawMessage]any{&d.Text: &members, &more.Text: &added} {
		if err := json.Unmarshal(*text, into); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(d.Text, &users); err != nil {
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
