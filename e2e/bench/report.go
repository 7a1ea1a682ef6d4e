package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// hardenedPattern matches the log line of serveBare's second listener.
var hardenedPattern = regexp.MustCompile(`hardened (http://\S+)`)

// commit returns the commit of the working directory, followed by "with changes" if files differ
// from it.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	text := strings.TrimSpace(string(out))
	if status, err := exec.Command("git", "status", "--porcelain").Output(); err != nil ||
		len(status) > 0 {
		text += " with changes"
	}
	return text
}

// responseBytes returns the size of the response to meBody.
func (s *setup) responseBytes() int64 {
	info, err := os.Stat(filepath.Join(s.dir, "response.json"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// median returns the median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// median returns the median of a figure over all runs.
func (t *target) median(figure func(targetRun) float64) float64 {
	var values []float64
	for _, run := range t.runs {
		values = append(values, figure(run))
	}
	return median(values)
}

func (t *target) cpu() float64 { return t.median(func(r targetRun) float64 { return r.cpu }) }

// share divides, for each round, bare's CPU time per request by t's. It returns the median of these
// quotients.
func (t *target) share(bare *target) float64 {
	var shares []float64
	for i, run := range t.runs {
		shares = append(shares, bare.runs[i].cpu/run.cpu)
	}
	return median(shares)
}

// printTable prints the table of results. The first target must be the bare server.
func printTable(targets []*target) {
	fmt.Println("| request | CPU µs | of bare | requests/s | p50 ms | p99 ms | p99.9 ms | " +
		"allocations | bytes |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, t := range targets {
		fmt.Printf("| %s | %.1f | %.2f | %.0f | %.2f | %.1f | %.1f | %.0f | %.0f |\n",
			t.name, t.cpu(), t.share(targets[0]),
			t.median(func(r targetRun) float64 { return r.rate }),
			t.median(func(r targetRun) float64 { return r.p50 }),
			t.median(func(r targetRun) float64 { return r.p99 }),
			t.median(func(r targetRun) float64 { return r.p999 }), t.mallocs, t.bytes)
	}
	fmt.Println()
}

// printUncachedTokens compares the CPU time of me with an uncached token to the sum of its parts:
// these are me with a cached token and one RS256 check.
func printUncachedTokens(targets []*target) {
	byName := map[string]*target{}
	for _, t := range targets {
		byName[t.name] = t
	}
	verification := byName["bare, one RS256 check"].cpu() - byName["bare net/http"].cpu()
	sum := byName["me, no response cache, one token"].cpu() + verification
	uncached := byName["me, no response cache, uncached token"].cpu()
	fmt.Printf("A bare RS256 check costs %.1f µs. A me with an uncached token costs %.2f times "+
		"the sum of a me with a cached token and this check.\n\n", verification, uncached/sum)
}

// printProcess prints the memory of servers, and the time that a server takes to start.
func (s *setup) printProcess(targets []*target) error {
	fmt.Println("Resident memory at most, by target:")
	fmt.Println()
	for _, t := range targets {
		if strings.HasPrefix(t.name, "me, ") {
			_, peak, err := t.server.memory()
			if err != nil {
				return err
			}
			fmt.Printf("- %s: %.0f MB\n", t.name, peak)
		}
	}
	var starts []float64
	var idle float64
	for i := range 5 {
		before := time.Now()
		p, err := s.startCloakQL(fmt.Sprint("start-", i))
		if err != nil {
			return err
		}
		_, postErr := p.post("/graphql", s.tokens[0], meBody)
		elapsed := time.Since(before)
		idle, _, err = p.memory()
		p.stop()
		if err := errors.Join(postErr, err); err != nil {
			return err
		}
		starts = append(starts, float64(elapsed.Microseconds())/1e3)
	}
	fmt.Printf("\nFrom start to the first response to me: %.0f ms, the best of 5. Resident memory "+
		"after it: %.0f MB.\n\n", slices.Min(starts), idle)
	return nil
}

// writePlot writes a file with a bar chart of each target's share.
func writePlot(file string, targets []*target) error {
	const rowHeight, labelWidth, barWidth = 22, 290, 420
	var b strings.Builder
	height := rowHeight*len(targets) + 30
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" `+
		`font-family="sans-serif" font-size="13">`+"\n", labelWidth+barWidth+110, height)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i, t := range targets {
		y, share := rowHeight*i+10, t.share(targets[0])
		color := "#2563eb"
		if strings.HasPrefix(t.name, "bare") {
			color = "#888888"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, y+13,
			t.name)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.0f" height="15" fill="%s"/>`, labelWidth, y,
			share*barWidth, color)
		fmt.Fprintf(&b, `<text x="%.0f" y="%d">%.2f (%.0f µs)</text>`+"\n",
			labelWidth+share*barWidth+6, y+13, share, t.cpu())
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#555555">requests for the CPU time of one bare `+
		`net/http request; longer is better</text>`+"\n</svg>\n", labelWidth, height-6)
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
