// Package notes stores notes in SQLite.
package notes

import (
	"context"
	"database/sql"
	"errors"

	_ "modernc.org/sqlite" // the driver
)

// ErrFull is returned by Add if the owner already has 100 notes.
var ErrFull = errors.New("the notebook is full")

// A Note is a text.
type Note struct{ ID, Text string }

// A Store stores notes, each with the ID of its owner. It is safe for concurrent use.
type Store struct{ *sql.DB }

// Open opens a store in a file. It creates the file if it doesn't exist.
func Open(file string) (Store, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err == nil {
		_, err = db.Exec(`CREATE TABLE IF NOT EXISTS notes
			(id INTEGER PRIMARY KEY, owner TEXT NOT NULL, text TEXT NOT NULL)`)
	}
	return Store{db}, err
}

// List returns the notes of one owner, oldest first.
func (s Store) List(ctx context.Context, owner string) ([]*Note, error) {
	return s.query(ctx, `SELECT id, text FROM notes WHERE owner = ? ORDER BY id`, owner)
}

// query returns the notes that a query selects.
func (s Store) query(ctx context.Context, query string, args ...any) (list []*Note, err error) {
	rows, err := s.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var note Note
		if err := rows.Scan(&note.ID, &note.Text); err != nil {
			return nil, err
		}
		list = append(list, &note)
	}
	return list, rows.Err()
}

// Add stores a note.
func (s Store) Add(ctx context.Context, owner, text string) (*Note, error) {
	note := &Note{Text: text}
	err := s.QueryRowContext(ctx, `INSERT INTO notes (owner, text) SELECT ?1, ?2
		WHERE (SELECT count(*) FROM notes WHERE owner = ?1) < 100 RETURNING id`, owner, text).Scan(&note.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrFull
	}
	return note, err
}
