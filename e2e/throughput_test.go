package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
)

// Two processes with one store, each on a core of its own, respond to at least 1.8 times as many
// requests of me as one process on one core. Set TEST_THROUGHPUT to run this test. It needs wrk and
// taskset, and an idle machine.
//
// wrk needs CPU time too, and on a machine with two cores it takes that from the servers. So the
// test measures how much CPU time the servers use for a request, in user mode and in the kernel,
// while they are busy. A process that has a core to itself responds to as many requests a second as
// fit into a second of CPU time.
func TestThroughput(t *testing.T) {
	if os.Getenv("TEST_THROUGHPUT") == "" {
		t.Log("not run: set TEST_THROUGHPUT=1, on an idle machine with wrk")
		return
	}
	local := realm{sharedKeycloak, "local"}
	redis := redistest.Start(t)
	user, _ := local.newUser(t, nil)
	servers := local.serveTwo(t, redis.URL())
	servers[0].pin(t, 0)
	servers[1].pin(t, 1)
	token := servers[0].mustLogin(t, user, "secret").AccessToken
	script := filepath.Join(t.TempDir(), "me.lua")
	if err := os.WriteFile(script, []byte(`wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer `+token+`"
wrk.body = '{"query":"{ me { username } }"}'
function done(summary)
  io.write(string.format("RESULT %d %d\n", summary.requests,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var ones, twos []float64
	for range number("TEST_THROUGHPUT_RUNS", 5) {
		one := measureThroughput(t, script, "1", servers[0])
		t.Logf("one process: %v", one)
		ones = append(ones, one[0].perCPUSecond())
		two := measureThroughput(t, script, "0,1", servers[0], servers[1])
		t.Logf("two processes: %v", two)
		twos = append(twos, two[0].perCPUSecond()+two[1].perCPUSecond())
	}
	slices.Sort(ones)
	slices.Sort(twos)
	one, two := ones[len(ones)/2], twos[len(twos)/2]
	t.Logf("medians: one process %.0f me per second of CPU time, two processes together %.0f, "+
		"which is %.2f times as many", one, two, two/one)
	if two < 1.8*one {
		t.Errorf("two processes respond to %.2f times as many requests, want 1.8", two/one)
	}
}

// pin restricts the server to one core.
func (s *server) pin(t *testing.T, core int) {
	t.Helper()
	out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", itoa(core),
		itoa(s.cmd.Process.Pid)).CombinedOutput()
	if err != nil {
		t.Fatalf("taskset: %v\n%s", err, out)
	}
}

// A throughput is what a server did under load.
type throughput struct {
	requests     int
	elapsed, cpu time.Duration
}

func (x throughput) perCPUSecond() float64 { return float64(x.requests) / x.cpu.Seconds() }

func (x throughput) String() string {
	return fmt.Sprintf("%.0f/s with %.0f %% of a core, %.1f µs of CPU time each",
		float64(x.requests)/x.elapsed.Seconds(), 100*x.cpu.Seconds()/x.elapsed.Seconds(),
		float64(x.cpu.Microseconds())/float64(x.requests))
}

var wrkResultPattern = regexp.MustCompile(`RESULT (\d+) (\d+)`)

// measureThroughput sends requests to all servers at once, with one wrk for each. wrkCores are the
// cores of each wrk, in turn.
func measureThroughput(t *testing.T, script, wrkCores string, servers ...*server) []throughput {
	t.Helper()
	results := make([]throughput, len(servers))
	cores := strings.Split(wrkCores, ",")
	var running sync.WaitGroup
	for i, s := range servers {
		running.Go(func() {
			before, start := cpuOf(t, s), time.Now()
			// Each wrk is on the core of another server, or on the core without a server.
			core := cores[(i+1)%len(cores)]
			out, err := exec.Command("taskset", "--cpu-list", core, "wrk", "-t1", "-c16", "-d5s",
				"-s", script, s.url+"/graphql").CombinedOutput()
			match := wrkResultPattern.FindSubmatch(out)
			if err != nil || match == nil || string(match[2]) != "0" {
				t.Errorf("wrk: %v\n%s", err, out)
				return
			}
			results[i] = throughput{atoi(string(match[1])), time.Since(start),
				cpuOf(t, s) - before}
		})
	}
	running.Wait()
	return results
}

// cpuOf returns the CPU time that the server has used, in user mode and in the kernel.
func cpuOf(t *testing.T, s *server) time.Duration {
	text, err := os.ReadFile("/proc/" + itoa(s.cmd.Process.Pid) + "/stat")
	if err != nil {
		t.Errorf("no CPU time: %v", err)
		return 0
	}
	// Skip the command's name, which may contain blanks. The first field after it is the state.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go supports
	return time.Duration(atoi(fields[11])+atoi(fields[12])) * tick
}
