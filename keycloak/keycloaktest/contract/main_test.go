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
	"record the answers of the Keycloak at TEST_KEYCLOAK_URL in testdata")

func TestMain(m *testing.M) {
	flag.Parse()
	if *update && os.Getenv("TEST_KEYCLOAK_URL") == "" {
		fmt.Fprintln(os.Stderr,
			"contract: -update records what a real Keycloak answers: TEST_KEYCLOAK_URL must "+
				"name one")
		os.Exit(2)
	}
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		// Groups mostly wait; asking bounds what they ask. More of them would keep more realms
		// alive: see few.
		f.Value.Set("8")
	}
	status := m.Run()
	played.report()
	os.Exit(status)
}

// realKeycloak is the Keycloak of all groups, or nil.
var realKeycloak = sync.OnceValue(func() *realSide {
	if url := os.Getenv("TEST_KEYCLOAK_URL"); url != "" {
		return newRealSide(url)
	}
	return nil
})

// sides are the sides to play a group on. The stand-in is started for each group: its clock is the
// group's.
func sides(t *testing.T) []side {
	var s []side
	if k := realKeycloak(); k != nil {
		s = append(s, k)
	}
	if *update {
		return s // what the stand-in says is no truth to record
	}
	standIn, err := newStandIn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standIn.Close)
	return append(s, standIn)
}

// played and oneSideOnly are the suite's account of itself, for the line at its end.
var (
	played      tally
	oneSideOnly list
)

// A tally says which exchanges held on which side.
type tally struct {
	mu    sync.Mutex // guards the field below
	sides map[string]map[string]bool
}

func (c *tally) count(s side, exchange string, held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sides == nil {
		c.sides = map[string]map[string]bool{}
	}
	if c.sides[s.name()] == nil {
		c.sides[s.name()] = map[string]bool{}
	}
	c.sides[s.name()][exchange] = held
}

// held returns what was played on a side, and how much of it held.
func (c *tally) held(side string) (played map[string]bool, held int) {
	played = c.sides[side]
	for _, ok := range played {
		if ok {
			held++
		}
	}
	return played, held
}

func (c *tally) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	standIn, heldStandIn := c.held("stand-in")
	keycloak, heldKeycloak := c.held("keycloak")
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
	line := fmt.Sprintf("contract: %d exchanges; %d held on the stand-in", len(all), heldStandIn)
	if k := realKeycloak(); k != nil {
		line += fmt.Sprintf(", %d on Keycloak at %s, %d the same on both", heldKeycloak, k.url,
			same)
	}
	if names := oneSideOnly.sorted(); len(names) > 0 {
		line += "; one side only: " + strings.Join(names, ", ")
	}
	fmt.Println(line)
}

// A list collects names, each once.
type list struct {
	mu    sync.Mutex // guards the field below
	names []string
}

func (l *list) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.names, name) {
		l.names = append(l.names, name)
	}
}

func (l *list) sorted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.names))
}
