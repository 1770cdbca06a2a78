package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"causeway/pkg/catalog"
)

// etag is the version of an entry as a header has it.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// condition is what If-Match asks for.
type condition struct {
	any  bool
	tags []string // nil: nothing is asked
}

// parseMatch reads If-Match or If-None-Match: *, or one or more entity tags.
func parseMatch(header string) (condition, bool) {
	header = strings.TrimSpace(header)
	switch header {
	case "":
		return condition{any: true}, true
	case "*":
		return condition{any: true}, true
	}
	var c condition
	for part := range strings.SplitSeq(header, ",") {
		tag := strings.TrimSpace(part)
		bare := strings.TrimPrefix(tag, "W/")
		if len(bare) < 2 || bare[0] != '"' || bare[len(bare)-1] != '"' || strings.Contains(bare[1:len(bare)-1], `"`) {
			return condition{}, false
		}
		c.tags = append(c.tags, tag)
	}
	return c, true
}

// ifMatch reads the header of a change.
func ifMatch(header string) (condition, error) {
	c, ok := parseMatch(header)
	if !ok {
		return c, refuse(http.StatusBadRequest, "bad_if_match", `If-Match wants *, or an ETag as it was given, in its quotes: "17"`)
	}
	return c, nil
}

// holds says whether the entry may be changed; a weak tag never matches (RFC 9110, 13.1.1).
func (c condition) holds(e *catalog.Entry) error {
	if c.any {
		return nil
	}
	current := etag(e.Version)
	if slices.Contains(c.tags, current) {
		return nil
	}
	return refuse(http.StatusPreconditionFailed, "stale", "%s %q has been changed meanwhile: it is in version %d now; read it again and decide anew", e.Kind, e.Name, e.Version).with("ETag", current)
}

// unchanged says whether If-None-Match has the version, so that nothing needs to be
// sent. A header that cannot be read asks for nothing.
func unchanged(header string, version int64) bool {
	if header == "" {
		return false
	}
	c, ok := parseMatch(header)
	if !ok {
		return false
	}
	current := etag(version)
	for _, tag := range c.tags {
		if strings.TrimPrefix(tag, "W/") == current {
			return true
		}
	}
	return c.any
}
