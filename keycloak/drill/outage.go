package main

import (
	"fmt"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// outage takes Keycloak away, while people come with good tokens and strangers with junk.
func outage(length time.Duration) ([]row, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	time.Sleep(floor) // so that the next one to come may cause a fetch
	token, err := s.token(keycloaktest.Mint{})
	if err != nil {
		return nil, err
	}
	s.line.lead("")
	s.kc.Down()
	var good, junk tally
	begin := time.Now()
	for n := 0; n == 0 || time.Since(begin) < length; n++ {
		sent := time.Now()
		said := s.ask(token)
		good.add(said, time.Since(sent), said == alice)
		sent = time.Now()
		said = s.ask(s.junk(n))
		junk.add(said, time.Since(sent), said == unavailable)
		time.Sleep(5 * time.Millisecond)
	}
	down := time.Since(begin)
	times, _, most := s.line.fetches()
	s.kc.Up()
	back, well := until(2*backAt, func() bool { _, failure := s.keys.Status(); return failure == nil })
	const drill = "Keycloak down"
	return []row{
		{drill, "no valid token refused", fmt.Sprintf("%d of %d refused in %v%s; p99 %v", good.wrong, good.all(), down.Round(time.Second/10), good.first, good.percentile(0.99).Round(10*time.Microsecond)), good.wrong == 0, false},
		{drill, "of unknown keys the outage is blamed", fmt.Sprintf("%d of %d told otherwise%s", junk.wrong, junk.all(), junk.first), junk.wrong == 0, false},
		{drill, "Keycloak is tried, but not more than that", fmt.Sprintf("%d fetches, at most %d in any second", len(times), most), most == 1, true},
		{drill, "found to be back within 5 s", back.Round(time.Millisecond).String(), well && back <= backAt+slack, true},
	}, nil
}
