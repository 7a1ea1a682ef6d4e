package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A response is an HTTP response and its request.
type response struct {
	scenario      *scenario
	method        string
	url           string
	requestHeader http.Header
	requestBody   string
	status        int
	header        http.Header
	body          string
	window        window
}

// httpClient is a client that doesn't follow redirects, store cookies, or request compression.
var httpClient = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
	Timeout:       timeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send sends a request. headers are names and values; Go adds only its User-Agent.
func (s *scenario) send(method, address, body string, headers ...string) response {
	s.Helper()
	return s.sendWith(httpClient, method, address, body, headers...)
}

// sendWith is like send, with another HTTP client.
func (s *scenario) sendWith(client *http.Client, method, address, requestBody string,
	headers ...string) response {
	s.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(requestBody))
	s.must(err)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	requestHeader := request.Header.Clone()
	sentAt := s.kc.now()
	resp, err := client.Do(request)
	s.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s.must(err)
	w := window{sentAt, s.kc.now(), s.waited}
	s.storeWindows(string(body), w)
	return response{s, method, address, requestHeader, requestBody, resp.StatusCode, resp.Header,
		string(body), w}
}

// get sends a GET request. Keycloak refuses some requests before it opens a database transaction.
// It can show an error page for them only if the realm is in its cache. Otherwise its response is
// an empty 500, which says nothing about the request, so get tries again.
func (s *scenario) get(address string, headers ...string) response {
	s.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		resp := s.send(http.MethodGet, address, "", headers...)
		if s.kc.name() != "keycloak" || resp.status != http.StatusInternalServerError ||
			resp.body != "" || time.Now().After(deadline) {
			return resp
		}
	}
}

// post sends a form.
func (s *scenario) post(address string, values url.Values, headers ...string) response {
	s.Helper()
	headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	return s.send(http.MethodPost, address, values.Encode(), headers...)
}

// value returns a field of a JSON response, or nil if the field is missing.
func (r response) value(name string) any {
	var fields object
	json.Unmarshal([]byte(r.body), &fields)
	return fields[name]
}

// field returns a field of a JSON response, which must be a string.
func (r response) field(name string) string {
	r.scenario.Helper()
	text, ok := r.value(name).(string)
	if !ok {
		r.scenario.Fatalf("field %s: got %d %s, want a string", name, r.status, r.body)
	}
	return text
}

// claims returns the claims of the token in a field of a JSON response.
func (r response) claims(name string) object {
	r.scenario.Helper()
	decoded, ok := decodeToken(r.field(name))
	if !ok {
		r.scenario.Fatalf("field %s: got %s, want a token", name, r.body)
	}
	return decoded.claims
}

// mustOK returns the response if its status is 200, and ends the scenario otherwise.
func (r response) mustOK() response {
	r.scenario.Helper()
	if r.status != http.StatusOK {
		r.scenario.Fatalf("%s %s: got %d %s %s, want 200", r.method, r.url, r.status,
			r.header.Get("WWW-Authenticate"), r.body)
	}
	return r
}

// record records the status, the headers and the body of responses.
func (s *scenario) record(responses ...response) {
	for _, resp := range responses {
		s.out.WriteString(resp.formatRequest())
		fmt.Fprintln(&s.out, resp.status)
		s.out.WriteString(resp.formatHeaders())
		if resp.isPage() {
			s.out.WriteString(s.formatPage(resp))
		} else {
			s.out.WriteString(s.formatJSON(resp.body, resp.window))
		}
		s.out.WriteString("\n")
	}
}

// recordHeaders records only the status and the headers.
func (s *scenario) recordHeaders(responses ...response) {
	for _, resp := range responses {
		fmt.Fprintf(&s.out, "%s%d\n%s\n", resp.formatRequest(), resp.status, resp.formatHeaders())
	}
}

// recordFeatures records a document that lists features, as lines "field: type" and "field: has
// element". A line that Keycloak has may be missing on the fake, unless another scenario of the
// suite records the field. A line that Keycloak doesn't have is an error.
func (s *scenario) recordFeatures(lines []string) {
	if s.kc.name() != "keycloak" {
		var otherSections strings.Builder
		for name, text := range s.suite.recording.sections {
			if name != s.name {
				otherSections.WriteString(text)
			}
		}
		recordedLines := strings.Split(
			strings.TrimSpace(s.suite.recording.sections[s.name]), "\n")
		recordedLines = slices.DeleteFunc(recordedLines, func(line string) bool {
			field, value, _ := strings.Cut(line, ": ")
			inOtherSection := strings.Contains(otherSections.String(), `"`+field+`": `) ||
				strings.Contains(otherSections.String(), "# "+field+" has ")
			return inOtherSection && !strings.HasPrefix(value, "has ") &&
				!slices.Contains(lines, line)
		})
		for _, line := range lines {
			if !slices.Contains(recordedLines, line) {
				recordedLines = append(recordedLines, line)
			}
		}
		lines = recordedLines
	}
	fmt.Fprintln(&s.out, strings.Join(lines, "\n"))
}

// recordBody records only the status and the body.
func (s *scenario) recordBody(responses ...response) {
	for _, resp := range responses {
		fmt.Fprintf(&s.out, "%s%d\n%s\n", resp.formatRequest(), resp.status,
			s.formatJSON(resp.body, resp.window))
	}
}

