package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof" // on the debug listener
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/cloakql/cloakql/internal/program"
	"github.com/cloakql/cloakql/settings"
)

// serve runs one of the benchmark's servers. The benchmark starts a process for each of them. Each
// server also has a debug listener with net/http/pprof and /memstats.
func serve(args []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	http.HandleFunc("/memstats", func(w http.ResponseWriter, _ *http.Request) {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		json.NewEncoder(w).Encode(memStats{stats.Mallocs, stats.TotalAlloc})
	})
	go http.Serve(listener, nil)
	log.Printf("debug http://%s", listener.Addr())
	if args[0] == "cloakql" {
		return serveCloakQL()
	}
	return serveBare(args[1])
}

// memStats are the allocations of a process since it started.
type memStats struct{ Mallocs, TotalAlloc uint64 }

// serveCloakQL serves like cmd/cloakql.
func serveCloakQL() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	config, err := settings.Read(os.Environ(), ".")
	if err != nil {
		return err
	}
	return program.Serve(ctx, config, os.Stderr, nil)
}

// serveBare serves the JSON in a file:
//
//   - /graphql reads the request and responds with the file's bytes. A second listener, hardened,
//     does the same with CloakQL's timeouts and response headers.
//   - /json decodes the request and encodes the response.
//   - /verify checks an RS256 signature, and then does the same as /graphql.
func serveBare(file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var response any
	if err := json.Unmarshal(body, &response); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(body)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return err
	}
	respond := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/graphql", respond)
	mux.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Query string }
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(response)
	})
	mux.HandleFunc("/verify", func(w http.ResponseWriter, r *http.Request) {
		digest := sha256.Sum256(body)
		err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		respond(w, r)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hardened := http.NewServeMux()
	hardened.HandleFunc("/graphql", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Request-Id", rand.Text())
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		respond(w, r)
	})
	hardenedListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: hardened, ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	go server.Serve(hardenedListener)
	log.Printf("hardened http://%s", hardenedListener.Addr())
	log.Printf("serving http://%s", listener.Addr())
	return http.Serve(listener, mux)
}
