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
)

// A response is an HTTP response, with its request.
type response struct {
	x             *exchange
	method        string
	url           string
	requestHeader http.Header
	requestBody   string
	status        int
	header        http.Header
	body          string
	window        window
}

// direct doesn't follow redirects, store cookies, or request compression.
var direct = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send sends a request. Headers are pairs of a name and a value; Go adds only its User-Agent.
func (x *exchange) send(method, address, body string, headers ...string) response {
	x.Helper()
	return x.sendBy(direct, method, address, body, headers...)
}

func (x *exchange) sendBy(client *http.Client, method, address, requestBody string,
	headers ...string) response {
	x.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(requestBody))
	x.must(err)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	requestHeader := request.Header.Clone()
	sent := x.kc.now()
	resp, err := client.Do(request)
	x.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	x.must(err)
	w := window{sent, x.kc.now(), x.waited}
	x.noteTokens(string(body), w)
	return response{x, method, address, requestHeader, requestBody, resp.StatusCode, resp.Header,
		string(body), w}
}

func (x *exchange) get(address string, headers ...string) response {
	x.Helper()
	return x.send(http.MethodGet, address, "", headers...)
}

func (x *exchange) post(address string, values url.Values, headers ...string) response {
	x.Helper()
	headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	return x.send(http.MethodPost, address, values.Encode(), headers...)
}

// member returns a member of a JSON response, or nil.
func (a response) member(name string) any {
	var members object
	json.Unmarshal([]byte(a.body), &members)
	return members[name]
}

// field returns a member of a JSON response, which must be a string.
func (a response) field(name string) string {
	a.x.Helper()
	text, ok := a.member(name).(string)
	if !ok {
		a.x.Fatalf("no %s in %d %s", name, a.status, a.body)
	}
	return text
}

// claims returns the claims of a token in a JSON response.
func (a response) claims(name string) object {
	a.x.Helper()
	decoded, ok := decodeToken(a.field(name))
	if !ok {
		a.x.Fatalf("%s is not a token: %s", name, a.body)
	}
	return decoded.claims
}

// ok returns the response if it is a 200, and ends the exchange otherwise.
func (a response) ok() response {
	a.x.Helper()
	if a.status != http.StatusOK {
		a.x.Fatalf("%s %s: %d %s %s", a.method, a.url, a.status, a.header.Get("WWW-Authenticate"),
			a.body)
	}
	return a
}

// show records responses completely.
func (x *exchange) show(responses ...response) {
	for _, a := range responses {
		x.out.WriteString(a.requestText())
		fmt.Fprintln(&x.out, a.status)
		x.out.WriteString(a.headers())
		if a.isPage() {
			x.out.WriteString(x.page(a))
		} else {
			x.out.WriteString(x.json(a.body, a.window))
		}
		x.out.WriteString("\n")
	}
}

// showHead records only the status and the headers.
func (x *exchange) showHead(responses ...response) {
	for _, a := range responses {
		fmt.Fprintf(&x.out, "%s%d\n%s\n", a.requestText(), a.status, a.headers())
	}
}

// showAllowed records the lines "member: type" and "member: has element" of a document that lists
// features. The stand-in may lack some lines, except for members that other exchanges of the group
// show, but it may not have other lines.
func (x *exchange) showAllowed(lines []string) {
	if x.kc.name() != "keycloak" {
		var others strings.Builder
		for name, text := range x.group.record.recorded {
			if name != x.name {
				others.WriteString(text)
			}
		}
		recorded := strings.Split(strings.TrimSpace(x.group.record.recorded[x.name]), "\n")
		recorded = slices.DeleteFunc(recorded, func(line string) bool {
			member, value, _ := strings.Cut(line, ": ")
			shown := strings.Contains(others.String(), `"`+member+`": `) ||
				strings.Contains(others.String(), "# "+member+" has ")
			return shown && !strings.HasPrefix(value, "has ") && !slices.Contains(lines, line)
		})
		for _, line := range lines {
			if !slices.Contains(recorded, line) {
				recorded = append(recorded, line)
			}
		}
		lines = recorded
	}
	fmt.Fprintln(&x.out, strings.Join(lines, "\n"))
}

// showBody records only the status and the body.
func (x *exchange) showBody(responses ...response) {
	for _, a := range responses {
		fmt.Fprintf(&x.out, "%s%d\n%s\n", a.requestText(), a.status, x.json(a.body, a.window))
	}
}

// outcome records the status and the error of a step in one line, such as "first use: 200".
func (x *exchange) outcome(step string, a response) {
	line := fmt.Sprint(step, ": ", a.status)
	for _, text := range []any{a.member("error"), a.member("error_description"),
		a.header.Get("WWW-Authenticate")} {
		if text, _ := text.(string); text != "" {
			line += " " + x.text(text)
		}
	}
	fmt.Fprintln(&x.out, line)
}

