package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
)

const (
	documentPath = BasePath + "/openapi.json"

	smallBody = 320 << 10 // a spec of 256 KiB
	largeBody = 64 << 20  // a set of 100,000 entries
	// mostValues is how many values a small body may have, about: huma makes an error of
	// each that is wrong before anybody can stop it.
	mostValues = 10_000

	bodyTime      = 20 * time.Second
	largeBodyTime = 3 * time.Minute
)

// operation is one thing that the API can be asked for.
type operation struct {
	id, method, path string
	summary          string
	needs            []right
	operator         bool // a tenant's key may not, whatever its roles
	status           int  // of success, when it is not what is usual
	large            bool // its body may be
}

// body says whether the operation takes one. A POST may have none, and is still asked
// for its content type, which a page of another site can send only with its browser's
// leave.
func (op operation) body() bool { return op.method == http.MethodPost || op.method == http.MethodPut }

// init lets huma take names of fields as they are written. Otherwise SET would do for
// set, and with both there one is looked at and the other one taken.
func init() { huma.ValidateStrictCasing = true }

// newAPI gives an API without operations.
func newAPI(router *mux.Router) huma.API {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schemas.RegisterTypeAlias(reflect.TypeFor[catalog.Duration](), reflect.TypeFor[durationText]())
	schemas.RegisterTypeAlias(reflect.TypeFor[catalog.Size](), reflect.TypeFor[sizeText]())
	schemas.RegisterTypeAlias(reflect.TypeFor[catalog.Rate](), reflect.TypeFor[rateText]())
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "causeway", Version: "1",
				Description: "Looks at causeway and changes its catalog. Errors are problems (RFC 9457) with a code that stays the same.",
			},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "An API key, cwk_ID_SECRET. A listener on loopback lets those who are there in without one."},
				},
			},
			Security: []map[string][]string{{"key": {}}, {}},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{problems},
	}
	return humamux.New(router, config)
}

// document is the description of the API.
func document(api huma.API) []byte {
	// Huma's own forms of errors never leave here: see problems.
	schemas := api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	text, err := json.Marshal(api.OpenAPI())
	if err != nil {
		panic(err) // made of our own types alone
	}
	return text
}

// register adds an operation. What do gives as an error is answered as a Problem.
func register[I, O any](s *Server, op operation, do func(context.Context, *visit, *I) (*O, error)) {
	described := huma.Operation{
		OperationID: op.id, Method: op.method, Path: BasePath + op.path, Summary: op.summary, DefaultStatus: op.status,
		Tags:         []string{strings.SplitN(op.path, "/", 3)[1]},
		MaxBodyBytes: -1, BodyReadTimeout: -1, // the guard has read it
		Responses:   s.refusalsOf(op),
		Middlewares: huma.Middlewares{s.guard(op)},
	}
	if op.method == http.MethodPost {
		described.Parameters = []*huma.Param{{
			Name: "Idempotency-Key", In: "header", Description: "A text that no other request has: the same request sent again with it gets the same answer, for a day.",
			Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(longestIdempotencyKey), Pattern: "^[!-~]+$"},
		}}
	}
	if len(op.needs) > 0 {
		described.Description = "Needs the right " + join(op.needs) + " (" + grantedBy(op.needs) + ")."
		if op.operator {
			described.Description += " Not for a tenant's key."
		}
	}
	huma.Register(s.api, described, func(ctx context.Context, in *I) (*O, error) {
		v := visitOf(ctx)
		out, err := do(ctx, v, in)
		if err != nil {
			p := s.problem(v, err)
			if p.Status == http.StatusForbidden {
				s.note(v, op.id)
			}
			return nil, p
		}
		return out, nil
	})
}

