package apierror_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// Errors of gqlgen's own transport repeat the body of the request, and errors of gqlparser repeat
// parts of the document. Present replaces their messages, and doesn't log them.
func TestPresenter_Present_rejectedRequests(t *testing.T) {
	const canary = "c4nary_p4ssw0rd"
	for body, want := range map[string]string{
		`{"query":"{ buy }","variables":{"password":"` + canary +
			`"`: `{"message":"The request is malformed","extensions":{"code":"BAD_REQUEST"}}`,
		`{"query":"{ buy(a: \"` + canary +
			`) }"}`: `{"message":"Syntax ` +
			`error","locations":[{"line":1,"column":29}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}`,
		`{"query":"{ ` + canary +
			` }"}`: `{"message":"The document or its variables don't fit the ` +
			`schema","locations":[{"line":1,"column":3}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}`,
		`{"query":"{ buy }","operationName":"` + canary +
			`"}`: `{"message":"The document or its variables don't fit the ` +
			`schema","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}`,
		`{"query":"query Deep { buy }"}`: `{"message":"The ` +
			`operation is nested too ` +
			`deeply","extensions":{"code":"OPERATION_TOO_LARGE","reason":"DEPTH"}}`,
	} {
		for _, detail := range []bool{false, true} {
			var logOutput bytes.Buffer
			presenter := &apierror.Presenter{Detail: detail,
				Log: slog.New(slog.NewTextHandler(&logOutput, nil))}
			server := handler.New(
				newShopSchema(map[string]resolver{"buy": func(context.Context) error {
					panic("the resolver was called")
				}}))
			server.AddTransport(transport.POST{})
			server.Use(depthRejecter{})
			server.SetErrorPresenter(presenter.Present)
			server.SetRecoverFunc(presenter.Recover)
			request := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
			request.Header.Set("Content-Type", "application/json")
			response := httptest.NewRecorder()
			server.ServeHTTP(response, request)
			got := response.Body.String()
			if logOutput.Len() != 0 {
				t.Errorf("%s: logged %s, want nothing", body, logOutput.String())
			}
			// The error of depthRejecter has its own message, so it has no detail.
			wantDetail := detail && !strings.Contains(want, "nested")
			switch {
			case !detail && got != `{"errors":[`+want+`],"data":null}`:
				t.Errorf("%s\n got %s\nwant %s", body, got, want)
			case strings.Contains(got, `"detail":`) != wantDetail:
				t.Errorf("%s with Detail %t: got %s, want a detail: %t", body, detail, got,
					wantDetail)
			}
		}
	}
}

// A depthRejecter is a gqlgen extension that rejects the operation Deep, as package limits rejects
// operations that are nested too deeply.
type depthRejecter struct{}

func (depthRejecter) ExtensionName() string                   { return "DepthRejecter" }
func (depthRejecter) Validate(graphql.ExecutableSchema) error { return nil }

func (depthRejecter) MutateOperationContext(
	_ context.Context, o *graphql.OperationContext,
) *gqlerror.Error {
	if o.Operation.Name != "Deep" {
		return nil
	}
	return apierror.New(apierror.CodeOperationTooLarge, apierror.ReasonDepth,
		"The operation is nested too deeply")
}
