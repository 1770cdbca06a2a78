package admin

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"causeway/pkg/catalog"
)

// refuse makes a Problem. Its text goes to whoever asked: no secret, and nothing of
// another tenant, may be in it.
func refuse(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Code: code, Detail: fmt.Sprintf(format, args...)}
}

// with gives the problem a header.
func (p *Problem) with(name, value string) *Problem {
	if p.headers == nil {
		p.headers = http.Header{}
	}
	p.headers.Set(name, value)
	return p
}

// GetStatus is the status that the answer has; the name is huma's.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the answer's headers that belong to the problem; the name is huma's.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType is that of RFC 9457; the name is huma's.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// notFound is said of what is not there and of what the caller must not know of: the
// two are one answer.
func notFound(kind catalog.Kind, id string) *Problem {
	return refuse(http.StatusNotFound, "not_found", "there is no %s %q", kind, clip(id))
}

// clip keeps a stranger's text from filling an answer.
func clip(text string) string {
	if len(text) > 80 {
		return strings.ToValidUTF8(text[:80], "") + "..."
	}
	return text
}

// mostErrors is how many errors an answer lists.
const mostErrors = 100

// invalid is everything wrong with what was sent, each at its place; of very much the
// beginning.
func invalid(faults []catalog.Fault) *Problem {
	p := refuse(http.StatusUnprocessableEntity, "invalid", "what was sent cannot be taken: %d things are wrong with it", len(faults))
	if len(faults) == 1 {
		p.Detail = "what was sent cannot be taken: one thing is wrong with it"
	}
	for _, f := range faults[:min(len(faults), mostErrors)] {
		p.Errors = append(p.Errors, ProblemItem{Location: strings.Join(f.Path, "."), Message: f.Text})
	}
	return p
}

// problems turns what huma itself answers into a Problem. Its details repeat the values
// that were sent, and a body that is no JSON as a whole: they are left out, since a
// secret may be among them.
func problems(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := refuse(e.Status, humaCode(e.Status), "%s", e.Detail)
	if e.Status >= http.StatusInternalServerError {
		p.Detail = "something went wrong here that should not: the log has more under this request's X-Request-Id"
		return p, nil
	}
	for _, d := range e.Errors[:min(len(e.Errors), mostErrors)] {
		if d != nil {
			p.Errors = append(p.Errors, ProblemItem{Location: dotted(d.Location), Message: clip(d.Message)})
		}
	}
	switch {
	case e.Status == http.StatusUnprocessableEntity:
		p.Detail = "what was sent cannot be taken"
	case len(p.Errors) > 0:
		p.Detail = "the body cannot be read as JSON"
	}
	return p, nil
}

func humaCode(status int) string {
	switch status {
	case http.StatusUnprocessableEntity:
		return "invalid"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	case http.StatusBadRequest:
		return "bad_request"
	}
	return "internal"
}

// dotted writes body.sources[3].url as body.sources.3.url, which is how faults of the
// catalog are written.
func dotted(location string) string {
	return clip(strings.ReplaceAll(strings.ReplaceAll(location, "[", "."), "]", ""))
}
