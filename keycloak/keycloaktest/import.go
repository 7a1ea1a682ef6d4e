package keycloaktest

import (
	"fmt"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// addFileUsers adds the users of a file to a realm that is there, as its import would have: names,
// groups and roles as the file has them. Either all are added, or none.
func (r *Realm) addFileUsers(text []byte) error {
	file, _, err := realmfile.Read(text)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var added []*user
	for _, document := range file.Users {
		if c := r.clients[document.ServiceAccountOf]; c != nil && c.accountIsMade {
			r.withdrawServiceAccount(c) // the file has the one that the client is to act as
		}
		u, err := r.addUser(document)
		if err != nil {
			for _, u := range added {
				r.unindex(u)
			}
			return fmt.Errorf("user %s: %w", document.Username, err)
		}
		added = append(added, u)
	}
	return nil
}

// importFiles adds the realms of files, all of them or none. It returns the realms that the files
// are about, and those of them that are new. Users may come before their realm.
func (s *Server) importFiles(files [][]byte,
	options importOptions) (realms, added []*Realm, err error) {
	var documents []realmfile.Document
	for _, file := range files {
		of, err := realmfile.Documents(file)
		if err != nil {
			return nil, nil, fmt.Errorf("keycloaktest: realm file: %w", err)
		}
		documents = append(documents, of...)
	}
	if documents, err = realmfile.Join(documents); err != nil {
		return nil, nil, fmt.Errorf("keycloaktest: realm file: %w", err)
	}
	for _, document := range documents {
		r := s.find(document.Realm)
		if r != nil && document.UsersOnly {
			if err = r.addFileUsers(document.Text); err != nil {
				err = fmt.Errorf("keycloaktest: realm %s: %w", r.name, err)
			}
		} else if r, err = s.importRealm(document.Text, options); err == nil {
			added = append(added, r)
		}
		if err != nil {
			s.withdraw(added)
			return nil, nil, err
		}
		realms = append(realms, r)
	}
	return realms, added, nil
}

// withdraw removes realms of files that were refused, as if they had never been there.
func (s *Server) withdraw(added []*Realm) {
	for _, r := range added {
		s.Remove(r.name)
	}
}
