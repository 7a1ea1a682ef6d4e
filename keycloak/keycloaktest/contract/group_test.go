package contract

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A group has the scenarios of one subject. The scenarios share the group's realms, but each has
// its own users: Keycloak counts failed logins per user, and rejects a user's concurrent logins
// while it does.
type group struct {
	t          *testing.T
	kc         server
	name       string
	record     *record
	realmFiles map[*realm]object
	scenarios  []declaration
	allNames   map[string]bool // of all scenarios, including those that don't run on this server
	keys       sync.Map        // the public keys of recorded tokens, by issuer and key ID
}

// A declaration is the name and the code of a scenario.
type declaration struct {
	name string
	run  func(*scenario)
}

// A scenario is the state of a running scenario: a testing.T that also collects the record.
type scenario struct {
	*testing.T
	group        *group
	kc           server
	name         string
	placeholders []string // pairs of a value that differs from run to run and its placeholder
	users        int
	out          strings.Builder

	// These fields are for clock_test.go.
	started   time.Time // by the server's clock
	waited    time.Duration
	issuedBy  map[string]window // of the request that issued a token, by jti
	deadlines []*deadline
}

// run runs a group on every server.
func run(t *testing.T, name string, declare func(*group)) {
	t.Parallel()
	record := readRecord(t, name)
	for _, s := range servers(t) {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			g := &group{t: t, kc: s, name: name, record: record, realmFiles: map[*realm]object{},
				allNames: map[string]bool{}}
			declare(g)
			g.run()
		})
	}
}

// realm declares a realm for all scenarios of the group, which must not change it. {realm} in the
// file stands for the realm's name. On a real Keycloak, where an import takes half a second, groups
// that run at the same time share realms with the same file.
func (g *group) realm(file object) *realm {
	srv, ok := g.kc.(*realServer)
	if !ok {
		r := newRealm(g.kc)
		g.realmFiles[r] = file
		g.t.Cleanup(func() { g.kc.removeRealm(r.name) })
		return r
	}
	r := srv.acquireRealm(file)
	g.realmFiles[r] = file
	g.t.Cleanup(func() { srv.releaseRealm(file) })
	return r
}

// scenario declares a scenario. Its name must be unique in the group, because it is the name of the
// section in the record.
func (g *group) scenario(name string, f func(*scenario)) {
	if g.allNames[name] {
		g.t.Fatalf("there are two scenarios %q", name)
	}
	g.allNames[name] = true
	g.scenarios = append(g.scenarios, declaration{name, f})
}

// scenarioOn declares a scenario that runs only on this server. The summary lists it.
func (g *group) scenarioOn(server, name string, f func(*scenario)) {
	oneServerOnly.add(g.name + ": " + name + " (" + server + ")")
	if g.kc.name() == server {
		g.scenario(name, f)
	}
	g.allNames[name] = true
}

// run imports the realms and runs the scenarios. With -update, it writes the record.
func (g *group) run() {
	var jobs []func()
	var failed sync.Map
	for r, file := range g.realmFiles {
		jobs = append(jobs, func() {
			g.acquireSlot()
			defer g.releaseSlot()
			if err := r.load(file); err != nil {
				failed.Store(r.name, err)
			}
		})
	}
	g.runAll(jobs)
	failed.Range(func(realm, err any) bool {
		g.t.Errorf("import %s: %v", realm, err)
		return true
	})
	if g.t.Failed() {
		return
	}
	jobs = nil
	for _, d := range g.scenarios {
		jobs = append(jobs, func() { g.t.Run(d.name, func(t *testing.T) { g.runScenario(t, d) }) })
	}
	g.runAll(jobs)
	if *update {
		g.record.write(g.t, g.scenarios)
		return
	}
	g.record.checkSections(g.t, g.allNames)
}

