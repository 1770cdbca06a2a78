package schemas

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/linkedin/goavro/v2"
)

// avroSchema is one pinned schema, ready to use. Values are framed as Avro's
// single-object encoding: C3 01, the schema's fingerprint, the datum; where there
// is a schema registry, events' values in Confluent's: see registry.go.
type avroSchema struct {
	codec *goavro.Codec
	shape shape
}

// pinned gives a schema that is compiled at first use. It is part of the program,
// so one that does not compile is a fault of the build, and every test finds it.
func pinned(avsc *string) func() *avroSchema {
	return sync.OnceValue(func() *avroSchema {
		s, err := compileSchema(*avsc)
		if err != nil {
			panic(err)
		}
		return s
	})
}

// compileSchema makes an .avsc file usable. Logical types are taken out first:
// they mean nothing to the encoding, goavro then gives plain numbers instead of
// times that overflow, and only so does its fingerprint agree with that of other
// Avro libraries (it keeps {"type":"long"} where the canonical form is "long").
func compileSchema(avsc string) (*avroSchema, error) {
	var tree any
	if err := json.Unmarshal([]byte(avsc), &tree); err != nil {
		return nil, fmt.Errorf("parse Avro schema: %w", err)
	}
	tree = withoutLogicalTypes(tree)
	plain, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("write Avro schema without logical types: %w", err)
	}
	codec, err := goavro.NewCodec(string(plain))
	if err != nil {
		return nil, fmt.Errorf("compile Avro schema: %w", err)
	}
	s, err := newShape(tree)
	if err != nil {
		return nil, fmt.Errorf("compile Avro schema: %w", err)
	}
	return &avroSchema{codec, s}, nil
}

func withoutLogicalTypes(tree any) any {
	switch node := tree.(type) {
	case map[string]any:
		delete(node, "logicalType")
		for key, value := range node {
			node[key] = withoutLogicalTypes(value)
		}
	case []any:
		for i, value := range node {
			node[i] = withoutLogicalTypes(value)
		}
	}
	return tree
}

// decode reads a value in single-object encoding. Only the pinned schema is ever
// used, never one that the value chooses. The datum shares the value's memory.
func (s *avroSchema) decode(value []byte) (fields, error) {
	data, err := s.open(value)
	if err != nil {
		return nil, err
	}
	return s.datum(data)
}

// datum reads a value without its framing.
//
// goavro's own limits (MaxBlockCount, MaxBlockSize) are variables of the whole
// process, which belong to the program and not to a library like this one, and
// they bound one block, not their number. So the value's shape is walked first.
func (s *avroSchema) datum(data []byte) (fields, error) {
	if err := s.shape.check(data, maxHeaders); err != nil {
		return nil, malformed("Avro value: %v", err)
	}
	native, _, err := s.codec.NativeFromBinary(data)
	if err != nil {
		return nil, malformed("Avro value: %v", err)
	}
	datum, ok := native.(map[string]any)
	if !ok {
		return nil, malformed("Avro value is a %T, not a record", native)
	}
	return datum, nil
}

// open takes the framing off and checks that the writer's schema is ours.
func (s *avroSchema) open(value []byte) ([]byte, error) {
	const marker = "\xC3\x01"
	if len(value) < 10 || string(value[:2]) != marker {
		return nil, malformed("value is not in Avro's single-object encoding")
	}
	if writer := binary.LittleEndian.Uint64(value[2:10]); writer != s.codec.Rabin {
		// Not poison: nothing but another release puts a fingerprint there.
		return nil, newer("Avro schema %016x is not one that this release knows", writer)
	}
	return value[10:], nil
}

// errShort says that a value ends before its datum does.
var errShort = errors.New("it ends too early")
