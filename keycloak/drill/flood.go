package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// sendUnknownKeys sends a token with an unknown key each millisecond. It leaves two connections for
// other tokens. It calls handle with each outcome, concurrently.
func (s *system) sendUnknownKeys(duration time.Duration, handle func(outcome)) {
	var wg sync.WaitGroup
	start := time.Now()
	for sender := range connectionCount - 2 {
		wg.Go(func() {
			for n := sender; ; n += connectionCount - 2 {
				sendTime := time.Duration(n) * time.Millisecond
				if sendTime >= duration {
					return
				}
				time.Sleep(time.Until(start.Add(sendTime)))
				handle(s.send(s.unknownKeyToken(n)))
			}
		})
	}
	wg.Wait()
}

// heapInUse returns the size of the heap in bytes, after garbage collection.
func heapInUse() int {
	var stats runtime.MemStats
	for range 2 { // a sync.Pool is emptied by the second collection
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// flood sends a thousand unknown key IDs a second while keys rotate. The IDs must not delay the use
// of a new key, and must not cause more fetches or waits than one unknown key a second does.
// Meanwhile, flood sends tokens signed before each rotation, and the first token signed with each
// new key.
func flood(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	firstToken := s.validToken() // its key stays in the key set
	var newestToken atomic.Pointer[string]
	newestToken.Store(&firstToken)
	s.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Delay: keysDelay})
	s.fetches.reset()

	var wg sync.WaitGroup
	for range connectionCount { // open all connections before memory is measured
		wg.Go(func() { s.send(firstToken) })
	}
	wg.Wait()
	var unknownTally, validTally, newKeyTally tally
	var mu sync.Mutex             // guards unavailableAt
	var unavailableAt []time.Time // when tokens couldn't wait for a fetch
	heapBefore, start := heapInUse(), time.Now()
	wg.Go(func() {
		s.sendUnknownKeys(duration, func(got outcome) {
			unknownTally.add(got, got.isKeyMissing() &&
				(got.Result == unknownKeyText || got.WaitTime == 0 || s.tolerance > 0))
			if got.Result == unavailableText {
				mu.Lock()
				unavailableAt = append(unavailableAt, got.Start)
				mu.Unlock()
			}
		})
	})
	sentCount := 0
	stop := s.sendRepeatedly(&validTally, 5*time.Millisecond, func() string {
		sentCount++ // alternate between the tokens
		return []string{firstToken, *newestToken.Load()}[sentCount%2]
	}, aliceID)
	var oldKeys []string // oldest first
	longestDelay := time.Duration(0)
	// With this interval, rotations come at various times after a fetch.
	const rotationInterval = 2700 * time.Millisecond
	nextRotation, lastRotation := start.Add(minFetchInterval), start.Add(duration-2*time.Second)
	for len(oldKeys) == 0 || nextRotation.Before(lastRotation) {
		time.Sleep(time.Until(nextRotation))
		nextRotation = nextRotation.Add(rotationInterval)
		oldKeys = append(oldKeys, s.rotate())
		token := s.validToken()
		elapsed, _ := waitUntil(2*minFetchInterval, func() bool {
			got := s.send(token)
			newKeyTally.add(got, got.Result == aliceID || got.isKeyMissing())
			return got.Result == aliceID
		})
		longestDelay = max(longestDelay, elapsed)
		newestToken.Store(&token)
		if n := len(oldKeys); n > 2 { // keep the first key
			s.remove(oldKeys[n-2])
		}
	}
	wg.Wait()
	stop()
	elapsed := time.Since(start)

	rate := float64(unknownTally.total) / elapsed.Seconds()
	s.checkTimeSensitive(rate > 900 || elapsed > duration+minFetchInterval,
		"1000 unknown key IDs a second, 64 connections",
		"%.0f a second", rate)
	s.check(unknownTally.total == int((duration+time.Millisecond-1)/time.Millisecond),
		"all tokens are sent",
		"%d", unknownTally.total)
	s.checkTimeSensitive(
		unknownTally.wrongCount == 0, "each token's key is unknown, or still being fetched",
		"%d other responses%s", unknownTally.wrongCount, unknownTally.firstWrong)
	// Each fetch starts as early as allowed.
	fetches := s.checkFetches(max(1, int(duration/(minFetchInterval+time.Millisecond+s.tolerance))),
		1+int(elapsed/(minFetchInterval-s.tolerance/5)))
	// The tolerance is 6 ms: a token of the new key is sent each 5 ms, and the unknown key that
	// starts the next fetch comes up to 1 ms late.
	s.checkTimeSensitive(longestDelay <= minFetchInterval+6*time.Millisecond+s.tolerance,
		"a new key's token passes within 1 s",
		"%d rotations; at most %v", len(oldKeys), longestDelay.Round(time.Millisecond))
	s.checkTimeSensitive(
		newKeyTally.wrongCount == 0,
		"until a new key's token passes, its key is unknown, or still being fetched",
		"%d other responses%s", newKeyTally.wrongCount, newKeyTally.firstWrong)
	waiters := maxWaitingAtOnce(unknownTally.waits)
	// With a fake clock, nearly every fetch has maxWaiters waiters. One of these may be the request
	// with the new key's token.
	s.checkTimeSensitive(waiters <= maxWaiters && (s.tolerance > 0 || waiters >= maxWaiters-1),
		fmt.Sprintf("at most %d requests wait at the same time", maxWaiters), "%d", waiters)
	s.checkTimeSensitive(len(unknownTally.waits) <= maxWaiters*len(fetches) &&
		unknownTally.longestWait <= keysDelay+s.tolerance,
		"each waiting request waits for one fetch", "%d waits, at most %v, for %d fetches of %v",
		len(unknownTally.waits),
		unknownTally.longestWait.Round(time.Millisecond), len(fetches), keysDelay)
	outsideFetchCount := 0
	for _, at := range unavailableAt {
		if !slices.ContainsFunc(fetches, func(fetchStart time.Time) bool {
			return !at.Before(fetchStart.Add(-s.tolerance)) &&
				!at.After(fetchStart.Add(keysDelay+s.tolerance))
		}) {
			outsideFetchCount++
		}
	}
	s.checkTimeSensitive(outsideFetchCount == 0 && (len(unavailableAt) > 0 || s.tolerance > 0),
		"keys are unavailable only during a fetch", "%d of %d at another time",
		outsideFetchCount, len(unavailableAt))
	s.checkValid(&validTally)
	p50, p99 := validTally.percentile(0.5), validTally.percentile(0.99)
	s.checkTimeSensitive(p99 < keysDelay/2, "valid tokens pass at once", "p50 %v, p99 %v",
		p50.Round(10*time.Microsecond), p99.Round(10*time.Microsecond))
	loggedLines := s.log.drain()
	s.checkTimeSensitive(len(loggedLines) == 0, "nothing is logged", "%d lines: %.200q",
		len(loggedLines), loggedLines)
	// Free the records before memory is measured.
	unknownTally, validTally, newKeyTally, unavailableAt = tally{}, tally{}, tally{}, nil
	maxGrowth := 1 << 20
	if s.client != nil {
		maxGrowth = 4 << 20 // for the connections' buffers
	}
	heapAfter := heapInUse()
	s.check(heapAfter-heapBefore < maxGrowth, "memory doesn't grow",
		"heap %d KiB before, %d KiB after",
		heapBefore>>10, heapAfter>>10)
	return nil
}

