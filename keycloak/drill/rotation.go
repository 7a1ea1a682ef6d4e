package main

import "time"

// pauseAfter returns the pause after the nth rotation. Some pauses are too short for another fetch.
func pauseAfter(n int) time.Duration { return time.Duration(1+n%5) * 350 * time.Millisecond }

// rotateAndKeep rotates keys as an administrator should: the old key stays listed until its last
// token has expired. Meanwhile, tokens of the current key and of the previous one must pass.
func rotateAndKeep(s *system, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	s.fetches.reset("")
	var oldKeyTally, newKeyTally tally // for tokens of the old key and of the new key
	newToken := s.validToken()
	rotations, earlyCount, slowest := 0, 0, time.Duration(0)
	for start := time.Now(); rotations == 0 || time.Since(start) < length; {
		oldToken, oldKey := newToken, s.rotate()
		newToken = s.validToken()
		pause := pauseAfter(rotations)
		rotations++
		rotatedAt, passed := time.Now(), false
		for (!passed || time.Since(rotatedAt) < pause) && time.Since(rotatedAt) < maxRecovery {
			o := s.send(oldToken)
			oldKeyTally.add(o, o.Result == alice)
			o = s.send(newToken)
			tooEarly := o.Result == unknownKey && !passed &&
				o.Start.Sub(s.fetches.lastFetch()) < minFetchInterval+s.tolerance
			newKeyTally.add(o, o.Result == alice || tooEarly)
			if tooEarly {
				earlyCount++
			}
			if o.Result == alice && !passed {
				passed, slowest = true, max(slowest, time.Since(rotatedAt))
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !passed {
			slowest = maxRecovery
		}
		s.remove(oldKey)
		o := s.send(oldToken) // passes: no unknown key has caused a fetch since the removal
		oldKeyTally.add(o, o.Result == alice)
	}
	s.checkValid(&oldKeyTally)
	s.checkTiming(slowest <= minFetchInterval+s.tolerance, "tokens of the new key pass within 1 s",
		"%d rotations; at most %v", rotations, slowest.Round(time.Millisecond))
	s.checkOutcomes("tokens of the new key pass from then on", &newKeyTally)
	s.checkTiming(newKeyTally.longest <= 4*s.tolerance,
		"they wait only until Keycloak has responded",
		"at most %v", newKeyTally.longest)
	s.checkTiming(earlyCount > 0 || rotations < 10, "some tokens come too early for a fetch", "%d",
		earlyCount)
	s.checkFetches(rotations, rotations)
	return nil
}

// rotateAndRemove rotates keys as an administrator should after the theft of a key: the old key is
// removed at once. Its tokens must be refused once the new key has been fetched.
func rotateAndRemove(s *system, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	s.fetches.reset("")
	var oldKeyTally, newKeyTally tally // for tokens of the old key and of the new key
	rotations, earlyCount, mismatches, slowest := 0, 0, 0, time.Duration(0)
	for start := time.Now(); rotations == 0 || time.Since(start) < length; {
		oldToken, fetchedAt := s.validToken(), s.fetches.lastFetch()
		s.remove(s.rotate())
		pause := pauseAfter(rotations)
		rotations++
		rotatedAt, newToken, passed := time.Now(), s.validToken(), false
		for (!passed || time.Since(rotatedAt) < pause) && time.Since(rotatedAt) < maxRecovery {
			o := s.send(oldToken)
			oldKeyTally.add(o, !passed && o.Result == alice || passed && o.Result == unknownKey)
			o = s.send(newToken)
			tooEarly := o.Result == unknownKey && !passed &&
				o.Start.Sub(rotatedAt) < minFetchInterval+s.tolerance
			newKeyTally.add(o, o.Result == alice || tooEarly)
			if tooEarly {
				earlyCount++
			}
			if o.Result == alice && !passed {
				passed, slowest = true, max(slowest, time.Since(rotatedAt))
			}
			if s.fetches.lastFetch().After(fetchedAt) != passed {
				mismatches++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !passed {
			slowest = maxRecovery
		}
	}
	s.checkTiming(slowest <= minFetchInterval+s.tolerance, "tokens of the new key pass within 1 s",
		"%d rotations; at most %v", rotations, slowest.Round(time.Millisecond))
	s.checkOutcomes("tokens of the new key pass from then on", &newKeyTally)
	s.checkOutcomes("tokens of the old key are refused from then on", &oldKeyTally)
	s.checkTiming(mismatches == 0, "one fetch adds the new key and removes the old one", "wrong %d of %d times",
		mismatches, newKeyTally.total)
	s.checkTiming(earlyCount > 0 || rotations < 10, "some tokens come too early for a fetch", "%d",
		earlyCount)
	s.checkFetches(rotations, 2*rotations) // tokens of the removed key cause fetches, too
	return nil
}

// rotateUnnoticed removes keys while no token of a new key is sent, so that only the refresher can
// notice.
func rotateUnnoticed(s *system, _ time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	s.rotate()
	var validTally tally
	send := func(token string) {
		o := s.send(token)
		validTally.add(o, o.Result == alice)
	}
	send(s.validToken()) // now both keys are cached
	for range 3 {
		token := s.validToken()
		send(token)
		fetchedAt := s.fetches.lastFetch()
		time.Sleep(17 * time.Second)
		s.remove(s.rotate())
		for s.fetches.lastFetch().Equal(fetchedAt) && time.Since(fetchedAt) <= refreshInterval {
			// Ignore the outcome if a fetch has started meanwhile: then the token may pass or not.
			if o := s.send(token); s.fetches.lastFetch().Equal(fetchedAt) {
				validTally.add(o, o.Result == alice)
			}
			time.Sleep(time.Second / 2)
		}
		took, got := s.fetches.lastFetch().Sub(fetchedAt), s.send(token).Result
		s.check(got == unknownKey, "a removed key's token is refused after the refresher's fetch",
			"%s", got)
		s.check(took >= refreshInterval*4/5 && took <= refreshInterval,
			"keys are fetched after 4 to 5 minutes", "%v", took)
		time.Sleep(minFetchInterval)
		send(s.validToken()) // signed with the new key
	}
	s.checkValid(&validTally)
	return nil
}