// runScenario runs a scenario and checks its record. If the machine was too slow, it tries again.
func (g *group) runScenario(t *testing.T, d declaration) {
	g.acquireSlot()
	defer g.releaseSlot()
	passed := false
	defer func() { results.add(g.kc, g.name+"/"+d.name, passed) }() // also after Fatal
	for attempt := 1; ; attempt++ {
		got, slow := g.attempt(t, d)
		if slow == nil {
			passed = !t.Failed() && g.record.check(t, d.name, got)
			return
		}
		if attempt == maxAttempts {
			t.Fatalf("%v (%d attempts)", slow, attempt)
		}
		t.Logf("retrying: %v", slow)
	}
}

// maxAttempts limits how often a scenario is tried on a slow machine.
const maxAttempts = 6

// attempt runs a scenario. It returns the record, or a tooSlow if the machine was too slow.
func (g *group) attempt(t *testing.T, d declaration) (got string, slow any) {
	s := &scenario{T: t, group: g, kc: g.kc, name: d.name, started: g.kc.now(),
		issuedBy: map[string]window{}}
	for r := range g.realmFiles {
		s.placeholder("{realm}", r.name)
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(tooSlow); !ok {
				panic(r)
			}
			slow = r
		}
	}()
	d.run(s)
	s.checkDeadlines()
	got = strings.TrimSpace(s.out.String()) + "\n\n"
	for i := 0; i < len(s.placeholders); i += 2 {
		if strings.Contains(got, s.placeholders[i]) {
			t.Errorf("the record has %s, which differs from run to run, instead of %s:\n%s",
				s.placeholders[i], s.placeholders[i+1], got)
		}
	}
	return got, nil
}

// runAll runs the jobs, concurrently if the server allows it.
func (g *group) runAll(jobs []func()) {
	var wg sync.WaitGroup
	for _, job := range jobs {
		if g.kc.concurrent() {
			wg.Go(job)
		} else {
			job()
		}
	}
	wg.Wait()
}

// requestSlots limits how many scenarios of all groups run at the same time on a real Keycloak:
// more would only slow each other down.
var requestSlots = semaphore{max: 6}

// A semaphore limits how many callers hold it at the same time.
type semaphore struct {
	max  int
	mu   sync.Mutex // guards the fields below
	held int
	cond *sync.Cond // signals that held is less than max
}

func (s *semaphore) acquire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cond == nil {
		s.cond = sync.NewCond(&s.mu)
	}
	for s.held >= s.max {
		s.cond.Wait()
	}
	s.held++
}

// reacquire acquires the semaphore without waiting, even beyond max: after scenario.wait, a
// scenario must continue on time.
func (s *semaphore) reacquire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held++
}

func (s *semaphore) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	if s.held < s.max {
		s.cond.Signal()
	}
}

func (g *group) acquireSlot() {
	if g.kc.concurrent() {
		requestSlots.acquire()
	}
}

func (g *group) releaseSlot() {
	if g.kc.concurrent() {
		requestSlots.release()
	}
}

// wait waits for d, and lets other scenarios run in the meantime.
func (s *scenario) wait(d time.Duration) {
	defer func() { s.waited += d }()
	if !s.kc.concurrent() {
		s.kc.wait(d)
		return
	}
	requestSlots.release()
	defer requestSlots.reacquire()
	s.kc.wait(d)
}

// placeholder sets the name that replaces a value in the record, because the value differs from run
// to run.
func (s *scenario) placeholder(name, value string) {
	s.placeholders = append(s.placeholders, value, name)
	if upper := strings.ToUpper(value); upper != value {
		s.placeholders = append(s.placeholders, upper, strings.ToUpper(name))
	}
}

// note records a line of text about a fact that a single response doesn't show, such as that two
// responses agree.
func (s *scenario) note(format string, args ...any) {
	fmt.Fprintf(&s.out, "# "+format+"\n", args...)
}

// must ends the scenario if err isn't nil.
func (s *scenario) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// A realm is a realm on one server.
type realm struct {
	kc   server
	name string
	// tries is how often to try an import that gets a 500. Keycloak sends it for a bad file, but
	// also because of a race: see realServer.call.
	tries int

	once sync.Once // sets the field below
	err  error
}

// newRealm returns a realm that isn't imported yet.
func newRealm(s server) *realm { return &realm{kc: s, name: "c-" + randomName(), tries: 3} }

