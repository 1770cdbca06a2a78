package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/twmb/franz-go/pkg/sr"
)

// isUnknown tells the registry's own word that it has no such schema from a 404 of
// whatever else stands at the URL.
func isUnknown(err error) bool { return hasCode(err, sr.ErrSchemaNotFound, sr.ErrSubjectNotFound) }

// isConflict says whether the schema does not go with what is registered.
func isConflict(err error) bool {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	return ok && answer.StatusCode == http.StatusConflict
}

func hasCode(err error, codes ...*sr.Error) bool {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	return ok && slices.ContainsFunc(codes, func(c *sr.Error) bool { return answer.ErrorCode == c.Code })
}

// explain says what the registry's answer means for whoever has to do something
// about it. Its own words are cut: they may be a page.
func explain(err error) error {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	if !ok {
		return fmt.Errorf("the schema registry does not answer: %w", err)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("the schema registry refuses (%d): check registry.username and password, or token, and what they may do: %.300s", answer.StatusCode, answer.Error())
	case http.StatusNotFound:
		if answer.ErrorCode == 0 {
			return fmt.Errorf("there is no schema registry at %s (404): registry.urls wants the base of its Confluent API, such as http://registry:8081 or http://apicurio:8080/apis/ccompat/v7", answer.URL)
		}
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		return fmt.Errorf("%s redirects (%d), which is not followed: name the schema registry itself in registry.urls", answer.URL, answer.StatusCode)
	}
	return fmt.Errorf("the schema registry answers %d: %.300s", answer.StatusCode, answer.Error())
}
