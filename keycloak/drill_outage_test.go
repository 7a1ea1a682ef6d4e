package keycloak_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// Whoever signed in before Keycloak went down stays signed in, for a day.
func TestKeycloakDownForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill(t)
		d.run()
		fetched := d.fetches()[0]
		d.kc.Down()
		d.wire.detour.tried()
		for n := 0; time.Since(fetched) < maxAge-time.Minute; n++ {
			time.Sleep(20 * time.Second)
			// The stand-in signs on: what is down is the way to it.
			if a := d.ask(d.good()); a.err != nil || a.took != 0 {
				d.Errorf("%v into the outage: %v after %v, want a user at once", time.Since(fetched), a.err, a.took)
			}
			if time.Since(fetched) > refresh+deadline {
				d.expect(d.junk(n), identity.ErrKeysUnavailable)
				d.status(true, true)
			}
		}
		tries := d.wire.detour.tried()
		d.spaced(tries, floor)
		d.spaced(tries[5:], 4*time.Second) // once it is known to be down, strangers don't make it more
		for i := range tries[1:] {
			if gap := tries[i+1].Sub(tries[i]); gap > 5*time.Second {
				d.Errorf("%v passed between two tries; want 5 s at most, to find Keycloak back soon", gap)
			}
		}
		time.Sleep(time.Until(fetched.Add(maxAge + time.Second)))
		d.expect(d.good(), identity.ErrKeysUnavailable)
		d.status(false, true)
		d.logged(1)

		d.kc.Up()
		time.Sleep(5 * time.Second)
		d.status(true, false)
		d.logged(1)
		d.expect(d.good(), nil)
		d.expect(d.junk(0), identity.ErrKeyUnknown)
	})
}

// Whoever starts beside a Keycloak that is down refuses nobody for good, makes nobody wait for
// long, and recovers by itself.
func TestAStartWhileKeycloakIsDown(t *testing.T) {
	for _, tt := range []struct {
		name string
		ill  func(*drill) (heal func())
	}{
		{"down", func(d *drill) func() {
			d.kc.Down()
			return d.kc.Up
		}},
		{"hangs", func(d *drill) func() { return d.kc.Fail(keycloaktest.Fault{Hang: true}) }},
		{"has no keys", func(d *drill) func() {
			return d.kc.Fail(keycloaktest.Fault{Status: 200, ContentType: "application/json", Body: `{"keys":[]}`})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrill(t)
				heal := tt.ill(d)
				go d.keys.Run(t.Context())
				synctest.Wait()
				var waits []answer
				d.storm(6*time.Second, d.good(), func(a answer, _ bool) {
					if !errors.Is(a.err, identity.ErrKeysUnavailable) || a.took > patience {
						d.Errorf("%v after %v, want %v after %v at most", a.err, a.took, identity.ErrKeysUnavailable, patience)
					}
					if a.took > 0 {
						waits = append(waits, a)
					}
				})
				if most := mostAtOnce(waits); most > crowd {
					d.Errorf("up to %d waited at once, want %d at most", most, crowd)
				}
				d.status(false, true)
				d.spaced(d.wire.detour.tried(), floor)
				d.logged(1)
				heal()
				d.recovers(d.good())
			})
		})
	}
}

// certs is what Keycloak answers as the realm's key set now, and one of the keys in it.
func (d *drill) certs() (set, key string) {
	d.Helper()
	response, err := (&http.Client{Transport: d.wire.detour.usual}).Get(d.realm.Issuer() + "/protocol/openid-connect/certs")
	if err != nil {
		d.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	var keys struct{ Keys []json.RawMessage }
	if err != nil || json.Unmarshal(body, &keys) != nil || len(keys.Keys) == 0 {
		d.Fatalf("the key set is %q, %v", body, err)
	}
	return string(body), string(keys.Keys[len(keys.Keys)-1])
}

// illnesses are what Keycloak, or what stands before it, may answer. Where it makes sense, a key
// set that nothing is wrong with is in it, so that whoever takes the answer for a good one takes
// the new key too.
func (d *drill) illnesses() map[string]keycloaktest.Fault {
	set, key := d.certs()
	page := func(status int, kind, body string) keycloaktest.Fault {
		return keycloaktest.Fault{Status: status, ContentType: kind, Body: body}
	}
	var many []string
	for _, digit := range "0123456789abcdef" {
		for _, other := range "0123456" {
			many = append(many, strings.Replace(key, `"kid":"`, `"kid":"`+string(digit)+string(other), 1))
		}
	}
	listed := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	const typ = "application/json"
	return map[string]keycloaktest.Fault{
		"garbage":               page(200, typ, "\x00\xff{{{"),
		"nothing":               page(200, typ, ""),
		"a page":                page(200, "", "<!doctype html><title>Maintenance</title>"),
		"500":                   page(500, typ, set),
		"503 and a page":        page(503, "", "<html>"),
		"404":                   page(404, typ, `{"error":"Realm does not exist"}`),
		"429":                   page(429, "text/plain", "slow down"),
		"204":                   page(204, typ, ""),
		"part of the keys":      page(206, typ, set),
		"no keys":               page(200, typ, `{"keys":[]}`),
		"keys that are null":    page(200, typ, `{"keys":null}`),
		"encryption keys alone": page(200, typ, strings.ReplaceAll(set, `"sig"`, `"enc"`)),
		"each key twice":        page(200, typ, listed(key, key)),
		"112 keys":              page(200, typ, listed(append(many, key)...)),
		"two documents":         page(200, typ, set+set),
		"8 MiB of blanks":       page(200, typ, set+strings.Repeat(" ", 8<<20)),
		"8 MiB of a page":       page(502, "", strings.Repeat("<br>", 2<<20)),
		"half":                  {Truncate: true},
		"a closed connection":   {Disconnect: true},
		"a hang":                {Hang: true},
		"an answer after 4 s":   {Delay: 4 * time.Second},
	}
}

func TestNoIllnessCostsTheKeys(t *testing.T) {
	var names []string
	synctest.Test(t, func(t *testing.T) {
		for name := range newDrill(t).illnesses() {
			names = append(names, name)
		}
	})
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrill(t)
				d.run()
				held := d.good()
				d.rotate()
				fault := d.illnesses()[name]
				fault.Endpoint = "/certs"
				heal := d.kc.Fail(fault)
				d.outlives(held, d.wire.read)
				heal()
				d.recovers(held)
			})
		})
	}
}

