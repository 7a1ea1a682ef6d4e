package keycloaktest

import (
	"fmt"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// importUsersFile imports a users file, which contains only users to add to the realm
// (realmfile.Document). It adds all of them or none.
func (r *Realm) importUsersFile(content []byte) error {
	file, _, err := realmfile.Read(content)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var addedUsers []*user
	for _, record := range file.Users {
		if c := r.clients[record.ServiceAccountClientID]; c != nil && c.serviceAccountGenerated {
			r.removeServiceAccount(c) // the file's account replaces the generated one
		}
		u, err := r.addUser(record)
		if err != nil {
			for _, u := range addedUsers {
				r.unindexUser(u)
			}
			return fmt.Errorf("user %s: %w", record.Username, err)
		}
		addedUsers = append(addedUsers, u)
	}
	return nil
}

// importFiles imports all of the files or none. It returns all realms that the files name, and the
// realms that it added. A users file may come before the file of its realm.
func (s *Server) importFiles(files [][]byte,
	options importOptions) (realms, addedRealms []*Realm, err error) {
	var documents []realmfile.Document
	for _, file := range files {
		fileDocuments, err := realmfile.Documents(file)
		if err != nil {
			return nil, nil, fmt.Errorf("keycloaktest: realm file: %w", err)
		}
		documents = append(documents, fileDocuments...)
	}
	if documents, err = realmfile.MergeUsers(documents); err != nil {
		return nil, nil, fmt.Errorf("keycloaktest: realm file: %w", err)
	}
	for _, document := range documents {
		r := s.findRealm(document.Realm)
		if r != nil && document.UsersOnly {
			if err = r.importUsersFile(document.Text); err != nil {
				err = fmt.Errorf("keycloaktest: realm %s: %w", r.name, err)
			}
		} else if r, err = s.importRealm(document.Text, options); err == nil {
			addedRealms = append(addedRealms, r)
		}
		if err != nil {
			s.removeRealms(addedRealms)
			return nil, nil, err
		}
		realms = append(realms, r)
	}
	return realms, addedRealms, nil
}

// removeRealms removes realms after a failed import.
func (s *Server) removeRealms(realms []*Realm) {
	for _, r := range realms {
		s.Remove(r.name)
	}
}
