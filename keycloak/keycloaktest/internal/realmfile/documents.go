package realmfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// A realm may be split into several files: kc.sh export can write users to X-users-0.json and
// further files, next to X-realm.json. A file may also contain a list of realms. kc.sh import --dir
// and kc.sh start --import-realm read files of both kinds.

// A Document is the JSON object of a realm, or of users to add to a realm.
type Document struct {
	Realm     string // the realm's name; empty if the document doesn't contain it
	UsersOnly bool   // the document has users and no other settings
	Text      json.RawMessage
}

// Documents splits a file into documents. A file contains a document or a list of documents.
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
	var documents []Document
	for _, text := range texts {
		document := Document{Text: text}
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) == nil { // otherwise, Read reports the error
			json.Unmarshal(fields["realm"], &document.Realm)
			document.UsersOnly = fields["users"] != nil
			for name := range fields {
				document.UsersOnly = document.UsersOnly &&
					slices.Contains([]string{"realm", "users"}, name)
			}
		}
		documents = append(documents, document)
	}
	return documents, nil
}

// MergeUsers merges each document that has only users into the document of its realm, if there is
// one.
func MergeUsers(documents []Document) ([]Document, error) {
	realms := slices.DeleteFunc(slices.Clone(documents), func(d Document) bool {
		return d.UsersOnly
	})
	for _, d := range documents {
		if !d.UsersOnly {
			continue
		}
		i := slices.IndexFunc(realms, func(realm Document) bool {
			return realm.Realm == d.Realm && !realm.UsersOnly
		})
		if i < 0 {
			realms = append(realms, d)
			continue
		}
		merged, err := realms[i].withUsers(d)
		if err != nil {
			return nil, err
		}
		realms[i].Text = merged
	}
	return realms, nil
}

// withUsers returns the realm's document with the users of another document added.
func (d Document) withUsers(other Document) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	var oldUsers, newUsers struct {
		Users []json.RawMessage `json:"users"`
	}
	for text, dst := range map[*json.RawMessage]any{&d.Text: &fields, &other.Text: &newUsers} {
		if err := json.Unmarshal(*text, dst); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(d.Text, &oldUsers); err != nil {
		return nil, err
	}
	var err error
	fields["users"], err = json.Marshal(slices.Concat(oldUsers.Users, newUsers.Users))
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// maxRealmFile is the maximum size of a realm file, in bytes.
const maxRealmFile = 16 << 20