// outlives checks what an illness does to the middleware, and what it costs by the meter of bytes.
func (d *drill) outlives(held string, read func() int) {
	d.Helper()
	outage := func(a answer) {
		d.Helper()
		if !errors.Is(a.err, identity.ErrKeysUnavailable) {
			d.Errorf("at %v: %v, want %v", a.begin, a.err, identity.ErrKeysUnavailable)
		}
	}
	read()
	d.wire.detour.tried()
	begin := time.Now()
	a := d.ask(d.good()) // of a key that would have come with the fetch which this causes
	outage(a)
	if a.took > patience {
		d.Errorf("a token waited %v, want %v at most", a.took, patience)
	}
	time.Sleep(time.Until(begin.Add(deadline)))
	synctest.Wait()
	d.status(true, true)
	for n := range 60 {
		time.Sleep(time.Second)
		if a := d.ask(held); a.err != nil || a.took != 0 {
			d.Errorf("a token of the keys that are held: %v after %v, want a user at once", a.err, a.took)
		}
		outage(d.ask(d.junk(n)))
		d.status(true, true)
	}
	d.logged(1)
	tries := d.wire.detour.tried()
	d.spaced(tries, floor)
	if len(tries) < 5 || len(tries) > 20 {
		d.Errorf("Keycloak was tried %d times in a minute", len(tries))
	}
	if bytes, most := read(), len(tries)*(maxBody+64<<10); bytes > most {
		d.Errorf("%d bytes were read in %d tries, want %d at most", bytes, len(tries), most)
	}
}

// recovers checks that all is well soon after Keycloak is.
func (d *drill) recovers(held string) {
	d.Helper()
	time.Sleep(deadline + 5*time.Second) // a fetch that still hangs ends first
	d.status(true, false)
	d.logged(1)
	d.expect(held, nil)
	d.expect(d.good(), nil)
}

// What no pipe is needed for: bodies that don't come to an end within a test's time.
func TestNoBodyCostsTheKeys(t *testing.T) {
	for _, tt := range []struct {
		name string
		body func(*drill, *http.Request) io.Reader
	}{
		{"1 GB", func(d *drill, _ *http.Request) io.Reader {
			set, _ := d.certs()
			return io.MultiReader(strings.NewReader(set), io.LimitReader(blanks{}, 1<<30))
		}},
		{"a byte a second", func(d *drill, r *http.Request) io.Reader {
			set, _ := d.certs()
			return &drip{r, strings.NewReader(set)}
		}},
		{"all but the end", func(d *drill, r *http.Request) io.Reader {
			set, _ := d.certs()
			return io.MultiReader(strings.NewReader(set), &drip{r, blanks{}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrill(t)
				d.run()
				held := d.good()
				d.rotate()
				var read, open atomic.Int64
				d.wire.detour.lead(func(r *http.Request) (*http.Response, error) {
					open.Add(1)
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &metered{tt.body(d, r), &read, &open}}, nil
				})
				d.outlives(held, func() int { return int(read.Swap(0)) })
				d.wire.detour.lead(nil)
				d.recovers(held)
				if n := open.Load(); n != 0 {
					d.Errorf("%d bodies were never closed", n)
				}
			})
		})
	}
}

// blanks never end, and are no harm in JSON.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A drip gives a byte a second, as long as its request wants it.
type drip struct {
	request *http.Request
	from    io.Reader
}

func (d *drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return d.from.Read(p[:1])
	case <-d.request.Context().Done():
		return 0, d.request.Context().Err()
	}
}

// A metered body counts what was taken of it, and whether it was closed.
type metered struct {
	io.Reader
	read, open *atomic.Int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.read.Add(int64(n))
	return n, err
}

func (m *metered) Close() error {
	m.open.Add(-1)
	return nil
}
