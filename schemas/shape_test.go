package schemas

import (
	"encoding/json"
	"strings"
	"testing"
)

func shapeOf(t *testing.T, schema string) (shape, error) {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(schema), &tree); err != nil {
		t.Fatal(err)
	}
	return newShape(tree)
}

func TestShapeKnowsWhereAValueEnds(t *testing.T) {
	const (
		pair  = `{"type":"record","name":"P","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}`
		list  = `{"type":"array","items":"string"}`
		maybe = `["null","long"]`
		voids = `{"type":"array","items":"null"}`
	)
	for name, tc := range map[string]struct{ schema, value, want string }{
		"a number":                        {`"long"`, "\x02", ""},
		"a number of ten bytes":           {`"long"`, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ""},
		"a number of eleven bytes":        {`"long"`, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "more than 64 bits"},
		"a number without end":            {`"int"`, "\x80", "ends too early"},
		"a string":                        {`"string"`, "\x04ab", ""},
		"a string longer than the value":  {`"string"`, "\x06ab", "ends too early"},
		"a string of negative length":     {`"bytes"`, "\x01", "ends too early"},
		"a string as long as can be said": {`"bytes"`, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ends too early"},
		"a record":                        {pair, "\x02\x02a", ""},
		"half a record":                   {pair, "\x02", "ends too early"},
		"more than a record":              {pair, "\x02\x02a\x00", "1 bytes follow"},
		"a union's null":                  {maybe, "\x00", ""},
		"a union's value":                 {maybe, "\x02\x08", ""},
		"a union's branch too far":        {maybe, "\x04", "no branch 2"},
		"a union's branch below":          {maybe, "\x01", "no branch -1"},
		"an empty array":                  {list, "\x00", ""},
		"an array":                        {list, "\x04\x02a\x02b\x00", ""},
		"an array in blocks":              {list, "\x02\x02a\x02\x02b\x00", ""},
		"an array with sizes":             {list, "\x03\x08\x02a\x02b\x00", ""},
		"an array that is full":           {list, "\x08\x00\x00\x00\x00\x00", ""},
		"an array that is too full":       {list, "\x0a\x00\x00\x00\x00\x00\x00", "too many array items"},
		"an array too full by its blocks": {list, "\x08\x00\x00\x00\x00\x02\x00\x00", "too many array items"},
		"an array of 2^31 items":          {list, "\x80\x80\x80\x80\x10", "too many array items"},
		"an array of -2^31 items":         {list, "\xff\xff\xff\xff\x0f\x00", "too many array items"},
		"an array of -2^63 items":         {list, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "too many array items"},
		"an array of nothings":            {voids, "\x08\x00", ""},
		"an array of too many nothings":   {voids, "\x0a\x00", "too many array items"},
		"an array without end":            {list, "\x02\x02a", "ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := shapeOf(t, tc.schema)
			if err != nil {
				t.Fatal(err)
			}
			switch err := s.check([]byte(tc.value), 4); {
			case err == nil && tc.want != "":
				t.Errorf("accepted, want an error with %q", tc.want)
			case err != nil && (tc.want == "" || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestShapeRefusesWhatItCannotWalk(t *testing.T) {
	for _, schema := range []string{
		`"double"`, `"boolean"`, `7`, `{"type":"map","values":"string"}`, `["null","causeway.Event"]`,
		`{"type":"fixed","name":"F","size":0}`, `{"type":"array"}`,
		`{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}`,
	} {
		if s, err := shapeOf(t, schema); err == nil {
			t.Errorf("%s has shape %+v, want an error", schema, s)
		}
	}
}
