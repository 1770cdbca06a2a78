package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	yamlerrors "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxFileSize  = 1 << 20 // bytes of a process file
	maxFileNodes = 100_000 // with every alias written out
	maxFileDepth = 32
)

// plainKey is a name that needs no quotes.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// keys lead from the top of a document to one value: names and, in lists, indexes.
type keys []string

// String writes keys the way people name a setting: ingress.sources[0].name.
func (k keys) String() string {
	var b strings.Builder
	for _, key := range k {
		switch _, err := strconv.ParseUint(key, 10, 32); {
		case err == nil:
			fmt.Fprintf(&b, "[%s]", key)
		case !plainKey.MatchString(key):
			fmt.Fprintf(&b, "[%q]", key)
		case b.Len() > 0:
			b.WriteString("." + key)
		default:
			b.WriteString(key)
		}
	}
	return b.String()
}

func (k keys) id() string { return strings.Join(k, "\x00") }

// and gives the keys of something further down. It never shares memory with k.
func (k keys) and(more ...string) keys { return append(k[:len(k):len(k)], more...) }

// under says whether k is at or below above.
func (k keys) under(above keys) bool {
	return len(k) >= len(above) && k[:len(above)].id() == above.id()
}

// position is where something stands: in the file, or in a variable of the environment.
type position struct {
	line, column int
	variable     string
}

// document is a YAML document as plain values (map[string]any, []any, string,
// bool, int64, uint64, float64, nil) and where each of them stands.
type document struct {
	value  any
	places map[string]position // by keys.id
	faults []fault

	form    reflect.Type                                    // what the value is the JSON form of: set by validate
	partial bool                                            // what is missing is no fault here
	known   map[reflect.Type]map[string]reflect.StructField // settings by type
	limits  limits
	anchors map[string]ast.Node
	nodes   int
}

// limits are how much one document may be.
type limits struct{ bytes, nodes int }

func processFileLimits() limits { return limits{maxFileSize, maxFileNodes} }

// readYAML reads one document and notes everything that is wrong with its form.
// Its faults never quote values: somebody may have written a secret into the file.
func readYAML(text []byte, most limits) *document {
	d := &document{places: map[string]position{}, anchors: map[string]ast.Node{}, limits: most}
	if len(text) > most.bytes {
		d.fault(nil, position{}, "the file has %d bytes or more, and %d MiB is the most", len(text), most.bytes>>20)
		return d
	}
	// Duplicates are allowed here in order to report them beside all other faults.
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at position
		message := "not YAML"
		if bad, ok := errors.AsType[yamlerrors.Error](err); ok {
			at, message = placeOf(bad.GetToken()), "not YAML: "+bad.GetMessage()
		}
		d.fault(nil, at, "%s", message)
		return d
	}
	bodies := make([]ast.Node, 0, 1)
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) > 1 {
		d.fault(nil, placeOf(bodies[1].GetToken()), "a second document begins here: a file holds one")
	}
	if len(bodies) > 0 {
		d.value = d.read(bodies[0], nil)
	}
	return d
}

func (d *document) fault(k keys, at position, format string, args ...any) {
	d.faults = append(d.faults, fault{keys: k, at: at, text: fmt.Sprintf(format, args...)})
}

// place is where the keys, or what is above them, stand.
func (d *document) place(k keys) position {
	for ; len(k) > 0; k = k[:len(k)-1] {
		if at, ok := d.places[k.id()]; ok {
			return at
		}
	}
	return position{line: 1, column: 1}
}

// read gives a node's value. Aliases are written out, so nodes are counted: a
// few lines of aliases to aliases can stand for billions.
func (d *document) read(node ast.Node, k keys) any {
	d.nodes++
	if d.nodes > d.limits.nodes || len(k) > maxFileDepth {
		if d.nodes <= d.limits.nodes || d.nodes == d.limits.nodes+1 {
			d.fault(k, placeOf(node.GetToken()), "too much: a file holds %d values, %d deep, with all aliases written out", d.limits.nodes, maxFileDepth)
		}
		return nil
	}
	switch n := node.(type) {
	case *ast.MappingNode:
		if text, ok := unspaced(n.Values); ok && !n.IsFlowStyle {
			return text
		}
		return d.mapping(n.Values, k)
	case *ast.MappingValueNode:
		pairs := []*ast.MappingValueNode{n}
		if text, ok := unspaced(pairs); ok {
			return text
		}
		return d.mapping(pairs, k)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for i, item := range n.Values {
			at := k.and(strconv.Itoa(i))
			d.places[at.id()] = placeOf(first(item))
			list = append(list, d.read(item, at))
		}
		return list
	case *ast.AnchorNode:
		// Known only once it is read: an alias to itself finds nothing.
		value := d.read(n.Value, k)
		d.anchors[n.Name.GetToken().Value] = n.Value
		return value
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if target := d.anchors[name]; target != nil {
			return d.read(target, k)
		}
		d.fault(k, placeOf(n.GetToken()), "there is no &%s before this alias", name)
	case *ast.TagNode:
		d.fault(k, placeOf(n.GetToken()), "tags like %q are not understood here", n.GetToken().Value)
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.StringNode:
		return n.Value
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		return n.Value
	case *ast.FloatNode:
		return n.Value
	case *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value // text, which no number setting accepts
	}
	return nil
}

func (d *document) mapping(pairs []*ast.MappingValueNode, k keys) any {
	m := make(map[string]any, len(pairs))
	merged := map[string]bool{} // came by <<, gives way to what is written out
	for _, pair := range pairs {
		if pair.Key.IsMergeKey() {
			other, ok := d.read(pair.Value, k).(map[string]any)
			if !ok {
				d.fault(k, placeOf(pair.Key.GetToken()), "<< wants one mapping")
			}
			for name, value := range other {
				if _, known := m[name]; !known {
					m[name], merged[name] = value, true
				}
			}
			continue
		}
		name := pair.Key.GetToken().Value
		at, where := k.and(name), placeOf(pair.Key.GetToken())
		if _, known := m[name]; known && !merged[name] {
			d.fault(at, where, "stands here a second time; the first is in line %d", d.places[at.id()].line)
			continue
		}
		d.places[at.id()] = where
		m[name] = d.read(pair.Value, at)
		delete(merged, name)
	}
	return m
}

// unspaced mends a fault of the parser: in a list inside of {}, it takes env:NAME
// for a mapping, where YAML wants a space behind the colon.
func unspaced(pairs []*ast.MappingValueNode) (string, bool) {
	if len(pairs) != 1 {
		return "", false
	}
	key, colon := pairs[0].Key.GetToken(), pairs[0].Start
	value, ok := pairs[0].Value.(ast.ScalarNode)
	if !ok || key.Type != token.StringType || colon == nil {
		return "", false
	}
	behind := value.GetToken()
	if behind.Type != token.StringType && behind.Type != token.IntegerType || behind.Position.Offset != colon.Position.Offset+1 {
		return "", false
	}
	return key.Value + ":" + behind.Value, true
}

// first is the token at which a node begins for a reader; a mapping's own token
// is the colon behind its first key.
func first(node ast.Node) *token.Token {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return node.GetToken()
}

func placeOf(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{line: 1, column: 1}
	}
	return position{line: t.Position.Line, column: t.Position.Column}
}
