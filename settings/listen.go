package settings

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Listen listens on Addr. If it can't, the error says how to change ADDR.
func (s Settings) Listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return nil, listenError(s.Addr, err)
	}
	return listener, nil
}

// listenError returns an error that says how to change ADDR, if err has a known cause.
func listenError(addr string, err error) error {
	host, port, _ := net.SplitHostPort(addr)
	switch portNumber, _ := strconv.Atoi(port); {
	case errors.Is(err, syscall.EADDRINUSE):
		suggestion := net.JoinHostPort(host, strconv.Itoa(max(1024, portNumber%65535+1)))
		return fmt.Errorf("ADDR: another program listens on %s already: end it, or set ADDR to "+
			"another address, such as ADDR=%s", addr, suggestion)
	case errors.Is(err, syscall.EACCES):
		suggestion := net.JoinHostPort(host, "8000")
		return fmt.Errorf("ADDR: this user may not listen on %s: set ADDR to port 1024 or "+
			"above, such as ADDR=%s", addr, suggestion)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		suggestion := net.JoinHostPort("", port) // on every address
		if isLoopback(host) {
			suggestion = net.JoinHostPort("127.0.0.1", port)
		}
		return fmt.Errorf("ADDR: %s isn't an address of this machine: set ADDR to one that is, "+
			"such as ADDR=%s", addr, suggestion)
	}
	return fmt.Errorf("ADDR: %w", err)
}
