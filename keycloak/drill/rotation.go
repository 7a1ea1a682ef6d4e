package main

import (
	"fmt"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// overlapping rotates as an administrator should: the old key stays listed until its last token has
// expired.
func overlapping(length time.Duration) ([]row, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.line.lead("")
	now, err := s.token(keycloaktest.Mint{})
	if err != nil {
		return nil, err
	}
	var old, fresh tally
	rotations, early, slowest := 0, 0, time.Duration(0)
	for begin := time.Now(); rotations == 0 || time.Since(begin) < length; {
		before := now
		var previous string
		if previous, now, err = s.rotate(); err != nil {
			return nil, err
		}
		rotations++
		rotated, admitted := time.Now(), false
		for pause := time.Duration(1+rotations%5) * 350 * time.Millisecond; (!admitted || time.Since(rotated) < pause) && time.Since(rotated) < backAt; {
			sent := time.Now()
			said := s.ask(before)
			old.add(said, time.Since(sent), said == alice)
			sent = time.Now()
			said = s.ask(now)
			switch {
			case said == alice && !admitted:
				admitted, slowest = true, max(slowest, time.Since(rotated))
			case said == unknown && !admitted:
				early++ // the last fetch was less than a second ago
			}
			fresh.add(said, time.Since(sent), said == alice || said == unknown && !admitted)
			time.Sleep(10 * time.Millisecond)
		}
		if !admitted {
			slowest = max(slowest, backAt)
		}
		if err := s.realm.RemoveKey(previous); err != nil {
			return nil, err
		}
	}
	times, _, most := s.line.fetches()
	const drill = "rotation, the old key listed"
	return []row{
		{drill, "tokens of the old key pass", fmt.Sprintf("%d of %d refused%s", old.wrong, old.all(), old.first), old.wrong == 0, false},
		{drill, "tokens of the new key pass within 1 s", fmt.Sprintf("%d rotations; %v at most; %d fetches; %d asked too early", rotations, slowest.Round(time.Millisecond), len(times), early), slowest <= floor+slack && most <= 1, true},
		{drill, "and from then on", fmt.Sprintf("%d of %d refused%s", fresh.wrong, fresh.all(), fresh.first), fresh.wrong == 0, false},
	}, nil
}

// sudden rotates as an administrator does whose key was stolen.
func sudden(length time.Duration) ([]row, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	rotations, revived := 0, 0
	var admitted, gone time.Duration // at most
	for begin := time.Now(); rotations == 0 || time.Since(begin) < length; {
		old, err := s.token(keycloaktest.Mint{})
		if err != nil {
			return nil, err
		}
		stolen, fresh, err := s.rotate()
		if err == nil {
			err = s.realm.RemoveKey(stolen)
		}
		if err != nil {
			return nil, err
		}
		rotations++
		rotated := time.Now()
		until(5*time.Second, func() bool { return s.ask(fresh) == alice })
		admitted = max(admitted, time.Since(rotated))
		until(5*time.Second, func() bool { return s.ask(old) == unknown })
		gone = max(gone, time.Since(rotated))
		for range 10 {
			if s.ask(old) != unknown {
				revived++
			}
			time.Sleep(30 * time.Millisecond)
		}
	}
	const drill = "rotation, the old key gone"
	return []row{
		{drill, "tokens of the new key pass within 1 s", fmt.Sprintf("%d rotations; %v at most", rotations, admitted.Round(time.Millisecond)), admitted <= floor+slack, true},
		{drill, "tokens of the old key don't from then on", fmt.Sprintf("refused after %v at most; %d passed later", gone.Round(time.Millisecond), revived), gone <= floor+slack && revived == 0, true},
	}, nil
}
