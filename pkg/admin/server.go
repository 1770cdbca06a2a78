package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/limit"
)

// Server is the API.
type Server struct {
	o        Options
	start    time.Time // the limits count from it
	log      *zap.Logger
	metrics  *metrics
	router   *mux.Router
	api      huma.API
	document []byte

	requests, failures *limit.Each[string]
	changes            *limit.Each[string] // of tenants
	crowd              crowd
	looks              *looks
	crowded            limit.Bucket // of the line that says so
	remembered         *remembered
	uses               uses
	refused            chan catalog.AuditRecord // refusals on their way to the audit
	refusals           *limit.Each[string]
	noise              *limit.Each[string] // of one address and key
	applying           chan struct{}       // holds a token: one large body in memory at a time
	ordered            ordered
	address            atomic.Value // own host of the listener, a string
}

// New makes a server. It starts nothing and does no I/O.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		o: o, start: time.Now(), log: o.Logger, metrics: newMetrics(o.Registerer),
		requests: eachLimit(o.Rate, o.Burst), failures: eachLimit(o.FailedRate, o.FailedBurst),
		changes: eachLimit(o.TenantRate, o.TenantBurst),
		looks:   newLooks(), remembered: newRemembered(),
		refused: make(chan catalog.AuditRecord, 256), refusals: eachLimit(1, 50), noise: eachLimit(0.1, 20),
		applying: make(chan struct{}, 1),
	}
	s.address.Store("")
	s.router = mux.NewRouter().SkipClean(true) // no redirects: a path is right or it is not
	s.router.NotFoundHandler = http.HandlerFunc(s.noRoute)
	s.router.MethodNotAllowedHandler = http.HandlerFunc(s.noMethod)
	s.api = newAPI(s.router)
	s.sources()
	s.subscriptions()
	s.tenants()
	s.keys()
	s.sets()
	s.process()
	s.document = document(s.api)
	return s
}

// OpenAPI is the description of the API (OpenAPI 3.1, JSON).
func (s *Server) OpenAPI() []byte { return s.document }

// Handler serves the API without Run's limits on connections and time.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// visit is what is known of one request so far. It is the one thing beside cancellation
// that rides in the request's context, because huma hands nothing else through.
type visit struct {
	caller
	started   time.Time
	request   string // its id, which the answer, the log and the audit have
	remote    string // address of the connection
	addr      netip.Addr
	operation string // as the description calls it
	insider   bool   // this process, not a request
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok {
		return &visit{}
	}
	return v
}

// serve takes one request from its headers to the operation. What is cheap comes before
// what is dear, and who asks before what is asked, so that strangers learn nothing.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	v := &visit{started: time.Now(), request: uuid.NewString(), operation: "none"}
	v.addr, v.remote = peer(r.RemoteAddr)
	out := &answer{ResponseWriter: w, status: http.StatusOK}
	hardened(out.Header())
	out.Header().Set("X-Request-Id", v.request)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a request made the admin API panic", zap.String("request", v.request), zap.String("operation", v.operation),
				zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			if !out.written {
				write(out, internal())
			}
		}
		s.metrics.done(v, out.status)
	}()
	err := s.admit(r, v)
	if v.rights == nil { // a stranger keeps none of the connections that are there for all
		out.Header().Set("Connection", "close")
	}
	if err != nil {
		s.answer(out, v, err)
		return
	}
	if r.URL.Path == documentPath && r.Method == http.MethodGet {
		v.operation = "openapi"
		out.Header().Set("Content-Type", "application/openapi+json")
		_, _ = out.Write(s.document) // whoever would be told is the one who left
		return
	}
	s.router.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
}

// admit says whether the request may ask for anything at all.
func (s *Server) admit(r *http.Request, v *visit) error {
	if keyInURL(r.URL) {
		s.note(v, "key_in_url")
		return refuse(http.StatusBadRequest, "key_in_url", "there is an API key in the URL, where logs keep it: revoke that key, make another, and send it as Authorization: Bearer cwk_...")
	}
	if err := cmp.Or(s.checkHost(r), checkOrigin(r)); err != nil {
		s.note(v, err.Code)
		return err
	}
	if r.URL.Path == documentPath && len(r.Header.Values("Authorization")) == 0 {
		return s.pace("open " + v.remote) // it is the same for everybody, and in the sources
	}
	who, err := s.authenticate(r, v)
	v.caller = who
	if err != nil {
		if wait, ok := s.take(s.failures, v.remote); !ok {
			return tooMany(wait, "too many requests from this address were refused for their key")
		}
		s.note(v, "auth.refused")
		return err
	}
	if v.keyless {
		return s.pace("open " + v.remote)
	}
	return s.pace("key " + v.who)
}

func (s *Server) pace(who string) error {
	if wait, ok := s.take(s.requests, who); !ok {
		return tooMany(wait, "too many requests")
	}
	return nil
}

// answer gives an error to whoever asked. What is no Problem is the log's alone.
func (s *Server) answer(w http.ResponseWriter, v *visit, err error) { write(w, s.problem(v, err)) }

// problem is the error as it is answered.
func (s *Server) problem(v *visit, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if p := writeProblem(err); p != nil {
		s.log.Warn("the catalog could not be written", zap.String("request", v.request), zap.String("operation", v.operation), zap.Error(err))
		return p
	}
	s.log.Error("the admin API could not answer", zap.String("request", v.request), zap.String("operation", v.operation), zap.Error(err))
	return internal()
}

func internal() *Problem {
	return refuse(http.StatusInternalServerError, "internal", "something went wrong here that should not: the log has more under this request's X-Request-Id")
}

func write(w http.ResponseWriter, p *Problem) {
	maps.Copy(w.Header(), p.headers)
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // whoever would be told is the one who left
}

func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	s.answer(w, visitOf(r.Context()), refuse(http.StatusNotFound, "no_such_path", "nothing is at this path: %s describes what there is", documentPath))
}

func (s *Server) noMethod(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		var match mux.RouteMatch
		if s.router.Match(probe, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	s.answer(w, visitOf(r.Context()), refuse(http.StatusMethodNotAllowed, "method_not_allowed", "this path does not know the method: it knows %s", strings.Join(allowed, ", ")).
		with("Allow", strings.Join(allowed, ", ")))
}

// answer knows its status.
type answer struct {
	http.ResponseWriter
	status  int
	written bool
}

func (a *answer) WriteHeader(status int) {
	if !a.written {
		a.status, a.written = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.written = true
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
