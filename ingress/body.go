package ingress

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// firstBuffer is what is set aside for a body before any of it is there. A request that
// announces a megabyte gets the memory for it only as the bytes come.
const firstBuffer = 16 << 10

// checkContent refuses what the headers alone show to be of no use, and says whether the
// body is compressed.
func checkContent(r *http.Request, src *source) (gzipped bool, err error) {
	if r.ContentLength > src.maxBody {
		return false, fmt.Errorf("%w: %d bytes announced, the limit is %d", errBodyTooLarge, r.ContentLength, src.maxBody)
	}
	if types := r.Header["Content-Type"]; len(types) > 1 || len(types) == 1 && !isMediaType(types[0]) {
		return false, errContentType
	}
	switch encodings := r.Header["Content-Encoding"]; {
	case len(encodings) == 0:
		return false, nil
	case len(encodings) > 1:
		return false, fmt.Errorf("%w: %d headers", errContentEncoding, len(encodings))
	case strings.EqualFold(encodings[0], "identity"):
		return false, nil
	case src.Gzip && strings.EqualFold(encodings[0], "gzip"):
		return true, nil
	default:
		return false, fmt.Errorf("%w: %.32q", errContentEncoding, encodings[0])
	}
}

// maxMediaType bounds a Content-Type, which goes into a record header.
const maxMediaType = 256

// isMediaType wants the form type/subtype and leaves parameters alone: what subscribers
// get is what the provider wrote, sloppy or not.
func isMediaType(text string) bool {
	essence, _, _ := strings.Cut(text, ";")
	kind, sub, ok := strings.Cut(strings.TrimRight(essence, " \t"), "/")
	return ok && len(text) <= maxMediaType && isToken(kind) && isToken(sub)
}

func isToken(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return text != ""
}

// readBody reads the whole body, of at most limit bytes, into memory that v holds.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, v *visit, limit int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	p := pace{
		conn: http.NewResponseController(w), chunked: r.ContentLength < 0, started: v.started,
		grace: s.options.BodyGrace, rate: s.options.MinBodyRate, end: s.options.ReadTimeout,
	}
	first, most := int64(firstBuffer), limit
	if r.ContentLength > 0 {
		first, most = r.ContentLength, r.ContentLength
	}
	body, err := readAll(r.Body, min(first, firstBuffer), most, &v.held, &p)
	switch {
	case errors.Is(err, errBodyTooLarge), errors.Is(err, errMemory):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w after %d bytes: %w", readFault(err), len(body), err)
	}
	return body, nil
}

// inflate decompresses a body to look inside. A bomb ends at the limit that bodies have
// anyway.
func inflate(body []byte, limit int64, held *holding) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	out, err := readAll(z, min(limit+1, max(firstBuffer, 2*int64(len(body)))), limit, held, nil)
	switch {
	case errors.Is(err, errBodyTooLarge), errors.Is(err, errMemory):
		return nil, fmt.Errorf("decompressed: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return out, nil
}

// readAll reads to the end, into a buffer that begins with first bytes and is as large
// as its content at most twice over; held pays for it.
func readAll(from io.Reader, first, limit int64, held *holding, p *pace) ([]byte, error) {
	buf, err := reserve(nil, first, held)
	if err != nil {
		return nil, err
	}
	for {
		if len(buf) == cap(buf) {
			if buf, err = reserve(buf, min(limit+1, 2*int64(cap(buf))), held); err != nil {
				return nil, err
			}
		}
		n, err := from.Read(p.next(len(buf), buf[len(buf):cap(buf)]))
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, fmt.Errorf("%w: the limit is %d bytes", errBodyTooLarge, limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return buf, err
		}
	}
}

// reserve moves the content to a buffer of that size.
func reserve(content []byte, size int64, held *holding) ([]byte, error) {
	if !held.take(size - int64(cap(content))) {
		return nil, errMemory
	}
	return append(make([]byte, 0, size), content...), nil
}

// readFault tells a body that stopped from one that was never well formed.
func readFault(err error) error {
	var network net.Error // a timeout, a reset
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &network) {
		return errBodyIncomplete
	}
	return errMalformed
}

// pace is the slowest that a body may come.
type pace struct {
	conn    *http.ResponseController
	chunked bool
	started time.Time
	grace   time.Duration
	rate    int64         // bytes per second
	end     time.Duration // for all of it
}

// slice is the most that one read of a chunked body asks for: such a read does not
// return what is there, but waits until it has all that it asked for.
const slice = 4 << 10

// next sets the time by which the next read must return when n bytes are there, and
// gives the part of the buffer that it may fill.
func (p *pace) next(n int, buf []byte) []byte {
	if p == nil {
		return buf
	}
	if p.chunked {
		buf = buf[:min(len(buf), slice)]
		n += len(buf)
	}
	allowed := p.grace + time.Duration(n)*time.Second/time.Duration(p.rate)
	// A writer that knows no deadlines belongs to a test, which does not drip either.
	_ = p.conn.SetReadDeadline(p.started.Add(min(allowed, p.end)))
	return buf
}
