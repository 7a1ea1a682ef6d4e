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

// A group is the exchanges of one subject. They share the group's realms, and each has users of its
// own: Keycloak counts failed logins, and refuses parallel logins of one user while it does.
type group struct {
	t       *testing.T
	side    side
	name    string
	record  *record
	imports map[*realm]object
	plays   []play
	known   map[string]bool // every exchange declared, also those of the other side
	keys    sync.Map        // what signed the tokens shown: key id to public key
}

type play struct {
	name string
	play func(*exchange)
}

// An exchange is one exchange while it is played. It is a testing.T, and it collects what is
// compared.
type exchange struct {
	*testing.T
	group *group
	side  side
	play  string   // its name
	names []string // what differs from run to run, and the words for it, in turn
	users int
	out   strings.Builder

	// See clock_test.go.
	began    time.Time // by the side's clock
	passed   time.Duration
	issuedBy map[string]window // the windows of the requests that issued tokens, by jti
	limits   []*limit
}

// run plays a group on every side.
func run(t *testing.T, name string, declare func(*group)) {
	t.Parallel()
	record := readRecord(t, name)
	for _, s := range sides(t) {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			g := &group{t: t, side: s, name: name, record: record, imports: map[*realm]object{},
				known: map[string]bool{}}
			declare(g)
			g.play()
		})
	}
}

// realm declares a realm for all exchanges of the group; none of them changes it. The text {realm}
// in its file becomes its name. On a real Keycloak, groups that want the same file at the same time
// share the realm: a realm costs it half a second.
func (g *group) realm(file object) *realm {
	k, ok := g.side.(*realSide)
	if !ok {
		r := newRealm(g.side)
		g.imports[r] = file
		g.t.Cleanup(func() { g.side.removeRealm(r.name) })
		return r
	}
	r := k.lend(file)
	g.imports[r] = file
	g.t.Cleanup(func() { k.giveBack(file) })
	return r
}

// exchange declares an exchange. Its name is unique in the group and heads a section of the record.
func (g *group) exchange(name string, f func(*exchange)) {
	if g.known[name] {
		g.t.Fatalf("two exchanges %q", name)
	}
	g.known[name] = true
	g.plays = append(g.plays, play{name, f})
}

// only declares an exchange that one side alone can play; the summary names it.
func (g *group) only(side, name string, f func(*exchange)) {
	oneSideOnly.add(g.name + ": " + name + " (" + side + ")")
	if g.side.name() == side {
		g.exchange(name, f)
	}
	g.known[name] = true
}

func (g *group) play() {
	var jobs []func()
	var failed sync.Map
	for r, file := range g.imports {
		jobs = append(jobs, func() {
			g.enter()
			defer g.leave()
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
	for _, p := range g.plays {
		jobs = append(jobs, func() { g.t.Run(p.name, func(t *testing.T) { g.playOne(t, p) }) })
	}
	g.each(jobs)
	if *update {
		g.record.write(g.t, g.plays)
		return
	}
	g.record.wantNoOthers(g.t, g.known)
}

func (g *group) playOne(t *testing.T, p play) {
	g.enter()
	defer g.leave()
	held := false
	defer func() { played.count(g.side, g.name+"/"+p.name, held) }() // also when a Fatal ends it
	for attempt := 1; ; attempt++ {
		shown, slow := g.attempt(t, p)
		if slow == nil {
			held = !t.Failed() && g.record.check(t, p.name, shown)
			return
		}
		if attempt == maxAttempts {
			t.Fatalf("%v (%d attempts)", slow, attempt)
		}
		t.Logf("once more: %v", slow)
	}
}

// maxAttempts bounds how often an exchange is played on a machine that is too slow for it.
const maxAttempts = 6

// attempt plays an exchange, and returns what it showed, or that it was too slow.
func (g *group) attempt(t *testing.T, p play) (shown string, slow any) {
	x := &exchange{T: t, group: g, side: g.side, play: p.name, began: g.side.now(),
		issuedBy: map[string]window{}}
	for r := range g.imports {
		x.called("{realm}", r.name)
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(tooSlow); !ok {
				panic(r)
			}
			slow = r
		}
	}()
	p.play(x)
	x.wantInTime()
	shown = strings.TrimSpace(x.out.String()) + "\n\n"
	for i := 0; i < len(x.names); i += 2 {
		if strings.Contains(shown, x.names[i]) {
			t.Errorf("shows %s, which is of this run only, instead of %s:\n%s", x.names[i],
				x.names[i+1], shown)
		}
	}
	return shown, nil
}

// each does the jobs: at the same time, if the side allows.
func (g *group) each(jobs []func()) {
	var done sync.WaitGroup
	for _, job := range jobs {
		if g.side.concurrent() {
			done.Go(job)
		} else {
			job()
		}
	}
	done.Wait()
}

// asking bounds how many exchanges of all groups ask at the same time: more would only make each
// other slow.
var asking = bound{most: 6}

// A bound lets so many in at a time.
type bound struct {
	most int
	mu   sync.Mutex // guards the fields below
	in   int
	free *sync.Cond
}

func (b *bound) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free == nil {
		b.free = sync.NewCond(&b.mu)
	}
	for b.in >= b.most {
		b.free.Wait()
	}
	b.in++
}

// comeBack lets in at once who has been in before: behind the queue, time would go by that nobody
// asked for.
func (b *bound) comeBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.in++
}

