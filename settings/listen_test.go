package settings

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// For each known error of net.Listen, listenError returns an error that says how to change ADDR.
func TestListenError(t *testing.T) {
	for _, tt := range []struct {
		addr string
		err  error
		want string
	}{
		{"127.0.0.1:8000", syscall.EADDRINUSE,
			"another program listens on 127.0.0.1:8000 already: end it, or set ADDR to another " +
				"address, such as ADDR=127.0.0.1:8001"},
		{":65535", syscall.EADDRINUSE, "such as ADDR=:1024"},
		{"[::1]:8000", syscall.EADDRINUSE, "such as ADDR=[::1]:8001"},
		{":80", syscall.EACCES,
			"this user may not listen on :80: set ADDR to port 1024 or above, such as ADDR=:8000"},
		{"192.0.2.1:8000", syscall.EADDRNOTAVAIL,
			"192.0.2.1:8000 isn't an address of this machine: set ADDR to one that is, such as " +
				"ADDR=:8000"},
		{"[::1]:8000", syscall.EADDRNOTAVAIL, "such as ADDR=127.0.0.1:8000"},
		{"nowhere:8000", errors.New("no such host"), "ADDR: no such host"},
	} {
		err := listenError(tt.addr, &net.OpError{Op: "listen", Net: "tcp",
			Err: os.NewSyscallError("bind", tt.err)})
		if !strings.HasPrefix(err.Error(), "ADDR: ") ||
			!strings.Contains(err.Error(), strings.TrimPrefix(tt.want, "ADDR: ")) {
			t.Errorf("listenError(%s, %v) = %v, want %s", tt.addr, tt.err, err, tt.want)
		}
	}
}
