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

// An answer is an HTTP answer, with what was asked.
type answer struct {
	x       *exchange
	method  string
	url     string
	asked   http.Header
	content string // the request's body
	status  int
	header  http.Header
	body    string
	window  window
}

// direct neither follows redirects nor keeps cookies, and asks for no compression.
var direct = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send asks. Headers are names and values in turn; nothing is added to them but Go's User-Agent.
func (x *exchange) send(method, address, content string, headers ...string) answer {
	x.Helper()
	return x.sendBy(direct, method, address, content, headers...)
}

func (x *exchange) sendBy(client *http.Client, method, address, content string,
	headers ...string) answer {
	x.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(content))
	x.must(err)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	asked := request.Header.Clone()
	sent := x.side.now()
	response, err := client.Do(request)
	x.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	x.must(err)
	w := window{sent, x.side.now(), x.passed}
	x.noteTokens(string(body), w)
	return answer{x, method, address, asked, content, response.StatusCode, response.Header,
		string(body), w}
}

func (x *exchange) get(address string, headers ...string) answer {
	x.Helper()
	return x.send(http.MethodGet, address, "", headers...)
}

func (x *exchange) post(address string, values url.Values, headers ...string) answer {
	x.Helper()
	headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	return x.send(http.MethodPost, address, values.Encode(), headers...)
}

// member is a member of a JSON answer, or nil.
func (a answer) member(name string) any {
	var members object
	json.Unmarshal([]byte(a.body), &members)
	return members[name]
}

// field is a text member of a JSON answer, which must be there.
func (a answer) field(name string) string {
	a.x.Helper()
	text, ok := a.member(name).(string)
	if !ok {
		a.x.Fatalf("no %s in %d %s", name, a.status, a.body)
	}
	return text
}

// claims are those of a token in a JSON answer.
func (a answer) claims(name string) object {
	a.x.Helper()
	opened, ok := openToken(a.field(name))
	if !ok {
		a.x.Fatalf("%s is no token: %s", name, a.body)
	}
	return opened.claims
}

// ok wants a 200: for answers that an exchange goes on from.
func (a answer) ok() answer {
	a.x.Helper()
	if a.status != http.StatusOK {
		a.x.Fatalf("%s %s: %d %s %s", a.method, a.url, a.status, a.header.Get("WWW-Authenticate"),
			a.body)
	}
	return a
}

// show records answers as a whole.
func (x *exchange) show(answers ...answer) {
	for _, a := range answers {
		x.out.WriteString(a.question())
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

// showHead records the status and the headers alone: for bodies that are shown elsewhere.
func (x *exchange) showHead(answers ...answer) {
	for _, a := range answers {
		fmt.Fprintf(&x.out, "%s%d\n%s\n", a.question(), a.status, a.headers())
	}
}

// showAtMost records lines of which the stand-in may have fewer: it doesn't say that it has what it
// hasn't. It has the members that the group's other exchanges show, though.
func (x *exchange) showAtMost(lines []string) {
	if x.side.name() != "keycloak" {
		var others strings.Builder
		for name, text := range x.group.record.recorded {
			if name != x.play {
				others.WriteString(text)
			}
		}
		recorded := strings.Split(strings.TrimSpace(x.group.record.recorded[x.play]), "\n")
		recorded = slices.DeleteFunc(recorded, func(line string) bool {
			member, what, _ := strings.Cut(line, ": ")
			shown := strings.Contains(others.String(), `"`+member+`": `) ||
				strings.Contains(others.String(), "# "+member+" has ")
			return shown && !strings.HasPrefix(what, "has ") && !slices.Contains(lines, line)
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

// showBody records the status and the body alone: for steps whose headers are shown elsewhere.
func (x *exchange) showBody(answers ...answer) {
	for _, a := range answers {
		fmt.Fprintf(&x.out, "%s%d\n%s\n", a.question(), a.status, x.json(a.body, a.window))
	}
}

// outcome records how a step ended, in a line: "first use: 200".
func (x *exchange) outcome(step string, a answer) {
	line := fmt.Sprint(step, ": ", a.status)
	for _, text := range []any{a.member("error"), a.member("error_description"),
		a.header.Get("WWW-Authenticate")} {
		if text, _ := text.(string); text != "" {
			line += " " + x.text(text)
		}
	}
	fmt.Fprintln(&x.out, line)
}

// showToken records one token of an answer, opened.
func (x *exchange) showToken(a answer, name string) {
	x.Helper()
	x.out.WriteString(x.opened(name, a.field(name), a.window))
}

// showMembers records some members of a JSON answer.
func (x *exchange) showMembers(a answer, names ...string) {
	var members object
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.UseNumber()
	decoder.Decode(&members)
	fmt.Fprintln(&x.out, x.render("", some(members, names), normal{window: a.window}, ""))
}

// some is the part of an object with these names.
func some(members object, names []string) object {
	part := object{}
	for _, name := range names {
		if value, ok := members[name]; ok {
			part[name] = value
		}
	}
	return part
}

// showClaims records some claims of a token of an answer: those that the exchange is about.
func (x *exchange) showClaims(a answer, token string, names ...string) {
	x.Helper()
	fmt.Fprintf(&x.out, "%s %s\n", token,
		x.render("", some(a.claims(token), names), normal{window: a.window}, ""))
}

// question is what was asked, so that a record can be read by itself.
func (a answer) question() string {
	var lines strings.Builder
	fmt.Fprintf(&lines, "> %s %s\n", a.method, a.x.address(a.url))
	for _, name := range slices.Sorted(maps.Keys(a.asked)) {
		for _, value := range a.asked[name] {
			if value != "application/x-www-form-urlencoded" && value != browserAccept {
				fmt.Fprintf(&lines, "> %s: %s\n", name, a.x.askedHeader(value))
			}
		}
	}
	if a.asked.Get("Content-Type") != "application/x-www-form-urlencoded" {
		if a.content != "" {
			fmt.Fprintf(&lines, "> %s\n", a.x.text(a.content))
		}
		return lines.String()
	}
	if values, err := url.ParseQuery(a.content); err == nil && a.content != "" {
		fmt.Fprintf(&lines, "> %s\n", a.x.pairs(values))
	}
	return lines.String()
}

// The headers that are contract, in the order of the record.
var headerNames = []string{
	"Location", "Www-Authenticate", "Cache-Control", "Pragma", "Content-Type", "Allow", "Vary",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
	"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers",
	"Access-Control-Max-Age",
}

// Keycloak sends these everywhere, or nearly: one word for all of them keeps the record readable.
var securityHeaders = http.Header{
	"Referrer-Policy":           {"no-referrer"},
	"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"},
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"SAMEORIGIN"},
	"X-Robots-Tag":              {"none"},
}

func (a answer) headers() string {
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

func (a answer) securityHeaders() string {
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

// json normalises a JSON body, and opens the tokens in it. Any other text stays as it is.
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
	text := x.render("", value, normal{window: w}, "") + "\n"
	if members, ok := value.(object); ok {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if token, ok := members[name].(string); ok {
				text += x.opened(name, token, w)
			}
		}
	}
	return text
}
