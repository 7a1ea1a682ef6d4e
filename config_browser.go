package main

import (
	"net/url"
	"strings"
)

// checkCORS wants origins of pages, as browsers write them.
func (c *Config) checkCORS(f *faults) {
	for _, origin := range c.CORSOrigins {
		u, err := url.Parse(strings.TrimSuffix(origin, ":*"))
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
			f.add("CORS_ORIGINS", "holds %q: expected origins such as https://app.example.com, with a comma between them", origin)
		}
	}
	if c.Local && len(c.CORSOrigins) == 0 {
		c.CORSOrigins = []string{"http://localhost:*", "http://127.0.0.1:*"}
	}
}

// checkConsole decides whether the console is served.
func (c *Config) checkConsole(s settings, f *faults) {
	switch s.Console {
	case "on", "off", "auto":
		c.Console = s.Console == "on" || s.Console == "auto" && c.Local
	default:
		f.add("CONSOLE", "expected auto, on or off")
	}
}
