package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/cloakql/cloakql/settings"
)

const (
	probeTimeout  = 3 * time.Second
	maxProbeBytes = 1 << 10 // how much of the response is read
)

// CheckLive sends a liveness probe to the server that runs with config, and prints the response to
// stdout. It returns an error if the status isn't 200 or the response takes longer than 3 seconds.
// It uses no proxy and follows no redirects.
func CheckLive(ctx context.Context, config settings.Settings, stdout io.Writer) error {
	return printProbe(ctx, config, "/healthz", stdout)
}

// CheckReady is like CheckLive, with a readiness probe.
func CheckReady(ctx context.Context, config settings.Settings, stdout io.Writer) error {
	return printProbe(ctx, config, "/readyz", stdout)
}

// printProbe sends a probe to path and prints the response.
func printProbe(ctx context.Context, config settings.Settings, path string,
	stdout io.Writer) error {
	text, err := probe(ctx, config.Addr, path, probeTimeout)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, text)
	return err
}

// probe sends a probe to the server that listens on addr, and returns the first line of the
// response.
func probe(ctx context.Context, addr, path string, timeout time.Duration) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", fmt.Errorf("ADDR: is %s: expected the port that the server listens on, not 0",
			addr)
	}
	addr = net.JoinHostPort(reachableHost(host), port)
	text, err := get(ctx, addr, path, timeout)
	if err != nil {
		return "", fmt.Errorf("http://%s%s: %w", addr, path, err)
	}
	return text, nil
}

// reachableHost returns a host at which this machine can reach a server that listens on host. That
// is a loopback address if the server listens on all addresses.
func reachableHost(host string) string {
	address, err := netip.ParseAddr(host)
	if host == "" || err == nil && address.Unmap().IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// get sends a GET request to addr. It returns the first line of the response, or an error if the
// status isn't 200 or the response isn't CloakQL's.
func get(ctx context.Context, addr, path string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("no response within %s", timeout))
	defer cancel()
	// Every local server accepts the host name localhost.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{
		Transport: &http.Transport{ // without Proxy
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr)
			},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	response, err := client.Do(request)
	if err != nil {
		return "", probeError(ctx, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProbeBytes))
	if err != nil {
		return "", probeError(ctx, err)
	}
	text, _, _ := strings.Cut(string(body), "\n")
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d, %q", response.StatusCode, text)
	}
	if !strings.HasPrefix(text, "alive") && !strings.HasPrefix(text, "ready") {
		return "", fmt.Errorf("the response isn't CloakQL's: %q", text)
	}
	return text, nil
}

// probeError returns the cause of err, without the request's URL.
func probeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if urlError, ok := errors.AsType[*url.Error](err); ok {
		return urlError.Err
	}
	return err
}
