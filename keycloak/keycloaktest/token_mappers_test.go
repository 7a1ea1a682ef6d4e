package keycloaktest

import (
	"slices"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// mapperTypes has the same protocol mappers as realmfile.MapperIDs, in the same order.
func TestMapperTypes_sameAsRealmFile(t *testing.T) {
	var ids []string
	for _, m := range mapperTypes {
		ids = append(ids, m.id)
	}
	if !slices.Equal(ids, realmfile.MapperIDs) {
		t.Errorf("mapperTypes has %q, want %q", ids, realmfile.MapperIDs)
	}
}