// sendDuringSlowFetches sends tokens with unknown keys, and checks that fetches start at least a
// second apart even if each takes almost a second, whether the refresher or a request starts them.
func sendDuringSlowFetches(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	s.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Delay: 700 * time.Millisecond})
	var unknownTally tally
	var wg sync.WaitGroup
	for n := range int(duration / (100 * time.Millisecond)) {
		time.Sleep(100 * time.Millisecond)
		wg.Go(func() {
			got := s.send(s.unknownKeyToken(n))
			unknownTally.add(got, got.isKeyMissing())
		})
	}
	wg.Wait()
	time.Sleep(fetchTimeout)
	s.checkOutcomes("each token's key is unknown, or still being fetched", &unknownTally)
	s.checkFetches(int(duration/minFetchInterval)*5/6, 2+int(duration/minFetchInterval))
	return nil
}

// floodWhileHanging checks that while a fetch hangs, a few requests wait a second each, and the
// others don't wait.
func floodWhileHanging(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	restore := s.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Hang: true})
	s.fetches.reset()
	token := s.validToken()
	var validTally, unknownTally tally
	stop := s.sendRepeatedly(&validTally, 10*time.Millisecond, func() string { return token },
		aliceID)
	s.sendUnknownKeys(
		duration, func(got outcome) { unknownTally.add(got, got.Result == unavailableText) })
	stop()
	s.checkValid(&validTally)
	s.checkOutcomes("tokens with unknown keys get ErrKeysUnavailable", &unknownTally)
	fetches := s.checkFetches(2, 3)
	s.checkTimeSensitive(minGap(fetches) >= fetchTimeout+maxWait-s.tolerance,
		"the next fetch starts a second after the last one ended", "at %v", fetches)
	waiters := maxWaitingAtOnce(unknownTally.waits)
	s.checkTimeSensitive(waiters == maxWaiters, "16 requests wait at the same time", "%d", waiters)
	// When a request has waited for maxWait, another may wait in its place.
	maxWaits := maxWaiters * int(fetchTimeout/maxWait) * len(fetches)
	s.checkTimeSensitive(
		len(unknownTally.waits) <= maxWaits,
		fmt.Sprintf("at most %d requests wait in total", maxWaits), "%d",
		len(unknownTally.waits))
	s.checkTimeSensitive(
		unknownTally.longestWait <= maxWait+s.tolerance, "no request waits longer than 1 s",
		"%v", unknownTally.longestWait)
	s.checkStatus(statusStale, 1)
	restore()
	s.checkRecovery(fetchTimeout+maxRetryInterval, token)
	result := s.send(s.unknownKeyToken(0)).Result
	s.checkTimeSensitive(
		result == unknownKeyText, "tokens with unknown keys get ErrKeyUnknown again", "%s", result)
	return nil
}

