package settings

import (
	"strings"

	"github.com/cloakql/cloakql/internal/middleware"
)

// checkCORS reads the origins whose pages may call.
func (c *Settings) checkCORS(s settings, f *faults) {
	for _, text := range trimmed(s.CORSOrigins) {
		origin, err := middleware.ParseOrigin(text)
		switch {
		case err == nil:
			c.Server.HTTP.CORSOrigins = append(c.Server.HTTP.CORSOrigins, origin.String())
		case strings.Contains(text, "@"): // a password may be in it
			f.add("CORS_ORIGINS", "holds an origin with a user or a password: expected %v", err)
		default:
			f.add("CORS_ORIGINS", "holds %q: expected %v; several with a comma between them", text,
				err)
		}
	}
}

// checkHosts reads the names that requests may use for this server.
func (c *Settings) checkHosts(s settings, f *faults) {
	for _, text := range trimmed(s.AllowedHosts) {
		host, err := middleware.ParseHost(text)
		if err != nil {
			f.add("ALLOWED_HOSTS", "holds %q: expected %v; several with a comma between them", text,
				err)
			continue
		}
		c.Server.HTTP.AllowedHosts = append(c.Server.HTTP.AllowedHosts, host.String())
	}
}

// checkConsole decides whether the console is served.
func (c *Settings) checkConsole(s settings, f *faults) {
	switch s.Console {
	case "on", "off", "auto":
		c.Server.HTTP.Console = s.Console == "on" || s.Console == "auto" && c.Server.Local
	default:
		f.add("CONSOLE", "expected auto, on or off")
	}
}
