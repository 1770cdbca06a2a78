package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// node is one type of a schema that somebody else wrote: everything that turning
// its values into JSON needs. Named types that refer to themselves make a loop.
type node struct {
	kind    avroKind
	logical string // a logical type that changes how values are written
	scale   int    // of decimals
	size    int    // of fixed
	name    string // of named types, in full
	fields  []writerField
	symbols []string // of an enum, each as JSON
	parts   []*node  // a union's branches; the item of an array or map
	parsed  bool     // a record whose fields are all known
	empty   bool     // a record whose values have no bytes
}

type writerField struct {
	name string // as JSON, with the colon
	node *node
}

type avroKind uint8

const (
	avroNull avroKind = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroRecord
	avroEnum
	avroArray
	avroMap
	avroUnion
	avroFixed
)

// Limits of what a schema of the registry may be.
const (
	maxSchemaText  = 1 << 20 // bytes, what it refers to included
	maxSchemaNodes = 20_000
	maxSchemaDepth = 100
	maxFixed       = 1 << 20
	maxScale       = 1000
)

// writerParser reads a schema and what it refers to.
type writerParser struct {
	named  map[string]*node
	nodes  int
	arrays []*node
}

// parseWriter reads a registry's schema, and gives its size in types.
func parseWriter(s RegisteredSchema) (root *node, nodes int, err error) {
	p := &writerParser{named: map[string]*node{}}
	size := 0
	for _, text := range append(s.References[:len(s.References):len(s.References)], s.Text) {
		if size += len(text); size > maxSchemaText {
			return nil, 0, fmt.Errorf("it has more than %d bytes", maxSchemaText)
		}
		var tree any
		if err := json.Unmarshal([]byte(text), &tree); err != nil {
			// A registry may give a primitive type by its bare name.
			if tree = strings.TrimSpace(text); primitiveKind(text) < 0 {
				return nil, 0, fmt.Errorf("it is not JSON: %w", err)
			}
		}
		if root, err = p.parse(tree, "", 0); err != nil {
			return nil, 0, err
		}
	}
	for _, array := range p.arrays {
		if zeroWidth(array.parts[0]) {
			return nil, 0, errors.New("it has an array of items without bytes, of which five bytes can announce any number")
		}
	}
	return root, p.nodes, nil
}

func primitiveKind(name string) int {
	for kind, primitive := range [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"} {
		if primitive == name {
			return kind
		}
	}
	return -1
}

func (p *writerParser) add(n *node) (*node, error) {
	if p.nodes++; p.nodes > maxSchemaNodes {
		return nil, fmt.Errorf("it has more than %d types", maxSchemaNodes)
	}
	return n, nil
}

func (p *writerParser) parse(tree any, space string, depth int) (*node, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("its types are more than %d deep", maxSchemaDepth)
	}
	switch t := tree.(type) {
	case string:
		if kind := primitiveKind(t); kind >= 0 {
			return p.add(&node{kind: avroKind(kind)})
		}
		if n := p.find(t, space); n != nil {
			return n, nil
		}
		return nil, fmt.Errorf("it has no type %.128q", t)
	case []any:
		return p.union(t, space, depth)
	case map[string]any:
		return p.object(t, space, depth)
	default:
		return nil, fmt.Errorf("%.64v is not a type", tree)
	}
}

// find looks a name up: as it is, and in the namespace around it.
func (p *writerParser) find(name, space string) *node {
	if !strings.Contains(name, ".") && space != "" {
		if n := p.named[space+"."+name]; n != nil {
			return n
		}
	}
	return p.named[name]
}

func (p *writerParser) union(branches []any, space string, depth int) (*node, error) {
	n, err := p.add(&node{kind: avroUnion})
	if err != nil {
		return nil, err
	}
	for _, branch := range branches {
		if _, nested := branch.([]any); nested {
			return nil, errors.New("it has a union in a union")
		}
		part, err := p.parse(branch, space, depth+1)
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, part)
	}
	return n, nil
}

