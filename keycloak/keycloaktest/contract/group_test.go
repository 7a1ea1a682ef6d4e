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

// A group has the exchanges of one subject, which share the group's realms. Each exchange has its
// own users, because Keycloak counts failed logins per user, and meanwhile rejects the user's
// concurrent logins.
type group struct {
	t         *testing.T
	kc        server
	name      string
	record    *record
	imports   map[*realm]object
	exchanges []declared
	known     map[string]bool // all exchanges, including those that don't run on this server
	keys      sync.Map        // the public keys of recorded tokens, by issuer and key ID
}

// A declared exchange is one that hasn't run yet.
type declared struct {
	name string
	run  func(*exchange)
}

// An exchange is a running exchange. It is a testing.T that also collects the record.
type exchange struct {
	*testing.T
	group        *group
	kc           server
	name         string
	placeholders []string // pairs: a value that differs from run to run, and its placeholder
	users        int
	out          strings.Builder

	// See clock_test.go.
	started  time.Time // by the server's clock
	waited   time.Duration
	issuedBy map[string]window // by jti: the window of the request that issued a token
	limits   []*limit
}

// run runs a group on every server.
func run(t *testing.T, name string, declare func(*group)) {
	t.Parallel()
	record := readRecord(t, name)
	for _, s := range servers(t) {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			g := &group{t: t, kc: s, name: name, record: record, imports: map[*realm]object{},
				known: map[string]bool{}}
			declare(g)
			g.run()
		})
	}
}

// realm declares a realm for all exchanges of the group, which must not change it. {realm} in the
// file stands for the realm's name. On a real Keycloak, where a realm takes half a second, groups
// that run at the same time share realms with the same file.
func (g *group) realm(file object) *realm {
	k, ok := g.kc.(*realServer)
	if !ok {
		r := newRealm(g.kc)
		g.imports[r] = file
		g.t.Cleanup(func() { g.kc.removeRealm(r.name) })
		return r
	}
	r := k.acquireRealm(file)
	g.imports[r] = file
	g.t.Cleanup(func() { k.releaseRealm(file) })
	return r
}

// exchange declares an exchange. Its name must be unique in the group: it is the name of the
// section in the record.
func (g *group) exchange(name string, f func(*exchange)) {
	if g.known[name] {
		g.t.Fatalf("two exchanges %q", name)
	}
	g.known[name] = true
	g.exchanges = append(g.exchanges, declared{name, f})
}

// only declares an exchange for one of the servers; the summary lists it.
func (g *group) only(server, name string, f func(*exchange)) {
	oneServerOnly.add(g.name + ": " + name + " (" + server + ")")
	if g.kc.name() == server {
		g.exchange(name, f)
	}
	g.known[name] = true
}

// run imports the realms, runs the exchanges, and writes the record with -update.
func (g *group) run() {
	var jobs []func()
	var failed sync.Map
	for r, file := range g.imports {
		jobs = append(jobs, func() {
			g.acquireSlot()
			defer g.releaseSlot()
			if err := r.load(file); err != nil {
				failed.Store(r.name, err)
			}
		})
	}
	g.each(jobs)
	failed.Range(func(realm, err any) bool {
		g.t.Errorf("import %s: %v", realm, err)
		return true
	})
	if g.t.Failed() {
		return
	}
	jobs = nil
	for _, d := range g.exchanges {
		jobs = append(jobs, func() { g.t.Run(d.name, func(t *testing.T) { g.runOne(t, d) }) })
	}
	g.each(jobs)
	if *update {
		g.record.write(g.t, g.exchanges)
		return
	}
	g.record.checkSections(g.t, g.known)
}

// runOne runs an exchange and checks its record. If the machine was too slow, it tries again.
func (g *group) runOne(t *testing.T, d declared) {
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

// maxAttempts limits how often a slow machine tries an exchange.
const maxAttempts = 6

// attempt runs an exchange. It returns the record, or a tooSlow if the machine was too slow.
func (g *group) attempt(t *testing.T, d declared) (got string, slow any) {
	x := &exchange{T: t, group: g, kc: g.kc, name: d.name, started: g.kc.now(),
		issuedBy: map[string]window{}}
	for r := range g.imports {
		x.placeholder("{realm}", r.name)
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(tooSlow); !ok {
				panic(r)
			}
			slow = r
		}
	}()
	d.run(x)
	x.checkLimits()
	got = strings.TrimSpace(x.out.String()) + "\n\n"
	for i := 0; i < len(x.placeholders); i += 2 {
		if strings.Contains(got, x.placeholders[i]) {
			t.Errorf("the record has %s, which differs from run to run, instead of %s:\n%s",
				x.placeholders[i], x.placeholders[i+1], got)
		}
	}
	return got, nil
}

// each runs the jobs, concurrently if the server allows it.
func (g *group) each(jobs []func()) {
	var done sync.WaitGroup
	for _, job := range jobs {
		if g.kc.concurrent() {
			done.Go(job)
		} else {
			job()
		}
	}
	done.Wait()
}

// requestSlots limits how many exchanges of all groups run at the same time on a real Keycloak:
// more would only slow each other down.
var requestSlots = semaphore{max: 6}

// A semaphore limits how many callers hold it at the same time.
type semaphore struct {
	max  int
	mu   sync.Mutex // guards the fields below
	held int
	free *sync.Cond
}

