package main

import "time"

// pauseAfter returns the pause after the nth rotation: too short for another fetch, or long enough.
func pauseAfter(n int) time.Duration { return time.Duration(1+n%5) * 350 * time.Millisecond }

// rotateAndKeep rotates keys as an administrator should: the old key stays listed until its last
// token has expired. People come with a token of the key that signs now, and with one of the key
// before.
func rotateAndKeep(s *site, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	s.fetches.reset("")
	var old, fresh tally
	now := s.good()
	rotations, early, slowest := 0, 0, time.Duration(0)
	for begin := time.Now(); rotations == 0 || time.Since(begin) < length; {
		before, previous := now, s.rotate()
		now = s.good()
		pause := pauseAfter(rotations)
		rotations++
		rotated, admitted := time.Now(), false
		for (!admitted || time.Since(rotated) < pause) && time.Since(rotated) < backAt {
			a := s.ask(before)
			old.add(a, a.Said == alice)
			a = s.ask(now)
			tooEarly := a.Said == unknownKey && !admitted &&
				a.Begin.Sub(s.fetches.latest()) < floor+s.lag
			fresh.add(a, a.Said == alice || tooEarly)
			if tooEarly {
				early++
			}
			if a.Said == alice && !admitted {
				admitted, slowest = true, max(slowest, time.Since(rotated))
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !admitted {
			slowest = backAt
		}
		s.remove(previous)
		a := s.ask(before) // no token of an unknown key has come, so the set is not fetched yet
		old.add(a, a.Said == alice)
	}
	s.checkValid(&old) // of the old key
	s.checkTime(slowest <= floor+s.lag, "tokens of the new key pass within 1 s",
		"%d rotations; %v at most", rotations, slowest.Round(time.Millisecond))
	s.checkAnswers("and from then on", &fresh)
	s.checkTime(fresh.longest <= 4*s.lag, "and wait only as long as Keycloak takes to answer",
		"%v at most", fresh.longest)
	s.checkTime(early > 0 || rotations < 10, "some come too early for another fetch", "%d", early)
	s.checkFetches(rotations, rotations)
	return nil
}

// rotateAndRemove rotates keys as an administrator does whose key was stolen: tokens of the old key
// are refused with the fetch that brings the new one.
func rotateAndRemove(s *site, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	s.fetches.reset("")
	var old, fresh tally
	rotations, early, disagreed, slowest := 0, 0, 0, time.Duration(0)
	for begin := time.Now(); rotations == 0 || time.Since(begin) < length; {
		stolen, fetched := s.good(), s.fetches.latest()
		s.remove(s.rotate())
		pause := pauseAfter(rotations)
		rotations++
		removed, now, admitted := time.Now(), s.good(), false
		for (!admitted || time.Since(removed) < pause) && time.Since(removed) < backAt {
			a := s.ask(stolen)
			old.add(a, !admitted && a.Said == alice || admitted && a.Said == unknownKey)
			a = s.ask(now)
			tooEarly := a.Said == unknownKey && !admitted && a.Begin.Sub(removed) < floor+s.lag
			fresh.add(a, a.Said == alice || tooEarly)
			if tooEarly {
				early++
			}
			if a.Said == alice && !admitted {
				admitted, slowest = true, max(slowest, time.Since(removed))
			}
			if s.fetches.latest().After(fetched) != admitted {
				disagreed++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !admitted {
			slowest = backAt
		}
	}
	s.checkTime(slowest <= floor+s.lag, "tokens of the new key pass within 1 s",
		"%d rotations; %v at most", rotations, slowest.Round(time.Millisecond))
	s.checkAnswers("and from then on", &fresh)
	s.checkAnswers("tokens of the old key don't from then on", &old)
	s.checkTime(disagreed == 0, "both with one fetch", "%d of %d times a fetch brought no key",
		disagreed, fresh.total)
	s.checkTime(early > 0 || rotations < 10, "some come too early for another fetch", "%d", early)
	s.checkFetches(rotations, 2*rotations) // the removed key's tokens cause some
	return nil
}

// rotateUnnoticed removes keys while no token of a new one comes, so that only the refresher can
// notice.
func rotateUnnoticed(s *site, _ time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	s.rotate()
	var good tally
	ask := func(token string) (said string) {
		a := s.ask(token)
		good.add(a, a.Said == alice)
		return a.Said
	}
	ask(s.good()) // both keys are known now
	for range 3 {
		token := s.good()
		ask(token)
		fetched := s.fetches.latest()
		time.Sleep(17 * time.Second)
		s.remove(s.rotate())
		for s.fetches.latest().Equal(fetched) && time.Since(fetched) <= refresh {
			// In the very moment of the fetch, the token may still pass or already be refused.
			if a := s.ask(token); s.fetches.latest().Equal(fetched) {
				good.add(a, a.Said == alice)
			}
			time.Sleep(time.Second / 2)
		}
		took, said := s.fetches.latest().Sub(fetched), s.ask(token).Said
		s.check(said == unknownKey, "a removed key's token is refused after the refresher's fetch",
			"%s", said)
		s.check(took >= refresh*4/5 && took <= refresh, "keys are fetched after 4 to 5 minutes",
			"%v", took)
		time.Sleep(floor)
		ask(s.good()) // of the key that came
	}
	s.checkValid(&good) // of the old key until then, of the new key after it
	return nil
}
