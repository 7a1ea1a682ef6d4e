package keycloaktest

import (
	"slices"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// The reader of realm files lets a mapper through that is done here, and no other.
func TestMapperTypes_sameAsReader(t *testing.T) {
	var ids []string
	for _, m := range mapperTypes {
		ids = append(ids, m.id)
	}
	if !slices.Equal(ids, realmfile.MapperIDs) {
		t.Errorf("the mappers are %q, the reader's %q", ids, realmfile.MapperIDs)
	}
}