func (p *writerParser) object(t map[string]any, space string, depth int) (*node, error) {
	name, ok := t["type"].(string)
	if !ok { // {"type": {"type": "record", ...}}
		return p.parse(t["type"], space, depth+1)
	}
	switch name {
	case "record", "error":
		return p.record(t, space, depth)
	case "enum":
		return p.enum(t, space)
	case "fixed":
		return p.fixed(t, space)
	case "array", "map":
		n, err := p.add(&node{kind: avroArray})
		if err != nil {
			return nil, err
		}
		items := t["items"]
		if name == "map" {
			n.kind, items = avroMap, t["values"]
		} else {
			p.arrays = append(p.arrays, n)
		}
		part, err := p.parse(items, space, depth+1)
		if err != nil {
			return nil, err
		}
		n.parts = []*node{part}
		return n, nil
	default:
		n, err := p.parse(name, space, depth+1)
		if err == nil && n.name == "" {
			n.annotate(t)
		}
		return n, err
	}
}

// declare notes a named type before its fields are read, which may refer to it.
func (p *writerParser) declare(n *node, t map[string]any, space string) (string, error) {
	name, _ := t["name"].(string)
	if own, ok := t["namespace"].(string); ok {
		space = own
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		space, name = name[:i], name[i+1:]
	}
	if name == "" {
		return "", errors.New("it has a record, enum or fixed without a name")
	}
	if n.name = name; space != "" {
		n.name = space + "." + name
	}
	if p.named[n.name] != nil {
		return "", fmt.Errorf("it has two types %.128q", n.name)
	}
	p.named[n.name] = n
	_, err := p.add(n)
	return space, err
}

func (p *writerParser) record(t map[string]any, space string, depth int) (*node, error) {
	n := &node{kind: avroRecord}
	space, err := p.declare(n, t, space)
	if err != nil {
		return nil, err
	}
	n.empty = true
	list, _ := t["fields"].([]any)
	for _, item := range list {
		field, _ := item.(map[string]any)
		name, _ := field["name"].(string)
		if name == "" {
			return nil, fmt.Errorf("a field of %.128q has no name", n.name)
		}
		typ, err := p.parse(field["type"], space, depth+1)
		if err != nil {
			return nil, err
		}
		if typ.kind == avroRecord && !typ.parsed {
			return nil, fmt.Errorf("%.128q holds itself without end", typ.name)
		}
		n.empty = n.empty && zeroWidth(typ)
		n.fields = append(n.fields, writerField{string(appendText(nil, name)) + ":", typ})
	}
	n.parsed = true
	return n, nil
}

func (p *writerParser) enum(t map[string]any, space string) (*node, error) {
	n := &node{kind: avroEnum}
	if _, err := p.declare(n, t, space); err != nil {
		return nil, err
	}
	list, _ := t["symbols"].([]any)
	for _, item := range list {
		symbol, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("a symbol of %.128q is not text", n.name)
		}
		n.symbols = append(n.symbols, string(appendText(nil, symbol)))
	}
	return n, nil
}

func (p *writerParser) fixed(t map[string]any, space string) (*node, error) {
	n := &node{kind: avroFixed}
	if _, err := p.declare(n, t, space); err != nil {
		return nil, err
	}
	size, _ := t["size"].(float64)
	if size < 0 || size > maxFixed || size != float64(int(size)) {
		return nil, fmt.Errorf("the size of %.128q is not a number up to %d", n.name, maxFixed)
	}
	n.size = int(size)
	n.annotate(t)
	return n, nil
}

// annotate notes a logical type that fits. The specification says to read past
// others as if they were not there.
func (n *node) annotate(t map[string]any) {
	logical, _ := t["logicalType"].(string)
	fits := false
	switch logical {
	case "decimal":
		scale, _ := t["scale"].(float64)
		n.scale = int(scale)
		fits = (n.kind == avroBytes || n.kind == avroFixed) && scale == float64(n.scale) && scale >= 0 && scale <= maxScale
	case "date", "time-millis":
		fits = n.kind == avroInt
	case "time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
		"local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos":
		fits = n.kind == avroLong
	case "uuid":
		fits = n.kind == avroFixed && n.size == 16 // as text it is what it is
	case "duration":
		fits = n.kind == avroFixed && n.size == 12
	}
	if fits {
		n.logical = logical
	}
}

// zeroWidth tells whether a value may have no bytes at all.
func zeroWidth(n *node) bool {
	switch n.kind {
	case avroNull:
		return true
	case avroFixed:
		return n.size == 0
	case avroRecord:
		return n.empty
	default:
		return false // a union has its branch, an array or a map its end
	}
}
