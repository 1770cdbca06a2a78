package schemas

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

// avroJSON writes a value of that schema as JSON.
func avroJSON(schema string, data []byte) (string, error) {
	w := newWriter(RegisteredSchema{Text: schema})
	if w.err != nil {
		return "", w.err
	}
	text, err := w.json(data)
	return string(text), err
}

// byGoavro is a datum as a producer writes it who has nothing of ours.
func byGoavro(t testing.TB, schema string, datum any) []byte {
	t.Helper()
	codec, err := goavro.NewCodec(schema)
	if err != nil {
		t.Fatal(err)
	}
	data, err := codec.BinaryFromNative(nil, datum)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAvroAsJSON(t *testing.T) {
	long := func(v int64) []byte { return binary.AppendVarint(nil, v) }
	for name, tc := range map[string]struct {
		schema string
		data   []byte
		want   string
	}{
		"null":                     {`"null"`, nil, `null`},
		"a bare name":              {`string`, []byte("\x02a"), `"a"`},
		"boolean":                  {`"boolean"`, []byte{1}, `true`},
		"int":                      {`"int"`, long(-5), `-5`},
		"long beyond a float":      {`"long"`, long(math.MaxInt64), `9223372036854775807`},
		"float":                    {`"float"`, byGoavro(t, `"float"`, float32(0.1)), `0.1`},
		"double":                   {`"double"`, byGoavro(t, `"double"`, 1e300), `1e+300`},
		"whole double":             {`"double"`, byGoavro(t, `"double"`, 3.0), `3`},
		"double that is none":      {`"double"`, byGoavro(t, `"double"`, math.NaN()), `"NaN"`},
		"infinite double":          {`"double"`, byGoavro(t, `"double"`, math.Inf(-1)), `"-Infinity"`},
		"bytes":                    {`"bytes"`, []byte("\x06\x00\xffA"), `"AP9B"`},
		"string":                   {`"string"`, byGoavro(t, `"string"`, "a\"\\\n\x01é<&>\u2028"), `"a\"\\\n\u0001é<&>` + "\u2028" + `"`},
		"string not in UTF-8":      {`"string"`, []byte("\x06\xc3\xff\xa9"), "\"\ufffd\ufffd\ufffd\""},
		"half a rune at the end":   {`"string"`, []byte("\x04a\xc3"), "\"a\ufffd\""},
		"enum":                     {`{"type":"enum","name":"E","symbols":["A","B"]}`, long(1), `"B"`},
		"fixed":                    {`{"type":"fixed","name":"F","size":2}`, []byte{0xff, 0}, `"/wA="`},
		"array":                    {`{"type":"array","items":"int"}`, []byte{4, 2, 4, 2, 6, 0}, `[1,2,3]`},
		"array with block sizes":   {`{"type":"array","items":"int"}`, []byte{3, 4, 2, 4, 0}, `[1,2]`},
		"empty array":              {`{"type":"array","items":"int"}`, []byte{0}, `[]`},
		"map":                      {`{"type":"map","values":"int"}`, []byte{4, 2, 'a', 2, 2, 'b', 4, 0}, `{"a":1,"b":2}`},
		"empty map":                {`{"type":"map","values":"int"}`, []byte{0}, `{}`},
		"union has no wrapper":     {`["null","string"]`, []byte("\x02\x02a"), `"a"`},
		"union's null":             {`["null","string"]`, []byte{0}, `null`},
		"record":                   {`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":["null","int"]}]}`, []byte{2, 2, 4}, `{"a":1,"b":2}`},
		"record without fields":    {`{"type":"record","name":"R","fields":[]}`, nil, `{}`},
		"decimal":                  {`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, []byte{4, 0x30, 0x39}, `"123.45"`},
		"negative decimal":         {`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, []byte{2, 0xff}, `"-0.01"`},
		"empty decimal":            {`{"type":"bytes","logicalType":"decimal","precision":9}`, []byte{0}, `"0"`},
		"fixed decimal":            {`{"type":"fixed","name":"D","size":3,"logicalType":"decimal","precision":6,"scale":3}`, []byte{0xff, 0xff, 0}, `"-0.256"`},
		"date":                     {`{"type":"int","logicalType":"date"}`, long(20516), `"2026-03-04"`},
		"date before 1970":         {`{"type":"int","logicalType":"date"}`, long(-1), `"1969-12-31"`},
		"date that is none":        {`{"type":"int","logicalType":"date"}`, long(math.MaxInt32), `2147483647`},
		"time-millis":              {`{"type":"int","logicalType":"time-millis"}`, long(18_367_089), `"05:06:07.089"`},
		"time-micros":              {`{"type":"long","logicalType":"time-micros"}`, long(18_367_089_001), `"05:06:07.089001"`},
		"time that is none":        {`{"type":"int","logicalType":"time-millis"}`, long(86_400_000), `86400000`},
		"timestamp-millis":         {`{"type":"long","logicalType":"timestamp-millis"}`, long(1_772_600_767_089), `"2026-03-04T05:06:07.089Z"`},
		"timestamp-micros":         {`{"type":"long","logicalType":"timestamp-micros"}`, long(1_772_600_767_089_001), `"2026-03-04T05:06:07.089001Z"`},
		"timestamp-nanos":          {`{"type":"long","logicalType":"timestamp-nanos"}`, long(1_772_600_767_089_001_002), `"2026-03-04T05:06:07.089001002Z"`},
		"timestamp before 1970":    {`{"type":"long","logicalType":"timestamp-millis"}`, long(-1), `"1969-12-31T23:59:59.999Z"`},
		"timestamp that is none":   {`{"type":"long","logicalType":"timestamp-millis"}`, long(math.MaxInt64), `9223372036854775807`},
		"local timestamp":          {`{"type":"long","logicalType":"local-timestamp-millis"}`, long(1_772_600_767_089), `"2026-03-04T05:06:07.089"`},
		"uuid as text":             {`{"type":"string","logicalType":"uuid"}`, []byte("\x02u"), `"u"`},
		"uuid as bytes":            {`{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}`, []byte("\x6b\xa7\xb8\x10\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8"), `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`},
		"duration":                 {`{"type":"fixed","name":"D","size":12,"logicalType":"duration"}`, []byte{1, 0, 0, 0, 2, 0, 0, 0, 0xbc, 0x0b, 0, 0}, `"P1M2DT3.004S"`},
		"unknown logical type":     {`{"type":"int","logicalType":"color"}`, long(3), `3`},
		"logical type that is not": {`{"type":"string","logicalType":"date"}`, []byte("\x02a"), `"a"`},
		"a type in a type":         {`{"type":{"type":"int","logicalType":"date"}}`, long(0), `"1970-01-01"`},
		"names in namespaces": {
			`{"type":"record","name":"a.b.R","fields":[{"name":"x","type":{"type":"enum","name":"E","symbols":["S"]}},{"name":"y","type":"E"},{"name":"z","type":"a.b.E"}]}`,
			[]byte{0, 0, 0},
			`{"x":"S","y":"S","z":"S"}`,
		},
		"a list": {
			`{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}`,
			[]byte{2, 2, 4, 0},
			`{"v":1,"next":{"v":2,"next":null}}`,
		},
		"a tree": {
			`{"type":"record","name":"T","fields":[{"name":"c","type":{"type":"array","items":"T"}}]}`,
			[]byte{2, 0, 0},
			`{"c":[{"c":[]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := avroJSON(tc.schema, tc.data)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if !json.Valid([]byte(got)) {
				t.Error("that is not JSON")
			}
		})
	}
}

func TestSchemaWithReferences(t *testing.T) {
	w := newWriter(RegisteredSchema{
		Text:       `{"type":"record","name":"shop.Order","fields":[{"name":"by","type":"shop.Customer"},{"name":"to","type":"Customer"}]}`,
		References: []string{`{"type":"record","name":"shop.Customer","fields":[{"name":"id","type":"int"}]}`},
	})
	if w.err != nil {
		t.Fatal(w.err)
	}
	if got, err := w.json([]byte{2, 4}); err != nil || string(got) != `{"by":{"id":1},"to":{"id":2}}` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestSchemaThatIsRefused(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 200) + `"int"` + strings.Repeat("}", 200)
	// Ten types that hold each other a hundred times over would be 10^20 nulls.
	var wide strings.Builder
	wide.WriteString(`{"type":"record","name":"R","fields":[{"name":"f","type":{"type":"record","name":"R0","fields":[{"name":"n","type":"null"}]}}`)
	for i := range 10 {
		fmt.Fprintf(&wide, `,{"name":"f%d","type":{"type":"record","name":"R%d","fields":[{"name":"x0","type":"R%d"}`, i, i+1, i)
		for j := range 99 {
			fmt.Fprintf(&wide, `,{"name":"x%d","type":"R%d"}`, j+1, i)
		}
		wide.WriteString("]}}")
	}
	wide.WriteString("]}")
	for name, tc := range map[string]struct{ schema, want string }{
		"items without bytes":         {`{"type":"array","items":"null"}`, "items without bytes"},
		"records of nothing as items": {`{"type":"array","items":{"type":"record","name":"R","fields":[{"name":"n","type":"null"}]}}`, "items without bytes"},
		"empty fixed as items":        {`{"type":"array","items":{"type":"fixed","name":"F","size":0}}`, "items without bytes"},
		"a record in itself":          {`{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}`, "without end"},
		"too deep":                    {deep, "deep"},
		"too many types":              {`["int"` + strings.Repeat(`,"int"`, maxSchemaNodes) + `]`, "types"},
		"too long":                    {`"` + strings.Repeat("x", maxSchemaText) + `"`, "bytes"},
		"a huge fixed":                {`{"type":"fixed","name":"F","size":1e12}`, "size"},
		"half a fixed":                {`{"type":"fixed","name":"F","size":0.5}`, "size"},
		"an unknown type":             {`"complex"`, `no type "complex"`},
		"no type":                     {`{"name":"R"}`, "not a type"},
		"no name":                     {`{"type":"record","fields":[]}`, "without a name"},
		"a name twice":                {`["null",{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":2}]`, "two types"},
		"a union in a union":          {`["null",["int"]]`, "union in a union"},
		"no JSON":                     {`{"type"`, "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := avroJSON(tc.schema, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := avroJSON(wide.String(), nil); err == nil || !strings.Contains(err.Error(), "as JSON it has more than") {
		t.Errorf("records of records of nothing: error = %v", err)
	}
	if w := newWriter(RegisteredSchema{Type: "PROTOBUF", Text: `syntax = "proto3";`}); w.err == nil {
		t.Error("Protobuf was taken for Avro")
	}
}

func TestAvroValueThatIsRefused(t *testing.T) {
	list := `{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}`
	for name, tc := range map[string]struct {
		schema string
		data   []byte
		want   string
	}{
		"nothing":                  {`"int"`, nil, "too early"},
		"more behind it":           {`"int"`, []byte{0, 0}, "1 bytes follow"},
		"a long for an int":        {`"int"`, binary.AppendVarint(nil, math.MaxInt64), "32 bits"},
		"a boolean of 2":           {`"boolean"`, []byte{2}, "boolean is 2"},
		"a branch that is not":     {`["null"]`, []byte{2}, "no branch 1"},
		"a negative branch":        {`["null"]`, []byte{1}, "no branch -1"},
		"a symbol that is not":     {`{"type":"enum","name":"E","symbols":["A"]}`, []byte{2}, "no symbol 1"},
		"a string of 2^62":         {`"string"`, []byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "too early"},
		"a negative length":        {`"bytes"`, []byte{1}, "too early"},
		"2^62 items":               {`{"type":"array","items":"int"}`, []byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "too early"},
		"-2^63 items":              {`{"type":"array","items":"int"}`, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"), "too many items"},
		"a list without end":       {list, bytes.Repeat([]byte{2}, 100_000), "deep"},
		"a decimal of a megabyte":  {`{"type":"bytes","logicalType":"decimal","precision":9}`, append(binary.AppendVarint(nil, 1<<20), make([]byte, 1<<20)...), "decimal"},
		"much JSON from few bytes": {`{"type":"array","items":{"type":"record","name":"R","fields":[{"name":"` + strings.Repeat("x", 1000) + `","type":"int"}]}}`, append(binary.AppendVarint(nil, 100_000), make([]byte, 100_001)...), "as JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := avroJSON(tc.schema, tc.data); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
		})
	}
}

// plain is what goavro decodes, without the wrappers of its unions: what our own
// decoder has to agree with.
func plain(native any, union bool) any {
	switch v := native.(type) {
	case map[string]any:
		if union && len(v) == 1 {
			for _, branch := range v {
				return plain(branch, false)
			}
		}
		out := map[string]any{}
		for name, value := range v {
			out[name] = plain(value, strings.HasPrefix(name, "u"))
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, plain(item, false))
		}
		return out
	default:
		return v
	}
}

// oracleSchema holds what both decoders write the same way; names that begin
// with u are unions.
const oracleSchema = `{"type":"record","name":"R","fields":[
	{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"d","type":"double"},
	{"name":"s","type":"string"},{"name":"y","type":"bytes"},{"name":"u","type":["null","string","long"]},
	{"name":"a","type":{"type":"array","items":"string"}},{"name":"m","type":{"type":"map","values":"long"}},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"f","type":{"type":"fixed","name":"F","size":3}}]}`

func oracleDatum() map[string]any {
	return map[string]any{
		"b": true, "i": int32(-7), "l": int64(1 << 40), "d": 1.25, "s": "hé\n", "y": []byte{0, 255}, "u": goavro.Union("long", int64(9)),
		"a": []any{"x", ""}, "m": map[string]any{"k": int64(1)}, "e": "B", "f": []byte("abc"),
	}
}

func TestAvroAsJSONAgreesWithGoavro(t *testing.T) {
	got, err := avroJSON(oracleSchema, byGoavro(t, oracleSchema, oracleDatum()))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"b":true,"i":-7,"l":1099511627776,"d":1.25,"s":"hé\n","y":"AP8=","u":9,"a":["x",""],"m":{"k":1},"e":"B","f":"YWJj"}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzAvroToJSON(f *testing.F) {
	f.Add(oracleSchema, byGoavro(f, oracleSchema, oracleDatum()))
	f.Add(EventSchema(), []byte{})
	f.Add(`{"type":"array","items":{"type":"bytes","logicalType":"decimal","scale":3}}`, []byte{4, 2, 1, 2, 2, 0})
	f.Add(`{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}`, []byte{2, 2, 0})
	f.Fuzz(func(t *testing.T, schema string, data []byte) {
		text, err := avroJSON(schema, data)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is not JSON", text)
		}
	})
}

// FuzzAvroToJSONOracle lets another decoder say what a value is.
func FuzzAvroToJSONOracle(f *testing.F) {
	codec, err := goavro.NewCodec(oracleSchema)
	if err != nil {
		f.Fatal(err)
	}
	w := newWriter(RegisteredSchema{Text: oracleSchema})
	f.Add(byGoavro(f, oracleSchema, oracleDatum()))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := w.json(data)
		if err != nil {
			return // ours is stricter; and goavro believes what hostile bytes say, so it may not be asked
		}
		native, rest, err := codec.NativeFromBinary(data)
		if err != nil && strings.Contains(err.Error(), "duplicate key") {
			return // Avro allows a map to have a key twice; JSON's readers take the last, as Java's of Avro do
		}
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro reads %d bytes less: %v", len(rest), err)
		}
		want, err := json.Marshal(plain(native, false))
		if err != nil {
			return // a float that JSON does not have
		}
		var a, b any
		if json.Unmarshal(text, &a) != nil || json.Unmarshal(want, &b) != nil {
			t.Fatalf("%q or %q is not JSON", text, want)
		}
		if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y && !strings.Contains(x, "Infinity") {
			t.Fatalf("got %s, want %s", x, y)
		}
	})
}

func FuzzRegisteredValue(f *testing.F) {
	r := registeredRecord(f, 1)
	f.Add(r.Value)
	registry := &fakeRegistry{schemas: map[int]string{1: EventSchema(), 2: oracleSchema}}
	d := NewDecoder(registry.lookup)
	f.Fuzz(func(t *testing.T, value []byte) {
		if _, err := d.JSON(t.Context(), value); err != nil {
			known(t, err)
		}
		again := *r
		again.Value = value
		if _, err := d.FromRecord(t.Context(), &again); err != nil {
			known(t, err)
		}
	})
}