// showToken records a decoded token of a response.
func (x *exchange) showToken(a response, name string) {
	x.Helper()
	x.out.WriteString(x.decoded(name, a.field(name), a.window))
}

// showMembers records some members of a JSON response.
func (x *exchange) showMembers(a response, names ...string) {
	var members object
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.UseNumber()
	decoder.Decode(&members)
	fmt.Fprintln(&x.out, x.render("", subset(members, names), timing{window: a.window}, ""))
}

// subset returns the members of an object with these names.
func subset(members object, names []string) object {
	part := object{}
	for _, name := range names {
		if value, ok := members[name]; ok {
			part[name] = value
		}
	}
	return part
}

// showClaims records some claims of a token of a response.
func (x *exchange) showClaims(a response, token string, names ...string) {
	x.Helper()
	fmt.Fprintf(&x.out, "%s %s\n", token,
		x.render("", subset(a.claims(token), names), timing{window: a.window}, ""))
}

// requestText formats the request, so that the record is complete.
func (a response) requestText() string {
	var lines strings.Builder
	fmt.Fprintf(&lines, "> %s %s\n", a.method, a.x.address(a.url))
	for _, name := range slices.Sorted(maps.Keys(a.requestHeader)) {
		for _, value := range a.requestHeader[name] {
			if value != "application/x-www-form-urlencoded" && value != browserAccept {
				fmt.Fprintf(&lines, "> %s: %s\n", name, a.x.headerValue(value))
			}
		}
	}
	if a.requestHeader.Get("Content-Type") != "application/x-www-form-urlencoded" {
		if a.requestBody != "" {
			fmt.Fprintf(&lines, "> %s\n", a.x.text(a.requestBody))
		}
		return lines.String()
	}
	if values, err := url.ParseQuery(a.requestBody); err == nil && a.requestBody != "" {
		fmt.Fprintf(&lines, "> %s\n", a.x.pairs(values))
	}
	return lines.String()
}

// headerNames are the recorded headers, in the order of the record.
var headerNames = []string{
	"Location", "Www-Authenticate", "Cache-Control", "Pragma", "Content-Type", "Allow", "Vary",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
	"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers",
	"Access-Control-Max-Age",
}

// securityHeaders are sent with nearly every response: the record has one line for all of them.
var securityHeaders = http.Header{
	"Referrer-Policy":           {"no-referrer"},
	"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"},
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"SAMEORIGIN"},
	"X-Robots-Tag":              {"none"},
}

func (a response) headers() string {
	var lines strings.Builder
	for _, name := range headerNames {
		for _, value := range a.header[name] {
			switch {
			case name == "Location":
				value = a.x.address(value)
			case strings.HasPrefix(name, "Access-Control-") && strings.Contains(value, ","):
				value = sortedWords(value, ", ")
			default:
				value = a.x.text(value)
			}
			fmt.Fprintf(&lines, "%s: %s\n", name, value)
		}
	}
	var cookies []string
	for _, cookie := range (&http.Response{Header: a.header}).Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			cookie.Name += " (removed)"
		}
		cookies = append(cookies, cookie.Name)
	}
	if slices.Sort(cookies); len(cookies) > 0 {
		fmt.Fprintf(&lines, "Set-Cookie: %s\n", strings.Join(slices.Compact(cookies), ", "))
	}
	lines.WriteString(a.securityHeaders())
	return lines.String()
}

func (a response) securityHeaders() string {
	var missing, other []string
	for _, name := range slices.Sorted(maps.Keys(securityHeaders)) {
		switch values := a.header[name]; {
		case len(values) == 0:
			missing = append(missing, name)
		case !slices.Equal(values, securityHeaders[name]):
			other = append(other, fmt.Sprintf("%s: %s\n", name, strings.Join(values, " | ")))
		}
	}
	switch {
	case len(missing) == len(securityHeaders):
		return "(no security headers)\n"
	case len(missing) > 0:
		return "(security headers without " + strings.Join(missing, ", ") + ")\n" +
			strings.Join(other, "")
	}
	return "(security headers)\n" + strings.Join(other, "")
}

// json normalizes a JSON body and decodes its tokens. Other bodies only get placeholders.
func (x *exchange) json(body string, w window) string {
	if body == "" {
		return ""
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(body)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil || decoder.More() {
		return x.text(body) + "\n"
	}
	text := x.render("", value, timing{window: w}, "") + "\n"
	if members, ok := value.(object); ok {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if token, ok := members[name].(string); ok {
				text += x.decoded(name, token, w)
			}
		}
	}
	return text
}
