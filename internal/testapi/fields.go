package testapi

import (
	"context"
	"reflect"

	"github.com/cloakql/cloakql/identity"
)

var (
	fields          = filled[Fields]()
	unguardedFields = filled[UnguardedFields]()
)

// filled returns a struct whose fields are pointers to strings, and sets each of them to &text.
func filled[T any]() *T {
	var object T
	for _, field := range reflect.ValueOf(&object).Elem().Fields() {
		field.Set(reflect.ValueOf(&text))
	}
	return &object
}

func (query) Fields(context.Context) (*Fields, error) { return fields, nil }

func (query) FieldsList(context.Context) ([]*Fields, error) {
	return []*Fields{fields, fields}, nil
}

func (query) UnguardedInterface(context.Context) (UnguardedInterface, error) { return fields, nil }

func (query) GuardedInterface(context.Context) (GuardedInterface, error) {
	return unguardedFields, nil
}

func (query) Union(context.Context) (FieldsUnion, error) { return fields, nil }

func (mutation) Change(context.Context) (*Fields, error) { return fields, nil }

// Card returns a card whose owner is the caller.
func (query) Card(ctx context.Context) (*Card, error) {
	user, err := identity.Require(ctx)
	if err != nil {
		return nil, err
	}
	notifyObserver(ctx)
	return &Card{Owner: user.ID, Number: &text}, nil
}