func (s *semaphore) acquire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == nil {
		s.free = sync.NewCond(&s.mu)
	}
	for s.held >= s.max {
		s.free.Wait()
	}
	s.held++
}

// reacquire acquires the semaphore without waiting, even beyond max: after x.wait, an exchange must
// continue on time.
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
		s.free.Signal()
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

// wait lets time pass, and meanwhile lets other exchanges run.
func (x *exchange) wait(d time.Duration) {
	defer func() { x.waited += d }()
	if !x.kc.concurrent() {
		x.kc.wait(d)
		return
	}
	requestSlots.release()
	defer requestSlots.reacquire()
	x.kc.wait(d)
}

// placeholder sets what the record has in place of a value that differs from run to run.
func (x *exchange) placeholder(name, value string) {
	x.placeholders = append(x.placeholders, value, name)
	if upper := strings.ToUpper(value); upper != value {
		x.placeholders = append(x.placeholders, upper, strings.ToUpper(name))
	}
}

// note records a line of text, for what a single response doesn't show, such as that two responses
// agree.
func (x *exchange) note(format string, args ...any) {
	fmt.Fprintf(&x.out, "# "+format+"\n", args...)
}

// must ends the exchange if err isn't nil.
func (x *exchange) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// A realm is a realm on one server.
type realm struct {
	kc   server
	name string
	// how often to try an import that gets a 500, which Keycloak sends for a bad file, but also
	// because of a race: see realServer.call
	tries int

	once sync.Once // guards the field below
	err  error
}

func newRealm(s server) *realm { return &realm{kc: s, name: "c-" + random(), tries: 3} }

func random() string { return strings.ToLower(rand.Text()[:10]) }

// load imports the realm, once.
func (r *realm) load(file object) error {
	r.once.Do(func() {
		named := merge(file, object{"realm": r.name})
		text, err := json.Marshal(named)
		if err != nil {
			r.err = err
			return
		}
		clear(named)
		text = []byte(strings.ReplaceAll(string(text), "{realm}", r.name))
		if r.err = json.Unmarshal(text, &named); r.err != nil {
			return
		}
		for range r.tries {
			r.err = r.kc.importRealm(named)
			var rejected *importError
			if !errors.As(r.err, &rejected) || rejected.status != http.StatusInternalServerError {
				return
			}
		}
	})
	return r.err
}

// realm imports a realm for this exchange only, which may change it.
func (x *exchange) realm(file object) *realm {
	x.Helper()
	r, err := x.tryRealm(file)
	x.must(err)
	return r
}

// tryRealm is like realm for a file that the server may reject with an *importError.
func (x *exchange) tryRealm(file object) (*realm, error) {
	r := newRealm(x.kc)
	x.placeholder("{realm}", r.name)
	if recorded := x.group.record.recorded[x.name]; !*update &&
		(strings.HasPrefix(recorded, "# refused\n") ||
			strings.HasPrefix(recorded, "# refused: true")) {
		r.tries = 1
	}
	err := r.load(file)
	if err == nil {
		x.Cleanup(func() { x.kc.removeRealm(r.name) })
	}
	return r, err
}

// url returns a URL in the realm; for the path "", it is the issuer, which serves the realm info.
func (r *realm) url(path string) string { return r.kc.base() + "/realms/" + r.name + path }

// oidc returns the URL of an OpenID Connect endpoint, such as "/token".
func (r *realm) oidc(path string) string { return r.url("/protocol/openid-connect" + path) }

// patch changes the realm.
func (r *realm) patch(x *exchange, patch object) {
	x.Helper()
	x.must(r.kc.patchRealm(r.name, patch))
}

// patchClient changes a client.
func (r *realm) patchClient(x *exchange, clientID string, patch object) {
	x.Helper()
	x.must(r.kc.patchClient(clientRef{r.name, clientID}, patch))
}

// A user is a user of one exchange. The password is "secret".
type user struct {
	userRef
	realm    *realm
	username string
}

// user adds an enabled user with an e-mail address and names, so that login has no required
// actions. Settings override these members, and nil removes one; {user} in a setting stands for the
// username.
func (x *exchange) user(r *realm, settings object) *user {
	x.Helper()
	u := &user{userRef{realm: r.name}, r, "u" + random()}
	file := merge(object{
		"username": "{user}", "enabled": true, "email": "{user}@example.com", "firstName": "Test",
		"lastName":    "User",
		"credentials": []object{{"type": "password", "value": "secret", "temporary": false}},
	}, settings)
	maps.DeleteFunc(file, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(file)
	x.must(err)
	clear(file)
	x.must(json.Unmarshal([]byte(strings.ReplaceAll(string(text), "{user}", u.username)), &file))
	u.id, err = x.kc.addUser(r.name, file)
	x.must(err)
	x.users++
	name := "user"
	if x.users > 1 {
		name = fmt.Sprint("user", x.users)
	}
	x.placeholder("{"+name+"}", u.username)
	x.placeholder("{"+name+" id}", u.id)
	return u
}

// form returns a form with these pairs of a name and a value. A name may occur twice.
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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// text returns value if it is a string, and "" otherwise.
func text(value any) string {
	s, _ := value.(string)
	return s
}