// tamperSignature changes a character of a token's signature.
func tamperSignature(token string) string {
	i, char := len(token)-80, "A"
	if token[i:i+1] == char {
		char = "B"
	}
	return token[:i] + char + token[i+1:]
}

// verifyTenThousandAtOnce verifies tokens on ten thousand goroutines while keys rotate. The
// goroutines call the middleware without connections, so they compete for the key set. Each must
// get the outcome for its own token.
func verifyTenThousandAtOnce(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	const users, goroutines = 100, 10_000
	userID := func(user int) string { return fmt.Sprint("user-", user) }
	tokensForUsers := func(lifetime time.Duration) (tokens []string) {
		for user := range users {
			tokens = append(tokens,
				s.mint(keycloaktest.TokenSpec{Lifetime: lifetime,
					Claims: map[string]any{"sub": userID(user)}}))
		}
		return tokens
	}
	oldTokens, expiredTokens := tokensForUsers(2*maxAge), tokensForUsers(-time.Hour)
	var tamperedTokens []string
	for _, token := range oldTokens {
		tamperedTokens = append(tamperedTokens, tamperSignature(token))
	}
	s.rotate()
	newTokens := tokensForUsers(2 * maxAge)
	time.Sleep(minFetchInterval)
	type newToken struct {
		token    string
		mintedAt time.Time
	}
	var newestToken atomic.Pointer[newToken]
	newestToken.Store(&newToken{s.validToken(), time.Now()})
	if got := s.send(newTokens[0]).Result; got != userID(0) {
		return fmt.Errorf("the new key wasn't fetched: %s", got)
	}
	s.fetches.reset()
	var tallies [6]tally // by kind of token
	var wg sync.WaitGroup
	start := time.Now()
	for index := range goroutines {
		wg.Go(func() {
			for round := 0; round < 3 || time.Since(start) < duration; round++ {
				user, kind := (index+round)%users, (index/users+round)%len(tallies)
				var token, want string
				// keyMayBeMissing also allows the outcome that the key is missing. In real time,
				// the machine may be so busy that a fetch takes long or fails.
				keyMayBeMissing := false
				switch kind {
				case 0:
					token, want = oldTokens[user], userID(user)
				case 1:
					token, want = newTokens[user], userID(user)
				case 2:
					token, want, keyMayBeMissing = s.unknownKeyToken(index), unknownKeyText, true
				case 3:
					token, want = expiredTokens[user], identity.ErrTokenExpired.Error()
				case 4:
					token, want = tamperedTokens[user], identity.ErrTokenSignature.Error()
				case 5:
					currentToken := newestToken.Load()
					token, want = currentToken.token, aliceID
					keyMayBeMissing = s.tolerance > 0 ||
						time.Since(currentToken.mintedAt) <= minFetchInterval
				}
				got := s.verifyDirect(token)
				tallies[kind].add(got, got.Result == want ||
					keyMayBeMissing && (got.isKeyMissing() || s.tolerance > 0 &&
						got.Result == unavailableText))
				// Pause as a network would; otherwise the fetches would get no CPU time.
				time.Sleep(300*time.Millisecond + time.Duration(index%7)*100*time.Millisecond)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	rotations, wrongStatusCount := 0, 0
	for isRunning := true; isRunning; {
		select {
		case <-done:
			isRunning = false
		case <-time.After(70 * time.Millisecond):
			if rotations < 90 { // a key set holds at most a hundred keys
				rotations++
				s.rotate()
				newestToken.Store(&newToken{s.validToken(), time.Now()})
			}
			// In real time a fetch may fail for lack of processor time.
			if s.status() != statusFresh && (s.tolerance == 0 || s.status() != statusStale) {
				wrongStatusCount++
			}
		}
	}
	total, wrongCount, firstWrong, minTotal := 0, 0, "", tallies[0].total
	for i := range tallies {
		outcomes := &tallies[i]
		total, wrongCount = total+outcomes.total, wrongCount+outcomes.wrongCount
		minTotal = min(minTotal, outcomes.total)
		firstWrong += outcomes.firstWrong
	}
	s.check(wrongCount == 0, "each token gets its own outcome",
		"%d of %d wrong, with %d rotations%s",
		wrongCount, total, rotations, firstWrong)
	s.check(minTotal >= total/7, "a sixth of the tokens are of each kind", "at least %d", minTotal)
	s.checkTimeSensitive(rotations >= 20, "keys rotate meanwhile", "%d times", rotations)
	s.checkTimeSensitive(wrongStatusCount == 0, "keys stay usable", "another status %d times",
		wrongStatusCount)
	elapsed := time.Since(start)
	s.checkFetches(1, 1+int(elapsed/(minFetchInterval-s.tolerance/5)))
	return nil
}