// refusalsOf describes the errors of an operation.
func (s *Server) refusalsOf(op operation) map[string]*huma.Response {
	statuses := []int{400, 401, 403, 404, 422, 429, 500, 503}
	if op.body() {
		statuses = append(statuses, 408, 409, 413, 415)
	}
	if strings.Contains(op.path, "{id}") {
		statuses = append(statuses, 409) // two tenants may have what is named
	}
	if op.method == http.MethodPut || op.method == http.MethodDelete {
		statuses = append(statuses, 412)
	}
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	responses := map[string]*huma.Response{}
	for _, status := range statuses {
		responses[statusText(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     map[string]*huma.MediaType{problemType: {Schema: schema}},
		}
	}
	if op.method == http.MethodGet && strings.HasSuffix(op.path, "}") {
		responses["304"] = &huma.Response{Description: "It has not changed since the version in If-None-Match."}
	}
	return responses
}

// guard stands before an operation: rights first, then the body, and only then whatever
// the operation does.
func (s *Server) guard(op operation) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humamux.Unwrap(ctx)
		v := visitOf(r.Context())
		v.operation = op.id
		if err := s.allowed(op, v); err != nil {
			s.note(v, op.id)
			s.answer(w, v, err)
			return
		}
		if err := s.share(op, v); err != nil {
			s.answer(w, v, err)
			return
		}
		defer s.unshare(v)
		if !op.body() {
			next(ctx)
			return
		}
		if op.large {
			select {
			case s.applying <- struct{}{}:
				defer func() { <-s.applying }()
			default:
				s.answer(w, v, tooMany(5*time.Second, "another set is being applied"))
				return
			}
		}
		body, err := readBody(w, r, op)
		if err != nil {
			s.answer(w, v, err)
			return
		}
		r = r.WithContext(r.Context()) // the router's own stays as it is
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.once(w, r, v, op, body, func(w http.ResponseWriter) {
			next(humamux.NewContext(ctx.Operation(), r, w))
		})
	}
}

// allowed says whether the caller may ask for the operation.
func (s *Server) allowed(op operation, v *visit) error {
	if missing := v.missing(op.needs); len(missing) > 0 {
		return refuse(http.StatusForbidden, "forbidden", "this needs the right %s, which the key does not have: the role %s has it", join(missing), grantedBy(op.needs))
	}
	if op.operator && v.tenant != "" {
		return refuse(http.StatusForbidden, "operator_only", "this is for the operator's keys; this one is of a tenant")
	}
	return nil
}

// readBody reads the body of an operation whose caller may ask for it.
func readBody(w http.ResponseWriter, r *http.Request, op operation) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "the request wants Content-Type: application/json, without a body too")
	}
	limit, patience := int64(smallBody), bodyTime
	if op.large {
		limit, patience = largeBody, largeBodyTime
	}
	tooLarge := refuse(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than %d KiB", limit>>10)
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(patience)) // not every writer has one, tests' do not
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	// Left in place, it would end the request's context while the operation works.
	_ = deadlines.SetReadDeadline(time.Time{})
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case err == nil && !op.large && bytes.Count(body, []byte{','}) > mostValues:
		return nil, refuse(http.StatusRequestEntityTooLarge, "too_large", "the body has more than %d values", mostValues)
	case err == nil:
		return body, nil
	case isNet && timeout.Timeout():
		return nil, refuse(http.StatusRequestTimeout, "too_slow", "the body did not arrive within %s", patience)
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge
	}
	return nil, refuse(http.StatusBadRequest, "bad_request", "the body could not be read to its end")
}

// note sends a refusal to the audit, in the background and not more of them than
// somebody can read; of one address and key fewer still, and of each tenant and of all
// strangers so many, so that nobody hides another's behind many of his own.
func (s *Server) note(v *visit, action string) {
	record, crowd := v.audit("refused."+action), "tenant "+v.tenant
	if v.rights == nil { // who it is was claimed, and not proved
		record.Who, crowd = "unknown", "strangers"
		if v.who != "" {
			record.Kind, record.UID = catalog.KindKey, v.who
		}
	}
	_, own := s.take(s.noise, v.who+" "+v.remote)
	if own {
		_, own = s.take(s.refusals, crowd)
	}
	if !own {
		s.metrics.unnoted.Inc()
		return
	}
	select {
	case s.refused <- record:
	default:
		s.metrics.unnoted.Inc()
	}
	s.log.Info("refused a request", zap.String("action", action), zap.String("who", record.Who), zap.String("key", record.UID), zap.String("remote", v.remote), zap.String("request", v.request))
}
