package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// An illness is what Keycloak answers, or what answers in its place.
type illness struct {
	name    string
	fault   keycloaktest.Fault
	instead func(w http.ResponseWriter, keys string)
}

// certs is what the realm answers as its key set.
func (s *site) certs() (string, error) {
	response, err := http.Get(s.realm.Issuer() + "/protocol/openid-connect/certs")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

const jsonType = "application/json"

// ill are the illnesses. Where it makes sense, there are good keys in the answer, the new one too.
func ill(keys string) []illness {
	return []illness{
		{name: "garbage", fault: keycloaktest.Fault{Status: 200, ContentType: jsonType, Body: "\x00\xff{{{"}},
		{name: "500", fault: keycloaktest.Fault{Status: 500, ContentType: jsonType, Body: keys}},
		{name: "a page", fault: keycloaktest.Fault{Status: 200, Body: "<!doctype html><title>Maintenance</title>"}},
		{name: "no keys", fault: keycloaktest.Fault{Status: 200, ContentType: jsonType, Body: `{"keys":[]}`}},
		{name: "encryption keys alone", fault: keycloaktest.Fault{Status: 200, ContentType: jsonType, Body: strings.ReplaceAll(keys, `"sig"`, `"enc"`)}},
		{name: "half of the answer", fault: keycloaktest.Fault{Truncate: true}},
		{name: "a closed connection", fault: keycloaktest.Fault{Disconnect: true}},
		{name: "a hang", fault: keycloaktest.Fault{Hang: true}},
		{name: "an answer after 4 s", fault: keycloaktest.Fault{Delay: 4 * time.Second}},
		{name: "1 GB", instead: func(w http.ResponseWriter, keys string) {
			io.WriteString(w, keys)
			blanks(w, 1<<30)
		}},
		{name: "1 GB in 1 MB of gzip", instead: func(w http.ResponseWriter, keys string) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			io.WriteString(packed, keys)
			blanks(packed, 1<<30)
			packed.Close()
		}},
		{name: "a byte a second", instead: func(w http.ResponseWriter, keys string) {
			for i := range keys {
				if _, err := io.WriteString(w, keys[i:i+1]); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}},
	}
}

// blanks writes that many bytes, which do no harm in JSON, unless the other side hangs up.
func blanks(w io.Writer, bytes int) {
	chunk := strings.Repeat(" ", 64<<10)
	for ; bytes > 0; bytes -= len(chunk) {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

// illnesses has one site for each, all at the same time: most of it is waiting.
func illnesses() ([]row, error) {
	names := ill("")
	rows, failures := make([]row, len(names)), make([]error, len(names))
	var running sync.WaitGroup
	for i := range names {
		running.Go(func() { rows[i], failures[i] = endure(i) })
	}
	running.Wait()
	return rows, errors.Join(failures...)
}

// endure makes a site's Keycloak ill, and well again.
func endure(which int) (row, error) {
	s, err := newSite()
	if err != nil {
		return row{}, err
	}
	defer s.Close()
	time.Sleep(floor) // so that the next one to come may cause a fetch
	held, err := s.token(keycloaktest.Mint{})
	if err != nil {
		return row{}, err
	}
	_, fresh, err := s.rotate()
	if err != nil {
		return row{}, err
	}
	keys, err := s.certs()
	if err != nil {
		return row{}, err
	}
	disease := ill(keys)[which]
	heal, err := s.infect(disease, keys)
	if err != nil {
		return row{}, err
	}
	var good tally
	ended := make(chan struct{})
	var coming sync.WaitGroup
	coming.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
				sent := time.Now()
				said := s.ask(held)
				good.add(said, time.Since(sent), said == alice)
			}
		}
	})
	said := s.ask(fresh) // which causes a fetch
	_, noticed := until(2*deadline, func() bool { _, failure := s.keys.Status(); return failure != nil })
	took, bytes := s.line.cost()
	heal()
	_, well := until(2*backAt, func() bool { return s.ask(fresh) == alice })
	close(ended)
	coming.Wait()
	return row{
		"Keycloak answers with " + disease.name,
		fmt.Sprintf("keys are kept, over after %v and %d KiB", deadline, maxBody>>10),
		fmt.Sprintf("%d of %d refused; %v, %d bytes", good.wrong, good.all(), took.Round(time.Millisecond), bytes),
		said == unavailable && noticed && well && good.wrong == 0 && good.all() > 0 && took <= deadline+slack && bytes <= maxBody, true,
	}, nil
}

// infect makes Keycloak's keys come as the illness has it, until they are healed.
func (s *site) infect(disease illness, keys string) (heal func(), err error) {
	if disease.instead == nil {
		disease.fault.Endpoint = "/certs"
		s.line.lead("")
		return s.kc.Fail(disease.fault), nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		disease.instead(w, keys)
	})}
	go server.Serve(listener) // until heal
	s.line.lead(listener.Addr().String())
	return func() {
		s.line.lead("")
		server.Close()
	}, nil
}
