package keycloaktest

import (
	"slices"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// The mappers that this package implements are the ones that realmfile accepts as supported.
func TestMapperTypes_sameAsReader(t *testing.T) {
	var ids []string
	for _, m := range mapperTypes {
		ids = append(ids, m.id)
	}
	if !slices.Equal(ids, realmfile.MapperIDs) {
		t.Errorf("mapperTypes has %q, want %q", ids, realmfile.MapperIDs)
	}
}
