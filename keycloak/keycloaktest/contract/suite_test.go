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

// A testSuite has the scenarios for one subject. The scenarios share the suite's realms, but each
// scenario adds its own users: Keycloak counts failed logins per user, and while it counts, it
// rejects other logins of that user.
type testSuite struct {
	t               *testing.T
	kc              server
	name            string
	recording       *recording
	representations map[*realm]object
	scenarios       []declaration
	// scenarioNames has the names of all scenarios, even if they don't run on this server.
	scenarioNames map[string]bool
	publicKeys    sync.Map // the keys that verify recorded tokens, by issuer and key ID
}

// A declaration is the name and the code of a scenario.
type declaration struct {
	name string
	run  func(*scenario)
}

// A scenario runs a declaration once. It is a testing.T that also records the responses.
type scenario struct {
	*testing.T
	suite        *testSuite
	kc           server
	name         string
	placeholders []string // each value that differs from run to run, followed by its placeholder
	userCount    int
	out          strings.Builder

	// These fields are for clock_test.go.
	startedAt    time.Time         // by the server's clock
	waited       time.Duration     // the total time in wait
	issueWindows map[string]window // when each token was issued, by jti
	deadlines    []*deadline
}

// run runs a suite on every server.
func run(t *testing.T, name string, declare func(*testSuite)) {
	t.Parallel()
	recording := readRecording(t, name)
	for _, s := range startServers(t) {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			suite := &testSuite{t: t, kc: s, name: name, recording: recording,
				representations: map[*realm]object{}, scenarioNames: map[string]bool{}}
			declare(suite)
			suite.run()
		})
	}
}

// addRealm adds a realm for all scenarios of the suite. They must not change the realm. {realm} in
// representation stands for the realm's name. On a real Keycloak, suites that run at the same time
// share a realm if its representation is the same, because an import takes half a second.
func (suite *testSuite) addRealm(representation object) *realm {
	srv, ok := suite.kc.(*realServer)
	if !ok {
		r := newRealm(suite.kc)
		suite.representations[r] = representation
		suite.t.Cleanup(func() { suite.kc.removeRealm(r.name) })
		return r
	}
	r := srv.acquireRealm(representation)
	suite.representations[r] = representation
	suite.t.Cleanup(func() { srv.releaseRealm(representation) })
	return r
}

// add adds a scenario. Its name must be unique in the suite, because the scenario's section in the
// recording has that name.
func (suite *testSuite) add(name string, f func(*scenario)) {
	if suite.scenarioNames[name] {
		suite.t.Fatalf("two scenarios have the name %q", name)
	}
	suite.scenarioNames[name] = true
	suite.scenarios = append(suite.scenarios, declaration{name, f})
}

// addForServer adds a scenario that runs only on the named server.
func (suite *testSuite) addForServer(server, name string, f func(*scenario)) {
	if suite.kc.name() == server {
		suite.add(name, f)
	}
	suite.registerForServer(server, name)
}

// registerForServer registers the name of a scenario that runs only on the named server. The
// summary lists the scenario, and the recording may have a section for it.
func (suite *testSuite) registerForServer(server, name string) {
	singleServerScenarios.add(suite.name + ": " + name + " (" + server + ")")
	suite.scenarioNames[name] = true
}

// run imports the realms and runs the scenarios. With -update, it writes the recording.
func (suite *testSuite) run() {
	var jobs []func()
	var importErrs sync.Map // by realm
	for r, representation := range suite.representations {
		jobs = append(jobs, func() {
			suite.acquireSlot()
			defer suite.releaseSlot()
			if err := r.load(representation); err != nil {
				importErrs.Store(r.name, err)
			}
		})
	}
	suite.runAll(jobs)
	importErrs.Range(func(realm, err any) bool {
		suite.t.Errorf("import %s: %v", realm, err)
		return true
	})
	if suite.t.Failed() {
		return
	}
	jobs = nil
	for _, d := range suite.scenarios {
		jobs = append(jobs, func() {
			suite.t.Run(d.name, func(t *testing.T) { suite.runScenario(t, d) })
		})
	}
	suite.runAll(jobs)
	if *update {
		suite.recording.write(suite.t, suite.scenarios)
		return
	}
	suite.recording.checkSections(suite.t, suite.scenarioNames)
}

