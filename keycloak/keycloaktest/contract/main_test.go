package contract

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false,
	"record the responses of the Keycloak at TEST_KEYCLOAK_URL in testdata")

func TestMain(m *testing.M) {
	flag.Parse()
	if *update && os.Getenv("TEST_KEYCLOAK_URL") == "" {
		fmt.Fprintln(os.Stderr,
			"contract: -update records the responses of a real Keycloak: set TEST_KEYCLOAK_URL")
		os.Exit(2)
	}
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		// Suites mostly wait, so more suites than CPUs can run in parallel. The limit is 8,
		// because each suite has realms, and many realms make Keycloak slow: see realmSlots.
		f.Value.Set("8")
	}
	status := m.Run()
	results.report()
	os.Exit(status)
}

// realKeycloak returns the real Keycloak that all suites share, or nil if there is none.
var realKeycloak = sync.OnceValue(func() *realServer {
	if url := os.Getenv("TEST_KEYCLOAK_URL"); url != "" {
		return newRealServer(url)
	}
	return nil
})

// startServers returns the servers to run a suite on. Each suite has its own fake, because
// its scenarios advance the fake's clock.
func startServers(t *testing.T) []server {
	var servers []server
	if srv := realKeycloak(); srv != nil {
		servers = append(servers, srv)
	}
	if *update {
		return servers // only a real Keycloak is recorded
	}
	fake, err := startFake()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return append(servers, fake)
}

// tally.report prints a summary of these variables.
var (
	results               tally
	singleServerScenarios nameSet
)

// A tally records which scenarios passed on each server.
type tally struct {
	mu       sync.Mutex // guards the field below
	byServer map[string]map[string]bool
}

func (t *tally) add(s server, scenario string, passed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byServer == nil {
		t.byServer = map[string]map[string]bool{}
	}
	if t.byServer[s.name()] == nil {
		t.byServer[s.name()] = map[string]bool{}
	}
	t.byServer[s.name()][scenario] = passed
}

// serverResults returns the results on a server by scenario, and how many scenarios passed.
func (t *tally) serverResults(server string) (results map[string]bool, passed int) {
	results = t.byServer[server]
	for _, ok := range results {
		if ok {
			passed++
		}
	}
	return results, passed
}

// report prints the summary.
func (t *tally) report() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fake, passedFake := t.serverResults("fake")
	keycloak, passedKeycloak := t.serverResults("keycloak")
	scenarios, passedBoth := map[string]bool{}, 0
	for scenario := range fake {
		scenarios[scenario] = true
		if fake[scenario] && keycloak[scenario] {
			passedBoth++
		}
	}
	for scenario := range keycloak {
		scenarios[scenario] = true
	}
	line := fmt.Sprintf("contract: %d scenarios; %d passed on the fake", len(scenarios), passedFake)
	if srv := realKeycloak(); srv != nil {
		line += fmt.Sprintf(", %d on Keycloak at %s, %d on both", passedKeycloak, srv.url,
			passedBoth)
	}
	if names := singleServerScenarios.sorted(); len(names) > 0 {
		line += "; on one server only: " + strings.Join(names, ", ")
	}
	fmt.Println(line)
}

// A nameSet is a set of names.
type nameSet struct {
	mu    sync.Mutex // guards the field below
	names []string
}

func (s *nameSet) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.names, name) {
		s.names = append(s.names, name)
	}
}

func (s *nameSet) sorted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.names))
}
