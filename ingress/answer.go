package ingress

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// serve answers one request and says in metrics and, if it was refused, in one log line
// what came of it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	v := &visit{started: time.Now(), name: sourceName(r.URL.Path)}
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("panic", zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
			s.refuse(w, r, v, fmt.Errorf("%w: panic", errInternal))
		}
		s.metrics.duration.Observe(seconds(v.started))
	}()
	a, err := s.receive(w, r, v)
	if err != nil {
		s.refuse(w, r, v, err)
		return
	}
	v.traced(a.outcome, a.status)
	s.accept(w, v.source, a)
}

// accept writes the answer to a request that was not refused.
func (s *Server) accept(w http.ResponseWriter, src *source, a answer) {
	switch a.outcome {
	case outcomeReceived:
		src.metrics.received.Inc()
	case outcomeDuplicate:
		src.metrics.duplicate.Inc()
		s.metrics.duplicates.Inc()
	default:
		s.metrics.count(src, a.outcome)
	}
	s.write(w, a)
}

// accepted is the answer to an event that is stored.
func (src *source) accepted(id string, first bool) answer {
	outcome := outcomeDuplicate
	if first {
		outcome = outcomeReceived
	}
	if src.reply != nil {
		return answer{outcome, src.reply.Status, src.contentType, src.reply.Body}
	}
	// An ID is visible ASCII, of which Go and JSON quote the same two characters in
	// the same way.
	body := make([]byte, 0, 40+len(id))
	body = append(append(append(body, `{"status":"`...), outcome...), `","id":`...)
	body = append(strconv.AppendQuote(body, id), '}', '\n')
	return answer{outcome, http.StatusOK, src.contentType, body}
}

// refuse writes the problem that the error means, and the one line about it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	refusal := refusalOf(s.refusals, err)
	s.metrics.count(v.source, refusal.code)
	v.traced(refusal.code, refusal.status)
	s.logRefusal(r, v, refusal, err)

	header := w.Header()
	if seconds := max(refusal.retryAfter, int((v.retryAfter+time.Second-1)/time.Second)); seconds > 0 {
		header.Set("Retry-After", strconv.Itoa(seconds))
	}
	switch refusal.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", v.source.allow)
	case http.StatusUnsupportedMediaType:
		header.Set("Accept-Encoding", v.source.encodings())
	}
	if !v.bodyRead && r.ContentLength != 0 {
		// Or net/http would first read what is left of the body, as slowly as it comes.
		header.Set("Connection", "close")
	}
	s.write(w, answer{status: refusal.status, contentType: []string{"application/problem+json"}, body: refusal.problem()})
}

func (src *source) encodings() string {
	if src.Gzip {
		return "gzip"
	}
	return "identity"
}

func (s *Server) write(w http.ResponseWriter, a answer) {
	header := w.Header()
	if a.contentType != nil {
		header["Content-Type"] = a.contentType
	}
	if a.outcome == outcomeHandshake {
		header.Set("X-Content-Type-Options", "nosniff") // it gives back what the request said
	}
	if s.draining.Load() {
		header.Set("Connection", "close") // so that the client goes to another process
	}
	w.WriteHeader(a.status)
	// The answer is as good as out; if it gets lost the provider sends again, and is
	// told "already processed".
	_, _ = w.Write(a.body)
}

// logRefusal writes what one needs in order to mend it: never the query, a header that
// authenticates, or the body.
func (s *Server) logRefusal(r *http.Request, v *visit, refusal *refusal, err error) {
	level := zapcore.InfoLevel
	if refusal.status >= http.StatusInternalServerError {
		level = zapcore.WarnLevel
	}
	line := s.log.Check(level, "webhook refused: "+refusal.code)
	if line == nil {
		return
	}
	line.Write(
		zap.String("source", clipped(v.name)),
		zap.Int("status", refusal.status),
		zap.String("code", refusal.code),
		zap.Error(err),
		zap.String("client", v.remote()),
		zap.String("peer", r.RemoteAddr),
		zap.String("method", clipped(r.Method)),
		zap.Int64("content_length", r.ContentLength),
		zap.Int("body", v.size),
		zap.String("event", v.id),
		zap.Duration("took", time.Since(v.started)),
	)
}

// clipped keeps a stranger's text from filling the log.
func clipped(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// sampled bounds what a flood of refusals costs in log lines: each kind of line a
// hundred times a second, then every hundredth. The metrics count them all.
func sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 100, 100)
	}))
}
