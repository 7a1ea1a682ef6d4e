package keycloaktest

import (
	"bytes"
	"html/template"
)

// A page is what a person sees. Pages are plain; what programs look at is as in Keycloak's: the
// page's id and its words, the ids of forms, and the names of their fields.
type page struct {
	ID     string // data-page-id
	Title  string
	Who    string // who is signing in, where it can't be anybody else
	Note   string // on top
	Errors []string
	Text   string
	Links  []link
	List   []string
	Frames []frame
	Next   template.URL // where to go on; checked against the client's patterns
	Form   *form
}

type link struct{ Text, To string }

// A frame tells a client of a logout.
type frame struct{ Client, Source string }

type form struct {
	ID     string
	Action string
	Fields []field
	Submit string // of a button without a name
}

type field struct{ Name, Kind, Label, Value string }

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body data-page-id="{{.ID}}">
<h1 id="kc-page-title">{{.Title}}</h1>
{{with .Note}}<p class="kc-feedback-text">{{.}}</p>
{{end}}{{range .Errors}}<p id="input-error">{{.}}</p>
{{end}}{{with .Who}}<p id="kc-attempted-username">{{.}}</p>
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

func (p page) answer(status int, cache string) answer {
	return written(pageTemplate, p, status, cache).with("Content-Type", "text/html;charset=utf-8")
}

func written(t *template.Template, content any, status int, cache string) answer {
	var body bytes.Buffer
	if err := t.Execute(&body, content); err != nil {
		panic("keycloaktest: a page of our own can't be written: " + err.Error())
	}
	out := secured(answer{status: status, body: body.Bytes()})
	if cache != "" {
		out = out.with("Cache-Control", cache)
	}
	return out
}

// errorPage is where people end up whom nobody can be sent back to.
func errorPage(status int, message string) answer {
	return page{ID: "login-error", Title: "We are sorry...", Text: message}.answer(status, "")
}

// The page that sends an answer on to the client. The tags are in capitals like Keycloak's.
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

func formPost(to string, pairs []string) answer {
	f := struct {
		Action template.URL // checked like page.Next
		Fields []field
	}{Action: template.URL(to)}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Fields = append(f.Fields, field{Name: pairs[i], Value: pairs[i+1]})
	}
	return written(formPostTemplate, f, 200, noBack).with("Content-Type", "text/html")
}