func (b *bound) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.in--
	if b.in < b.most {
		b.free.Signal()
	}
}

func (g *group) enter() {
	if g.side.concurrent() {
		asking.enter()
	}
}

func (g *group) leave() {
	if g.side.concurrent() {
		asking.leave()
	}
}

// pass lets time go by, and lets others ask meanwhile.
func (x *exchange) pass(d time.Duration) {
	defer func() { x.passed += d }()
	if !x.side.concurrent() {
		x.side.pass(d)
		return
	}
	asking.leave()
	defer asking.comeBack()
	x.side.pass(d)
}

// called gives a word to what differs from run to run.
func (x *exchange) called(word, literal string) {
	x.names = append(x.names, literal, word)
	if upper := strings.ToUpper(literal); upper != literal {
		x.names = append(x.names, upper, strings.ToUpper(word))
	}
}

// note records a line of text: what a single answer doesn't show, such as that two of them agree.
func (x *exchange) note(format string, args ...any) {
	fmt.Fprintf(&x.out, "# "+format+"\n", args...)
}

// must fails the exchange when its setup failed.
func (x *exchange) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// A realm is a realm on one side.
type realm struct {
	side side
	name string
	// of an import that is answered with 500: it may be a refusal, or the race that call knows
	tries int

	once   sync.Once // guards the field below
	failed error
}

func newRealm(s side) *realm { return &realm{side: s, name: "c-" + random(), tries: 3} }

func random() string { return strings.ToLower(rand.Text()[:10]) }

// load imports the realm, once.
func (r *realm) load(file object) error {
	r.once.Do(func() {
		named := merge(file, object{"realm": r.name})
		text, err := json.Marshal(named)
		if err != nil {
			r.failed = err
			return
		}
		clear(named)
		r.failed = json.Unmarshal([]byte(strings.ReplaceAll(string(text), "{realm}", r.name)),
			&named)
		if r.failed != nil {
			return
		}
		for range r.tries {
			r.failed = r.side.importRealm(named)
			var refused *refusal
			if !errors.As(r.failed, &refused) || refused.status != http.StatusInternalServerError {
				return
			}
		}
	})
	return r.failed
}

// realm imports a realm for this exchange alone: for one that changes it.
func (x *exchange) realm(file object) *realm {
	x.Helper()
	r, err := x.tryRealm(file)
	x.must(err)
	return r
}

// tryRealm is realm for an import that may be refused, with a *refusal.
func (x *exchange) tryRealm(file object) (*realm, error) {
	r := newRealm(x.side)
	x.called("{realm}", r.name)
	if recorded := x.group.record.recorded[x.play]; !*update &&
		(strings.HasPrefix(recorded, "# refused\n") ||
			strings.HasPrefix(recorded, "# refused: true")) {
		r.tries = 1
	}
	err := r.load(file)
	if err == nil {
		x.Cleanup(func() { x.side.removeRealm(r.name) })
	}
	return r, err
}

// url is an address in the realm: "" is that of realm info, and the issuer.
func (r *realm) url(path string) string { return r.side.base() + "/realms/" + r.name + path }

// oidc is an address below the OpenID Connect endpoints, such as "/token".
func (r *realm) oidc(path string) string { return r.url("/protocol/openid-connect" + path) }

// patch changes the realm.
func (r *realm) patch(x *exchange, patch object) {
	x.Helper()
	x.must(r.side.patchRealm(r.name, patch))
}

// patchClient changes a client.
func (r *realm) patchClient(x *exchange, clientID string, patch object) {
	x.Helper()
	x.must(r.side.patchClient(clientRef{r.name, clientID}, patch))
}

// A user is a user of one exchange, whose password is "secret".
type user struct {
	userRef
	in       *realm
	username string
}

// user adds a user: enabled, with e-mail and names, so that nothing is due at login. Settings
// override; the text {user} in them becomes the username. A setting that is nil is left out.
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
	u.id, err = x.side.addUser(r.name, file)
	x.must(err)
	x.users++
	word := "user"
	if x.users > 1 {
		word = fmt.Sprint("user", x.users)
	}
	x.called("{"+word+"}", u.username)
	x.called("{"+word+" id}", u.id)
	return u
}

// form makes a form of names and values in turn. A name may come twice.
func form(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values
}

// with is the form with these names set.
func with(values url.Values, pairs ...string) url.Values {
	values = maps.Clone(values)
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// without is the form without these names.
func without(values url.Values, names ...string) url.Values {
	values = maps.Clone(values)
	for _, name := range names {
		values.Del(name)
	}
	return values
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// text is a member that is a text, or "".
func text(value any) string {
	s, _ := value.(string)
	return s
}