// runScenario runs a scenario and checks its record. If the scenario misses a deadline, it runs
// again.
func (suite *testSuite) runScenario(t *testing.T, d declaration) {
	suite.acquireSlot()
	defer suite.releaseSlot()
	passed := false
	defer func() { results.add(suite.kc, suite.name+"/"+d.name, passed) }() // also after Fatal
	for attempt := 1; ; attempt++ {
		got, missed := suite.attempt(t, d)
		if missed == nil {
			passed = !t.Failed() && suite.recording.check(t, d.name, got)
			return
		}
		if attempt == maxAttempts {
			t.Fatalf("%v (%d attempts)", missed, attempt)
		}
		t.Logf("running again: %v", missed)
	}
}

// maxAttempts limits how often a scenario runs if it keeps missing a deadline.
const maxAttempts = 6

// attempt runs a scenario once. It returns the record, or the deadline that the scenario missed.
func (suite *testSuite) attempt(t *testing.T, d declaration) (got string, missed *missedDeadline) {
	s := &scenario{T: t, suite: suite, kc: suite.kc, name: d.name, startedAt: suite.kc.now(),
		issueWindows: map[string]window{}}
	for r := range suite.representations {
		s.addPlaceholder("{realm}", r.name)
	}
	defer func() {
		if r := recover(); r != nil {
			deadline, ok := r.(missedDeadline)
			if !ok {
				panic(r)
			}
			missed = &deadline
		}
	}()
	d.run(s)
	s.checkDeadlines()
	got = strings.TrimSpace(s.out.String()) + "\n\n"
	for i := 0; i < len(s.placeholders); i += 2 {
		if strings.Contains(got, s.placeholders[i]) {
			t.Errorf("the record contains %s, want the placeholder %s:\n%s",
				s.placeholders[i], s.placeholders[i+1], got)
		}
	}
	return got, nil
}

// runAll runs the jobs, concurrently if the server allows it.
func (suite *testSuite) runAll(jobs []func()) {
	var wg sync.WaitGroup
	for _, job := range jobs {
		if suite.kc.concurrent() {
			wg.Go(job)
		} else {
			job()
		}
	}
	wg.Wait()
}

// scenarioSlots limits how many scenarios of all suites run at the same time on a real Keycloak.
// More scenarios would only slow each other down.
var scenarioSlots = semaphore{capacity: 6}

// A semaphore limits how many callers hold it at the same time.
type semaphore struct {
	capacity int

	mu    sync.Mutex // guards the fields below
	inUse int
	cond  *sync.Cond // signals that inUse is less than capacity
}

func (s *semaphore) acquire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cond == nil {
		s.cond = sync.NewCond(&s.mu)
	}
	for s.inUse >= s.capacity {
		s.cond.Wait()
	}
	s.inUse++
}

// reacquire acquires the semaphore without waiting, even if it is full already. After
// scenario.wait, a scenario must continue on time.
func (s *semaphore) reacquire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse++
}

func (s *semaphore) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse--
	if s.inUse < s.capacity {
		s.cond.Signal()
	}
}

func (suite *testSuite) acquireSlot() {
	if suite.kc.concurrent() {
		scenarioSlots.acquire()
	}
}

func (suite *testSuite) releaseSlot() {
	if suite.kc.concurrent() {
		scenarioSlots.release()
	}
}

// wait waits for d, and lets other scenarios run in the meantime.
func (s *scenario) wait(d time.Duration) {
	defer func() { s.waited += d }()
	if !s.kc.concurrent() {
		s.kc.wait(d)
		return
	}
	scenarioSlots.release()
	defer scenarioSlots.reacquire()
	s.kc.wait(d)
}

