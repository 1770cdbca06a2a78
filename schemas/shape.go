package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// shape is what a schema says about where things begin and end. Walking a value
// by it costs no memory, so that hostile bytes are turned away before a decoder
// believes their counts: five bytes can announce an array of 2^31 items, and an
// item of two bytes costs goavro more than a hundred times that.
type shape struct {
	kind  kind
	parts []shape // a record's fields, a union's branches, an array's item
}

type kind uint8

const (
	kindNull   kind = iota // nothing at all
	kindNumber             // int or long
	kindBytes              // bytes or string
	kindRecord
	kindUnion
	kindArray
)

// newShape reads a parsed schema. It knows what causeway's own schemas are made
// of and refuses everything else.
func newShape(schema any) (shape, error) {
	switch node := schema.(type) {
	case string:
		return primitive(node)
	case []any:
		return composite(kindUnion, node)
	case map[string]any:
		switch node["type"] {
		case "record":
			fields, _ := node["fields"].([]any)
			return composite(kindRecord, fields)
		case "array":
			return composite(kindArray, []any{node["items"]})
		default:
			return newShape(node["type"]) // a field, or a type wrapped in an object
		}
	default:
		return shape{}, fmt.Errorf("%v is not a type", schema)
	}
}

func primitive(name string) (shape, error) {
	switch name {
	case "null":
		return shape{kind: kindNull}, nil
	case "int", "long":
		return shape{kind: kindNumber}, nil
	case "bytes", "string":
		return shape{kind: kindBytes}, nil
	default:
		return shape{}, fmt.Errorf("type %q is not supported", name)
	}
}

func composite(k kind, types []any) (shape, error) {
	s := shape{kind: k}
	for _, t := range types {
		part, err := newShape(t)
		if err != nil {
			return shape{}, err
		}
		s.parts = append(s.parts, part)
	}
	return s, nil
}

// check walks data and makes sure that it is exactly one value of this shape
// with at most maxItems array items in all.
func (s shape) check(data []byte, maxItems int64) error {
	rest, err := s.walk(data, &maxItems)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes follow it", len(rest))
	}
	return nil
}

// walk gives what follows the value, and takes its array items off the budget.
func (s shape) walk(data []byte, budget *int64) ([]byte, error) {
	switch s.kind {
	case kindNull:
		return data, nil
	case kindNumber:
		_, rest, err := number(data)
		return rest, err
	case kindBytes:
		n, rest, err := number(data)
		if err != nil {
			return nil, err
		}
		if n < 0 || n > int64(len(rest)) {
			return nil, errShort
		}
		return rest[n:], nil
	case kindRecord:
		return walkAll(s.parts, data, budget)
	case kindUnion:
		n, rest, err := number(data)
		if err != nil {
			return nil, err
		}
		if n < 0 || n >= int64(len(s.parts)) {
			return nil, fmt.Errorf("a union has no branch %d", n)
		}
		return s.parts[n].walk(rest, budget)
	case kindArray:
		return s.walkArray(data, budget)
	default:
		return nil, fmt.Errorf("kind %d is not supported", s.kind)
	}
}

// walkArray follows an array's blocks up to the empty one that ends it.
func (s shape) walkArray(data []byte, budget *int64) ([]byte, error) {
	for {
		count, rest, err := number(data)
		if err != nil {
			return nil, err
		}
		if count == 0 {
			return rest, nil
		}
		if count < 0 { // the block's size in bytes comes too
			count = -count
			if _, rest, err = number(rest); err != nil {
				return nil, err
			}
		}
		if count < 0 || count > *budget { // the smallest number stays negative
			return nil, errors.New("it has too many array items")
		}
		*budget -= count
		for ; count > 0; count-- {
			if rest, err = walkAll(s.parts, rest, budget); err != nil {
				return nil, err
			}
		}
		data = rest
	}
}

func walkAll(parts []shape, data []byte, budget *int64) ([]byte, error) {
	for _, part := range parts {
		rest, err := part.walk(data, budget)
		if err != nil {
			return nil, err
		}
		data = rest
	}
	return data, nil
}

// number reads a zigzag number, as int and long are written.
func number(data []byte) (n int64, rest []byte, err error) {
	n, size := binary.Varint(data)
	switch {
	case size == 0:
		return 0, nil, errShort
	case size < 0:
		return 0, nil, errors.New("a number has more than 64 bits")
	default:
		return n, data[size:], nil
	}
}