// randomName returns a random name.
func randomName() string { return strings.ToLower(rand.Text()[:10]) }

// load imports the realm on the first call, and returns the error of that import.
func (r *realm) load(file object) error {
	r.once.Do(func() {
		file = merge(file, object{"realm": r.name})
		text, err := json.Marshal(file)
		if err != nil {
			r.err = err
			return
		}
		clear(file)
		text = []byte(strings.ReplaceAll(string(text), "{realm}", r.name))
		if r.err = json.Unmarshal(text, &file); r.err != nil {
			return
		}
		for range r.tries {
			r.err = r.kc.importRealm(file)
			var importErr *importError
			if !errors.As(r.err, &importErr) || importErr.status != http.StatusInternalServerError {
				return
			}
		}
	})
	return r.err
}

// realm imports a realm for this scenario only. The scenario may change it.
func (s *scenario) realm(file object) *realm {
	s.Helper()
	r, err := s.tryRealm(file)
	s.must(err)
	return r
}

// tryRealm is like realm, for a file that the server may reject with an *importError.
func (s *scenario) tryRealm(file object) (*realm, error) {
	r := newRealm(s.kc)
	s.placeholder("{realm}", r.name)
	if recorded := s.group.record.sections[s.name]; !*update &&
		(strings.HasPrefix(recorded, "# refused\n") ||
			strings.HasPrefix(recorded, "# refused: true")) {
		r.tries = 1
	}
	err := r.load(file)
	if err == nil {
		s.Cleanup(func() { s.kc.removeRealm(r.name) })
	}
	return r, err
}

// url returns a URL in the realm. For the path "", it is the issuer; the realm info is at that URL.
func (r *realm) url(path string) string { return r.kc.base() + "/realms/" + r.name + path }

// oidc returns the URL of an OpenID Connect endpoint, such as "/token".
func (r *realm) oidc(path string) string { return r.url("/protocol/openid-connect" + path) }

// patch changes the realm.
func (r *realm) patch(s *scenario, patch object) {
	s.Helper()
	s.must(r.kc.patchRealm(r.name, patch))
}

// patchClient changes a client.
func (r *realm) patchClient(s *scenario, clientID string, patch object) {
	s.Helper()
	s.must(r.kc.patchClient(clientRef{r.name, clientID}, patch))
}

// A user is a user of one scenario. The password is "secret".
type user struct {
	userRef
	realm    *realm
	username string
}

// user adds an enabled user with an e-mail address and names, so that signing in has no required
// actions. Settings override these fields; nil removes a field. {user} in a setting stands for the
// username.
func (s *scenario) user(r *realm, settings object) *user {
	s.Helper()
	u := &user{userRef{realm: r.name}, r, "u" + randomName()}
	file := merge(object{
		"username": "{user}", "enabled": true, "email": "{user}@example.com", "firstName": "Test",
		"lastName":    "User",
		"credentials": []object{{"type": "password", "value": "secret", "temporary": false}},
	}, settings)
	maps.DeleteFunc(file, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(file)
	s.must(err)
	clear(file)
	s.must(json.Unmarshal([]byte(strings.ReplaceAll(string(text), "{user}", u.username)), &file))
	u.id, err = s.kc.addUser(r.name, file)
	s.must(err)
	s.users++
	name := "user"
	if s.users > 1 {
		name = fmt.Sprint("user", s.users)
	}
	s.placeholder("{"+name+"}", u.username)
	s.placeholder("{"+name+" id}", u.id)
	return u
}

// form returns a form with these pairs of a name and a value. A name may occur several times.
func form(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values
}

// with returns a copy of a form with these pairs set.
func with(values url.Values, pairs ...string) url.Values {
	values = maps.Clone(values)
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// without returns a copy of a form without these names.
func without(values url.Values, names ...string) url.Values {
	values = maps.Clone(values)
	for _, name := range names {
		values.Del(name)
	}
	return values
}

// sortedKeys returns the sorted keys of a map.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// asString returns value if it is a string, and "" otherwise.
func asString(value any) string {
	s, _ := value.(string)
	return s
}
