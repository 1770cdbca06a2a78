package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzWrittenYAML writes any JSON as YAML and reads it back.
func FuzzWrittenYAML(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, `{"a":[{"b":1,"c":[]},{"d":{}},"x"]}`, `{"a":"true","b":"1.5","c":"- x","d":"a: b","e":"","f":" ","g":"\u0000\u001b\u2028é\"\\","h":"env:A","i":"https://a/b#c"}`,
		`{"key with: colon":null,"~":true,"<<":"x","*a":"&b","!t":"%d","@":"` + "`" + `"}`, `{"a":"null","b":"Yes","c":"0x1f","d":"1e3","e":"2026-01-01","f":"=","g":"a #b","h":".inf"}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil || !fits(value, 0) {
			t.Skip()
		}
		tree, err := treeOf(value)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := writeYAML(&b, tree); err != nil {
			t.Fatal(err)
		}
		d := readYAML(b.Bytes(), processFileLimits())
		if len(d.faults) > 0 {
			t.Fatalf("%v in\n%s", d.faults, b.String())
		}
		got, err := json.Marshal(d.value)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, value) {
			t.Errorf("read back %s from\n%s", got, b.String())
		}
	})
}

// fits says whether a value is one that specs can have: mappings and lists of them,
// whole numbers, no list in a list.
func fits(value any, depth int) bool {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			if key == "" || !fits(item, depth+1) {
				return false
			}
		}
		return depth < 20
	case []any:
		for _, item := range v {
			if _, list := item.([]any); list || !fits(item, depth+1) {
				return false
			}
		}
		return depth < 20
	case float64:
		return v == float64(int64(v)) && v > -1e15 && v < 1e15
	case string:
		return true
	}
	return depth > 0
}
