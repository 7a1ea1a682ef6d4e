package settings

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Listen listens on Addr. If it can't, the error says how to change ADDR.
func (c Settings) Listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, listenError(c.Addr, err)
	}
	return listener, nil
}

// listenError returns an error that says how to change ADDR, if it knows the cause of err.
func listenError(addr string, err error) error {
	host, port, _ := net.SplitHostPort(addr)
	switch portNumber, _ := strconv.Atoi(port); {
	case errors.Is(err, syscall.EADDRINUSE):
		other := net.JoinHostPort(host, strconv.Itoa(max(1024, portNumber%65535+1)))
		return fmt.Errorf("ADDR: another program listens on %s already: end it, or set ADDR to "+
			"another address, such as ADDR=%s", addr, other)
	case errors.Is(err, syscall.EACCES):
		other := net.JoinHostPort(host, "8000")
		return fmt.Errorf("ADDR: this user may not listen on %s: set ADDR to a port from 1024 "+
			"on, such as ADDR=%s", addr, other)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		other := net.JoinHostPort("", port) // on every address
		if isLoopback(host) {
			other = net.JoinHostPort("127.0.0.1", port)
		}
		return fmt.Errorf("ADDR: %s is no address of this machine: set ADDR to one that is, "+
			"such as ADDR=%s", addr, other)
	}
	return fmt.Errorf("ADDR: %w", err)
}
