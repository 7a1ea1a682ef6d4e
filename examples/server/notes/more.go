package notes

import (
	"context"
	"database/sql"
	"errors"
)

// All returns all notes, oldest first.
func (s Store) All(ctx context.Context) ([]*Note, error) {
	return s.query(ctx, `SELECT id, text FROM notes ORDER BY id`)
}

// Get returns a note and its owner, or nil and "" if there is no such note.
func (s Store) Get(ctx context.Context, id string) (note *Note, owner string, err error) {
	note = &Note{}
	err = s.QueryRowContext(ctx, `SELECT id, text, owner FROM notes WHERE id = ?`, id).
		Scan(&note.ID, &note.Text, &owner)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, "", nil
	}
	return note, owner, err
}

// DeleteAll deletes the notes of one owner, and returns their number.
func (s Store) DeleteAll(ctx context.Context, owner string) (count int, err error) {
	result, err := s.ExecContext(ctx, `DELETE FROM notes WHERE owner = ?`, owner)
	if err != nil {
		return 0, err
	}
	deleted, err := result.RowsAffected()
	return int(deleted), err
}
