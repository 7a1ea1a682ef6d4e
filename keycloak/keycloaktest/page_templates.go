package keycloaktest

import (
	"bytes"
	"html/template"
)

// A page is an HTML page without styling. The parts that programs look for are the same as in
// Keycloak: page IDs, texts, form IDs and field names.
type page struct {
	ID       string // data-page-id
	Title    string
	Username string // shown instead of the username field if the user is known
	Note     string // message at the top of the page
	Errors   []string
	Text     string
	Links    []link
	List     []string
	Frames   []frame
	Next     template.URL // the URL of the Continue link, validated against the client's patterns
	Form     *form
}

type link struct{ Text, To string }

// A frame is an iframe that logs out a client.
type frame struct{ Client, Source string }

type form struct {
	ID     string
	Action string
	Fields []field
	Submit string // label of a button without a name
}

type field struct{ Name, Kind, Label, Value string }

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body data-page-id="{{.ID}}">
<h1 id="kc-page-title">{{.Title}}</h1>
{{with .Note}}<p class="kc-feedback-text">{{.}}</p>
{{end}}{{range .Errors}}<p id="input-error">{{.}}</p>
{{end}}{{with .Username}}<p id="kc-attempted-username">{{.}}</p>
{{end}}{{with .Text}}<p class="instruction">{{.}}</p>
{{end}}{{with .Links}}<p class="instruction">{{range .}}{{.Text}} <a href="{{.To}}">Click here</a> .
{{end}}</p>
{{end}}{{with .List}}<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>
{{end}}{{with .Frames}}<ul>{{range .}}<li>{{.Client}} <iframe src="{{.Source}}" hidden></iframe></li>{{end}}</ul>
{{end}}{{with .Next}}<a id="continue" href="{{.}}">Continue</a>
{{end}}{{with .Form}}<form {{with .ID}}id="{{.}}" {{end}}action="{{.Action}}" method="post">
{{range .Fields}}{{if eq .Kind "submit"}}<button type="submit" name="{{.Name}}"{{with .Value}} value="{{.}}"{{end}}>{{.Label}}</button>
{{else if eq .Kind "hidden"}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{else}}<label>{{.Label}} <input type="{{.Kind}}" name="{{.Name}}" value="{{.Value}}"></label>
{{end}}{{end}}{{with .Submit}}<button type="submit">{{.}}</button>
{{end}}</form>
{{end}}</body>
</html>
`))

func (p page) response(status int, cacheControl string) response {
	return render(pageTemplate, p, status, cacheControl).
		withHeader("Content-Type", "text/html;charset=utf-8")
}

func render(t *template.Template, content any, status int, cacheControl string) response {
	var body bytes.Buffer
	if err := t.Execute(&body, content); err != nil {
		panic("keycloaktest: a page can't be rendered: " + err.Error())
	}
	resp := withSecurityHeaders(response{status: status, body: body.Bytes()})
	if cacheControl != "" {
		resp = resp.withHeader("Cache-Control", cacheControl)
	}
	return resp
}

// errorPage returns a page for an error that can't be sent to the client.
func errorPage(status int, message string) response {
	return page{ID: "login-error", Title: "We are sorry...", Text: message}.response(status, "")
}

// formPostTemplate is the page that posts a response to the client. Its tags are in upper case, as
// in Keycloak.
var formPostTemplate = template.Must(template.New("form_post").Parse(`<HTML>
<HEAD><TITLE>OIDC Form_Post Response</TITLE></HEAD>
<BODY Onload="document.forms[0].submit()">
<FORM METHOD="POST" ACTION="{{.Action}}">
{{range .Fields}}<INPUT TYPE="HIDDEN" NAME="{{.Name}}" VALUE="{{.Value}}" />
{{end}}<NOSCRIPT><INPUT TYPE="SUBMIT" VALUE="CONTINUE" /></NOSCRIPT>
</FORM>
</BODY>
</HTML>
`))

func formPostPage(action string, pairs []string) response {
	f := struct {
		Action template.URL // validated, like page.Next
		Fields []field
	}{Action: template.URL(action)}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Fields = append(f.Fields, field{Name: pairs[i], Value: pairs[i+1]})
	}
	return render(formPostTemplate, f, 200, neverCache).withHeader("Content-Type", "text/html")
}
