package cloakql

import (
	"context"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/revocation"
	"github.com/cloakql/cloakql/store"
)

// sharedQueryTimeout limits how long a request waits for the shared store of persisted queries. A
// store has a shorter limit of its own.
const sharedQueryTimeout = time.Second

// sharedQueries implements graphqlhttp.SharedQueries with the documents of a store. If the store
// fails, clients send their queries again.
type sharedQueries struct {
	documents store.Documents
}

func (s *sharedQueries) Get(ctx context.Context, hash [32]byte) (text string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, sharedQueryTimeout)
	defer cancel()
	text, ok, err := s.documents.Get(ctx, hash)
	return text, ok && err == nil
}

func (s *sharedQueries) Put(ctx context.Context, text string) {
	ctx, cancel := context.WithTimeout(ctx, sharedQueryTimeout)
	defer cancel()
	s.documents.Put(ctx, text) // on an error, other processes ask their clients for the text
}

// newFeed returns the feed that tells other processes which sessions ended, or nil if there are
// none or nothing to tell.
func (c Config) newFeed() *revocation.Feed {
	if c.Store == nil || c.Store.Events == nil || c.Revoked == nil {
		return nil
	}
	return revocation.NewFeed(c.Revoked, c.Store.Events, c.Log)
}

// EndSession rejects the access tokens of a session from now on, or those of all sessions of a
// user. Other servers with the same Config.Store reject them within a second. It doesn't end the
// session in Keycloak. EndSession does nothing if Config.Revoked and Config.Client are empty.
func (s *Server) EndSession(end revocation.End) {
	switch {
	case s == nil || s.config.Revoked == nil:
	case s.feed != nil:
		s.feed.Add(end)
	default:
		s.config.Revoked.Add(end)
	}
}

// endSession is EndSession for package keycloak.
func (s *Server) endSession(end keycloak.SessionEnd) { s.EndSession(revocation.End(end)) }

// newSessionChecker returns the checker of the sessions in use, or nil if there is none.
func (s *Server) newSessionChecker() (*keycloak.SessionChecker, error) {
	if s.config.SessionCheck == nil {
		return nil, nil
	}
	config := *s.config.SessionCheck
	config.Client, config.End, config.Now = s.client, s.endSession, s.config.Tokens.Now
	if config.Log == nil {
		config.Log = s.config.Log
	}
	return keycloak.NewSessionChecker(config)
}

// checkSession returns a function for Issuer.CheckSession that calls next, unless next is nil, and
// then the session checker. It returns next if there is no session checker.
func (s *Server) checkSession(
	next func(context.Context, keycloak.TokenSession, identity.Secret) error,
) func(context.Context, keycloak.TokenSession, identity.Secret) error {
	switch {
	case s.checker == nil:
		return next
	case next == nil:
		return s.checker.Check
	}
	return func(ctx context.Context, session keycloak.TokenSession, token identity.Secret) error {
		if err := next(ctx, session, token); err != nil {
			return err
		}
		return s.checker.Check(ctx, session, token)
	}
}

// storeProblem returns what the server's probe says about the shared store: "" if it is available
// or there is none.
func (s *Server) storeProblem(ctx context.Context) (problem string, detail error) {
	if s.config.Store == nil {
		return "", nil
	}
	if s.feed != nil {
		if err := s.feed.Status(); err != nil {
			return "the shared store is unavailable, and so is news of sessions that end at " +
				"other processes", err
		}
	}
	if s.config.Store.Check != nil {
		if err := s.config.Store.Check(ctx); err != nil {
			return "the shared store is unavailable", err
		}
	}
	return "", nil
}