// addPlaceholder makes the record show name instead of value, which differs from run to run.
func (s *scenario) addPlaceholder(name, value string) {
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
	// importAttempts limits how often load sends an import that gets a 500. Keycloak responds with
	// a 500 to a bad realm, but also because of a race: see realServer.call.
	importAttempts int

	once sync.Once // sets the field below
	err  error
}

// newRealm returns a realm that isn't imported yet.
func newRealm(s server) *realm {
	return &realm{kc: s, name: "c-" + randomName(), importAttempts: 3}
}

// randomName returns a random name.
func randomName() string { return strings.ToLower(rand.Text()[:10]) }

// load imports the realm when it is first called. Every call returns the error of that import.
func (r *realm) load(representation object) error {
	r.once.Do(func() {
		representation = merge(representation, object{"realm": r.name})
		text, err := json.Marshal(representation)
		if err != nil {
			r.err = err
			return
		}
		clear(representation)
		text = []byte(strings.ReplaceAll(string(text), "{realm}", r.name))
		if r.err = json.Unmarshal(text, &representation); r.err != nil {
			return
		}
		for range r.importAttempts {
			r.err = r.kc.importRealm(representation)
			var importErr *importError
			if !errors.As(r.err, &importErr) || importErr.status != http.StatusInternalServerError {
				return
			}
		}
	})
	return r.err
}

// importRealm imports a realm for this scenario only. The scenario may change the realm.
func (s *scenario) importRealm(representation object) *realm {
	s.Helper()
	r, err := s.tryImport(representation)
	s.must(err)
	return r
}

// tryImport is like importRealm, but returns the error. It is an *importError if the server rejects
// the realm.
func (s *scenario) tryImport(representation object) (*realm, error) {
	r := newRealm(s.kc)
	s.addPlaceholder("{realm}", r.name)
	if recorded := s.suite.recording.sections[s.name]; !*update &&
		(strings.HasPrefix(recorded, "# refused\n") ||
			strings.HasPrefix(recorded, "# refused: true")) {
		r.importAttempts = 1 // Keycloak may reject the realm with a 500
	}
	err := r.load(representation)
	if err == nil {
		s.Cleanup(func() { s.kc.removeRealm(r.name) })
	}
	return r, err
}

// url returns the URL of a path in the realm. url("") returns the issuer, which is also the URL of
// the realm info.
func (r *realm) url(path string) string { return r.kc.baseURL() + "/realms/" + r.name + path }

// endpoint returns the URL of an OpenID Connect endpoint, such as "/token".
func (r *realm) endpoint(path string) string { return r.url("/protocol/openid-connect" + path) }

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

// addUser adds an enabled user with an e-mail address and names, so that Keycloak requires no
// action at login. userFields override these fields; nil removes a field. {user} in a value stands
// for the username.
func (s *scenario) addUser(r *realm, userFields object) *user {
	s.Helper()
	u := &user{userRef{realm: r.name}, r, "u" + randomName()}
	representation := merge(object{
		"username": "{user}", "enabled": true, "email": "{user}@example.com", "firstName": "Test",
		"lastName":    "User",
		"credentials": []object{{"type": "password", "value": "secret", "temporary": false}},
	}, userFields)
	maps.DeleteFunc(representation, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(representation)
	s.must(err)
	clear(representation)
	withUsername := strings.ReplaceAll(string(text), "{user}", u.username)
	s.must(json.Unmarshal([]byte(withUsername), &representation))
	u.id, err = s.kc.addUser(r.name, representation)
	s.must(err)
	s.userCount++
	name := "user"
	if s.userCount > 1 {
		name = fmt.Sprint("user", s.userCount)
	}
	s.addPlaceholder("{"+name+"}", u.username)
	s.addPlaceholder("{"+name+" id}", u.id)
	return u
}

// form returns a form. pairs are names and values; a name may occur several times.
func form(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values
}

// withParams returns a copy of a form with these parameters set. pairs are names and values.
func withParams(values url.Values, pairs ...string) url.Values {
	values = maps.Clone(values)
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// withoutParams returns a copy of a form without the named parameters.
func withoutParams(values url.Values, names ...string) url.Values {
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