// recordOutcome records the status and the error of a step in one line, such as "first use: 200".
func (s *scenario) recordOutcome(step string, resp response) {
	line := fmt.Sprint(step, ": ", resp.status)
	for _, text := range []any{resp.value("error"), resp.value("error_description"),
		resp.header.Get("WWW-Authenticate")} {
		if text, _ := text.(string); text != "" {
			line += " " + s.normalize(text)
		}
	}
	fmt.Fprintln(&s.out, line)
}

// recordToken records the decoded token in a field of a response.
func (s *scenario) recordToken(resp response, name string) {
	s.Helper()
	s.out.WriteString(s.formatToken(name, resp.field(name), resp.window))
}

// recordFields records the named fields of a JSON response.
func (s *scenario) recordFields(resp response, names ...string) {
	var fields object
	decoder := json.NewDecoder(strings.NewReader(resp.body))
	decoder.UseNumber()
	decoder.Decode(&fields)
	fmt.Fprintln(&s.out, s.render("", selectFields(fields, names), timing{window: resp.window}, ""))
}

// selectFields returns a copy of an object with only the named fields.
func selectFields(o object, names []string) object {
	selected := object{}
	for _, name := range names {
		if value, ok := o[name]; ok {
			selected[name] = value
		}
	}
	return selected
}

// recordClaims records the named claims of the token in a field of a response.
func (s *scenario) recordClaims(resp response, token string, names ...string) {
	s.Helper()
	fmt.Fprintf(&s.out, "%s %s\n", token,
		s.render("", selectFields(resp.claims(token), names), timing{window: resp.window}, ""))
}

// formatRequest formats the request for the record.
func (r response) formatRequest() string {
	var lines strings.Builder
	fmt.Fprintf(&lines, "> %s %s\n", r.method, r.scenario.formatURL(r.url))
	for _, name := range slices.Sorted(maps.Keys(r.requestHeader)) {
		for _, value := range r.requestHeader[name] {
			if value != "application/x-www-form-urlencoded" && value != browserAccept {
				fmt.Fprintf(&lines, "> %s: %s\n", name, r.scenario.formatHeader(value))
			}
		}
	}
	if r.requestHeader.Get("Content-Type") != "application/x-www-form-urlencoded" {
		if r.requestBody != "" {
			fmt.Fprintf(&lines, "> %s\n", r.scenario.normalize(r.requestBody))
		}
		return lines.String()
	}
	if values, err := url.ParseQuery(r.requestBody); err == nil && r.requestBody != "" {
		fmt.Fprintf(&lines, "> %s\n", r.scenario.formatForm(values))
	}
	return lines.String()
}

// headerNames are the recorded response headers, in the order of the record.
var headerNames = []string{
	"Location", "Www-Authenticate", "Cache-Control", "Pragma", "Content-Type", "Allow", "Vary",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
	"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers",
	"Access-Control-Max-Age",
}

// securityHeaders are sent with nearly every response, so the record has one line for all of them.
var securityHeaders = http.Header{
	"Referrer-Policy":           {"no-referrer"},
	"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"},
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"SAMEORIGIN"},
	"X-Robots-Tag":              {"none"},
}

// formatHeaders formats the recorded headers.
func (r response) formatHeaders() string {
	var lines strings.Builder
	for _, name := range headerNames {
		for _, value := range r.header[name] {
			switch {
			case name == "Location":
				value = r.scenario.formatURL(value)
			case strings.HasPrefix(name, "Access-Control-") && strings.Contains(value, ","):
				value = sortedWords(value, ", ")
			default:
				value = r.scenario.normalize(value)
			}
			fmt.Fprintf(&lines, "%s: %s\n", name, value)
		}
	}
	var cookies []string
	for _, cookie := range (&http.Response{Header: r.header}).Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			cookie.Name += " (removed)"
		}
		cookies = append(cookies, cookie.Name)
	}
	if slices.Sort(cookies); len(cookies) > 0 {
		fmt.Fprintf(&lines, "Set-Cookie: %s\n", strings.Join(slices.Compact(cookies), ", "))
	}
	lines.WriteString(r.formatSecurityHeaders())
	return lines.String()
}

// formatSecurityHeaders formats how the response differs from securityHeaders.
func (r response) formatSecurityHeaders() string {
	var missingNames, changedLines []string
	for _, name := range slices.Sorted(maps.Keys(securityHeaders)) {
		switch values := r.header[name]; {
		case len(values) == 0:
			missingNames = append(missingNames, name)
		case !slices.Equal(values, securityHeaders[name]):
			line := fmt.Sprintf("%s: %s\n", name, strings.Join(values, " | "))
			changedLines = append(changedLines, line)
		}
	}
	switch {
	case len(missingNames) == len(securityHeaders):
		return "(no security headers)\n"
	case len(missingNames) > 0:
		return "(security headers without " + strings.Join(missingNames, ", ") + ")\n" +
			strings.Join(changedLines, "")
	}
	return "(security headers)\n" + strings.Join(changedLines, "")
}

// formatJSON normalizes a JSON body and decodes its tokens. In other bodies, it only replaces
// values with their placeholders.
func (s *scenario) formatJSON(body string, w window) string {
	if body == "" {
		return ""
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(body)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil || decoder.More() {
		return s.normalize(body) + "\n"
	}
	text := s.render("", value, timing{window: w}, "") + "\n"
	if fields, ok := value.(object); ok {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if token, ok := fields[name].(string); ok {
				text += s.formatToken(name, token, w)
			}
		}
	}
	return text
}
