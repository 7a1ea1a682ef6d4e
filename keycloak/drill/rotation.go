package main

import "time"

// rotationTimeout is how long a scenario waits until a token of the new key passes.
const rotationTimeout = 5 * time.Second

// pauseAfter returns the pause after the nth rotation. Some pauses are too short for another fetch.
func pauseAfter(n int) time.Duration { return time.Duration(1+n%5) * 350 * time.Millisecond }

// rotateAndKeep rotates keys as an administrator should: the old key stays listed until its last
// token has expired. Meanwhile, tokens of the current key and of the previous one must pass.
func rotateAndKeep(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	s.fetches.reset()
	var oldKeyTally, newKeyTally tally // for tokens of the old key and of the new key
	newToken := s.validToken()
	rotations, earlyCount, longestDelay := 0, 0, time.Duration(0)
	for start := time.Now(); rotations == 0 || time.Since(start) < duration; {
		oldToken, oldKey := newToken, s.rotate()
		newToken = s.validToken()
		pause := pauseAfter(rotations)
		rotations++
		rotatedAt, hasPassed := time.Now(), false
		for (!hasPassed || time.Since(rotatedAt) < pause) &&
			time.Since(rotatedAt) < rotationTimeout {
			got := s.send(oldToken)
			oldKeyTally.add(got, got.Result == aliceID)
			got = s.send(newToken)
			isTooEarly := got.Result == unknownKeyText && !hasPassed &&
				got.Start.Sub(s.fetches.lastFetchStart()) < minFetchInterval+s.tolerance
			newKeyTally.add(got, got.Result == aliceID || isTooEarly)
			if isTooEarly {
				earlyCount++
			}
			if got.Result == aliceID && !hasPassed {
				hasPassed, longestDelay = true, max(longestDelay, time.Since(rotatedAt))
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !hasPassed {
			longestDelay = rotationTimeout
		}
		s.remove(oldKey)
		got := s.send(oldToken) // passes: no unknown key has caused a fetch since the removal
		oldKeyTally.add(got, got.Result == aliceID)
	}
	s.checkValid(&oldKeyTally)
	s.checkTimeSensitive(
		longestDelay <= minFetchInterval+s.tolerance, "tokens of the new key pass within 1 s",
		"%d rotations; at most %v", rotations, longestDelay.Round(time.Millisecond))
	s.checkOutcomes("after the first, all tokens of the new key pass", &newKeyTally)
	s.checkTimeSensitive(newKeyTally.longestWait <= 4*s.tolerance,
		"tokens of the new key wait only until Keycloak has responded",
		"at most %v", newKeyTally.longestWait)
	s.checkTimeSensitive(
		earlyCount > 0 || rotations < 10, "some tokens come too early for a fetch", "%d",
		earlyCount)
	s.checkFetches(rotations, rotations)
	return nil
}

// rotateAndRemove rotates keys as an administrator should after the theft of a key: the old key is
// removed at once. Its tokens must be rejected once the new key has been fetched.
func rotateAndRemove(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	s.fetches.reset()
	var oldKeyTally, newKeyTally tally // for tokens of the old key and of the new key
	rotations, earlyCount, mismatches, longestDelay := 0, 0, 0, time.Duration(0)
	for start := time.Now(); rotations == 0 || time.Since(start) < duration; {
		oldToken, fetchedAt := s.validToken(), s.fetches.lastFetchStart()
		s.remove(s.rotate())
		pause := pauseAfter(rotations)
		rotations++
		rotatedAt, newToken, hasPassed := time.Now(), s.validToken(), false
		for (!hasPassed || time.Since(rotatedAt) < pause) &&
			time.Since(rotatedAt) < rotationTimeout {
			got := s.send(oldToken)
			oldKeyTally.add(got, !hasPassed && got.Result == aliceID ||
				hasPassed && got.Result == unknownKeyText)
			got = s.send(newToken)
			isTooEarly := got.Result == unknownKeyText && !hasPassed &&
				got.Start.Sub(rotatedAt) < minFetchInterval+s.tolerance
			newKeyTally.add(got, got.Result == aliceID || isTooEarly)
			if isTooEarly {
				earlyCount++
			}
			if got.Result == aliceID && !hasPassed {
				hasPassed, longestDelay = true, max(longestDelay, time.Since(rotatedAt))
			}
			if s.fetches.lastFetchStart().After(fetchedAt) != hasPassed {
				mismatches++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !hasPassed {
			longestDelay = rotationTimeout
		}
	}
	s.checkTimeSensitive(
		longestDelay <= minFetchInterval+s.tolerance, "tokens of the new key pass within 1 s",
		"%d rotations; at most %v", rotations, longestDelay.Round(time.Millisecond))
	s.checkOutcomes("after the first, all tokens of the new key pass", &newKeyTally)
	s.checkOutcomes("once a new key's token passes, tokens of the old key are rejected",
		&oldKeyTally)
	s.checkTimeSensitive(
		mismatches == 0, "one fetch adds the new key and removes the old one",
		"wrong %d of %d times", mismatches, newKeyTally.total)
	s.checkTimeSensitive(
		earlyCount > 0 || rotations < 10, "some tokens come too early for a fetch", "%d",
		earlyCount)
	s.checkFetches(rotations, 2*rotations) // tokens of the removed key cause fetches, too
	return nil
}

// rotateUnnoticed removes keys while no token of a new key is sent, so that only the refresher can
// notice the removal.
func rotateUnnoticed(s *system, _ time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	s.rotate()
	var validTally tally
	send := func(token string) {
		got := s.send(token)
		validTally.add(got, got.Result == aliceID)
	}
	send(s.validToken()) // now both keys are cached
	for range 3 {
		token := s.validToken()
		send(token)
		fetchedAt := s.fetches.lastFetchStart()
		time.Sleep(17 * time.Second)
		s.remove(s.rotate())
		for s.fetches.lastFetchStart().Equal(fetchedAt) &&
			time.Since(fetchedAt) <= refreshInterval {
			// Ignore the outcome if a fetch has started meanwhile: then the token may pass or not.
			if got := s.send(token); s.fetches.lastFetchStart().Equal(fetchedAt) {
				validTally.add(got, got.Result == aliceID)
			}
			time.Sleep(time.Second / 2)
		}
		age, result := s.fetches.lastFetchStart().Sub(fetchedAt), s.send(token).Result
		s.check(result == unknownKeyText,
			"a removed key's token is rejected after the refresher's fetch",
			"%s", result)
		s.check(age >= refreshInterval*4/5 && age <= refreshInterval,
			"keys are fetched after 4 to 5 minutes", "%v", age)
		time.Sleep(minFetchInterval)
		send(s.validToken()) // signed with the new key
	}
	s.checkValid(&validTally)
	return nil
}
