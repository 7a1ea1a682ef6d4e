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
		// Groups mostly wait, and requestSlots limits their requests. With more groups at once,
		// there would be more realms, which make Keycloak slow: see realmSlots.
		f.Value.Set("8")
	}
	status := m.Run()
	results.report()
	os.Exit(status)
}

// realKeycloak is the real Keycloak that all groups share, or nil.
var realKeycloak = sync.OnceValue(func() *realServer {
	if url := os.Getenv("TEST_KEYCLOAK_URL"); url != "" {
		return newRealServer(url)
	}
	return nil
})

// servers returns the servers to run a group on. Each group has its own stand-in, whose clock it
// may advance.
func servers(t *testing.T) []server {
	var s []server
	if k := realKeycloak(); k != nil {
		s = append(s, k)
	}
	if *update {
		return s // only a real Keycloak is recorded
	}
	standIn, err := newStandIn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standIn.Close)
	return append(s, standIn)
}

// results and oneServerOnly are for the summary.
var (
	results       tally
	oneServerOnly nameSet
)

// A tally has the results of exchanges, by server and exchange.
type tally struct {
	mu       sync.Mutex // guards the field below
	byServer map[string]map[string]bool
}

func (c *tally) add(s server, exchange string, passed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byServer == nil {
		c.byServer = map[string]map[string]bool{}
	}
	if c.byServer[s.name()] == nil {
		c.byServer[s.name()] = map[string]bool{}
	}
	c.byServer[s.name()][exchange] = passed
}

// of returns the results on a server, and how many exchanges passed.
func (c *tally) of(server string) (results map[string]bool, passed int) {
	results = c.byServer[server]
	for _, ok := range results {
		if ok {
			passed++
		}
	}
	return results, passed
}

// report prints the summary.
func (c *tally) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	standIn, passedStandIn := c.of("stand-in")
	keycloak, passedKeycloak := c.of("keycloak")
	all, same := map[string]bool{}, 0
	for exchange := range standIn {
		all[exchange] = true
		if standIn[exchange] && keycloak[exchange] {
			same++
		}
	}
	for exchange := range keycloak {
		all[exchange] = true
	}
	line := fmt.Sprintf("contract: %d exchanges; %d passed on the stand-in", len(all), passedStandIn)
	if k := realKeycloak(); k != nil {
		line += fmt.Sprintf(", %d on Keycloak at %s, %d on both", passedKeycloak, k.url, same)
	}
	if names := oneServerOnly.sorted(); len(names) > 0 {
		line += "; on one server only: " + strings.Join(names, ", ")
	}
	fmt.Println(line)
}

// A nameSet is a set of names.
type nameSet struct {
	mu    sync.Mutex // guards the field below
	names []string
}

func (l *nameSet) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.names, name) {
		l.names = append(l.names, name)
	}
}

func (l *nameSet) sorted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.names))
}
