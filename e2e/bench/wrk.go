package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const threads = 2 // of wrk

// A load is what wrk sends.
type load struct {
	url, path string
	tokens    []string // sent in turn; each thread sends its own share of the tokens
	// bodies are sent in turn. The threads start with different bodies. @@ stands for a number that
	// differs in each request.
	bodies []string
	form   bool // the bodies are forms, not JSON
	// want, if set, is a part of each response. Checking it takes wrk so much time that it is only
	// for servers that are slower than wrk.
	want string
}

// A script is a load that is written to files for wrk.
type script struct {
	url, file string
}

// writeScript writes the files for a load to dir. Their names begin with name.
func writeScript(dir, name string, l load) (script, error) {
	shares := make([][]string, threads)
	for i, token := range l.tokens {
		shares[i%threads] = append(shares[i%threads], token)
	}
	var errs []error
	for i, share := range shares {
		if len(share) == 0 {
			share = l.tokens // fewer tokens than threads
		}
		errs = append(errs, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%d.tokens", name, i)),
			[]byte(strings.Join(share, "\n")+"\n"), 0o600))
	}
	contentType := "application/json"
	if l.form {
		contentType = "application/x-www-form-urlencoded"
	}
	var bodies strings.Builder
	for _, body := range l.bodies {
		bodies.WriteString("[==[" + body + "]==],\n")
	}
	check := ""
	if l.want != "" {
		check = `
function response(status, headers, body)
  if not body:find("` + l.want + `", 1, true) then failed = failed + 1 end
end`
	}
	text := `
failed = 0
local all = {}
local bodies = {` + bodies.String() + `}
local unique = ` + fmt.Sprint(strings.Contains(l.bodies[0], "@@")) + `
local threads, n, file, tokens = 0, 0, nil, {}
function setup(thread) thread:set("id", threads); threads = threads + 1; all[threads] = thread end
function init()
  file = io.open("` + filepath.Join(dir, name) + `." .. id .. ".tokens")
  for line in file:lines() do
    if #tokens >= 20000 then break end
    if line ~= "" then tokens[#tokens + 1] = line end
  end
  if #tokens < 20000 then file:close(); file = nil end
end
function nextToken()
  if not file then return tokens[n % #tokens + 1] end
  local line = file:read("*l") -- more tokens than fit into memory
  if not line then file:seek("set"); line = file:read("*l") end
  return line
end
function request()
  n = n + 1
  local headers = {["Content-Type"] = "` + contentType + `"}
  if #tokens > 0 then headers["Authorization"] = "Bearer " .. nextToken() end
  if ` + fmt.Sprint(l.want != "") + ` then -- another address for each request, to stay below limits
    headers["X-Forwarded-For"] =
      string.format("10.%d.%d.%d", math.random(255), math.random(255), id)
  end
  local body = bodies[(n * ` + strconv.Itoa(threads) + ` + id) % #bodies + 1]
  if unique then body = body:gsub("@@", id .. "x" .. n) end
  return wrk.format("POST", "` + l.path + `", headers, body)
end
` + check + `
function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(all) do bad = bad + thread:get("failed") end
  io.write(string.format("RESULT %d %d %f %f %f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout + bad))
end
`
	file := filepath.Join(dir, name+".lua")
	errs = append(errs, os.WriteFile(file, []byte(text), 0o600))
	return script{l.url, file}, errors.Join(errs...)
}

// A result has the figures of one run of wrk. The latencies are in milliseconds.
type result struct{ requests, rate, p50, p99, p999 float64 }

var resultPattern = regexp.MustCompile(`RESULT (\d+) (\d+) (\S+) (\S+) (\S+) (\d+)`)

// run sends the load for the time window. It returns an error if a request failed.
func (s script) run(connections int, window time.Duration) (result, error) {
	threadCount := min(threads, connections)
	out, err := exec.Command("wrk", "-t", strconv.Itoa(threadCount),
		"-c", strconv.Itoa(connections), "-d", fmt.Sprint(int(window.Seconds())),
		"--timeout", "30s", "-s", s.file, s.url).CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	match := resultPattern.FindSubmatch(out)
	if match == nil {
		return result{}, fmt.Errorf("wrk printed %s", out)
	}
	var values [6]float64
	for i := range values {
		if values[i], err = strconv.ParseFloat(string(match[i+1]), 64); err != nil {
			return result{}, err
		}
	}
	requests, micros, failed := values[0], values[1], values[5]
	if requests == 0 || failed > 0 {
		return result{}, fmt.Errorf("%.0f of %.0f requests failed", failed, requests)
	}
	return result{requests: requests, rate: requests / micros * 1e6,
		p50: values[2] / 1e3, p99: values[3] / 1e3, p999: values[4] / 1e3}, nil
}
