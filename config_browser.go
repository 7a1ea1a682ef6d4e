package main

import "strings"

// checkCORS reads the origins whose pages may call; on a developer's machine, those of the machine
// unless others are named.
func (c *Config) checkCORS(s settings, f *faults) {
	for _, text := range trimmed(s.CORSOrigins) {
		pattern, err := parseOriginPattern(text)
		switch {
		case err == nil:
			c.CORSOrigins = append(c.CORSOrigins, pattern)
		case strings.Contains(text, "@"): // a password may be in it
			f.add("CORS_ORIGINS", "holds an origin with a user or a password: expected %v", err)
		default:
			f.add("CORS_ORIGINS", "holds %q: expected %v; several with a comma between them", text,
				err)
		}
	}
	if c.Local && len(s.CORSOrigins) == 0 {
		c.CORSOrigins = origins{loopbackOrigin}
	}
}

// checkHosts reads the names that requests may use for this server.
func (c *Config) checkHosts(s settings, f *faults) {
	for _, text := range trimmed(s.AllowedHosts) {
		pattern, err := parseHostPattern(text)
		if err != nil {
			f.add("ALLOWED_HOSTS", "holds %q: expected %v; several with a comma between them", text,
				err)
			continue
		}
		c.AllowedHosts = append(c.AllowedHosts, pattern)
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
