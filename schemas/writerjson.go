package schemas

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits of one value. Each piece of JSON costs at least one byte, so that the
// first bounds the time too, whatever the counts in the value say.
const (
	maxJSON       = 16 << 20 // bytes
	maxValueDepth = 200
	maxDecimal    = 256 // bytes
)

// json writes one value as JSON. It reads the bytes in one pass and never holds
// more than what it writes.
func (w *writer) json(data []byte) ([]byte, error) {
	t := &transcoder{data: data, out: make([]byte, 0, 2*len(data)+64)}
	if err := t.value(w.root, 0); err != nil {
		return nil, err
	}
	if len(t.data) > 0 {
		return nil, fmt.Errorf("%d bytes follow it", len(t.data))
	}
	return t.out, nil
}

type transcoder struct {
	data []byte // what is left to read
	out  []byte
}

// room makes sure that so many bytes more may be written.
func (t *transcoder) room(n int) error {
	if len(t.out)+n > maxJSON {
		return fmt.Errorf("as JSON it has more than %d bytes", maxJSON)
	}
	return nil
}

func (t *transcoder) write(text string) error {
	if err := t.room(len(text)); err != nil {
		return err
	}
	t.out = append(t.out, text...)
	return nil
}

func (t *transcoder) text(s []byte) error {
	if err := t.room(len(s) + 2); err != nil {
		return err
	}
	t.out = appendText(t.out, s)
	return t.room(0)
}

// take gives the next n bytes.
func (t *transcoder) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(t.data)) {
		return nil, errShort
	}
	taken := t.data[:n]
	t.data = t.data[n:]
	return taken, nil
}

func (t *transcoder) long() (int64, error) {
	n, rest, err := number(t.data)
	t.data = rest
	return n, err
}

func (t *transcoder) bytes() ([]byte, error) {
	n, err := t.long()
	if err != nil {
		return nil, err
	}
	return t.take(n)
}

func (t *transcoder) value(n *node, depth int) error {
	if depth > maxValueDepth {
		return fmt.Errorf("it is more than %d deep", maxValueDepth)
	}
	switch n.kind {
	case avroNull:
		return t.write("null")
	case avroBoolean:
		b, err := t.take(1)
		if err != nil {
			return err
		}
		if b[0] > 1 {
			return fmt.Errorf("a boolean is %d", b[0])
		}
		return t.write(strconv.FormatBool(b[0] == 1))
	case avroInt, avroLong:
		v, err := t.long()
		if err != nil {
			return err
		}
		if n.kind == avroInt && v != int64(int32(v)) {
			return errors.New("an int has more than 32 bits")
		}
		return t.write(numberText(n.logical, v))
	case avroFloat:
		b, err := t.take(4)
		if err != nil {
			return err
		}
		return t.write(floatText(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32))
	case avroDouble:
		b, err := t.take(8)
		if err != nil {
			return err
		}
		return t.write(floatText(math.Float64frombits(binary.LittleEndian.Uint64(b)), 64))
	case avroBytes, avroFixed:
		return t.binary(n)
	case avroString:
		s, err := t.bytes()
		if err != nil {
			return err
		}
		return t.text(s)
	case avroEnum:
		i, err := t.index(len(n.symbols), "an enum has no symbol")
		if err != nil {
			return err
		}
		return t.write(n.symbols[i])
	case avroUnion:
		i, err := t.index(len(n.parts), "a union has no branch")
		if err != nil {
			return err
		}
		return t.value(n.parts[i], depth+1)
	case avroRecord:
		return t.record(n, depth)
	case avroArray, avroMap:
		return t.items(n, depth)
	default:
		return fmt.Errorf("kind %d is not supported", n.kind)
	}
}

func (t *transcoder) index(below int, what string) (int64, error) {
	i, err := t.long()
	if err == nil && (i < 0 || i >= int64(below)) {
		err = fmt.Errorf("%s %d", what, i)
	}
	return i, err
}

func (t *transcoder) record(n *node, depth int) error {
	for i, f := range n.fields {
		before := ","
		if i == 0 {
			before = "{"
		}
		if err := t.write(before + f.name); err != nil {
			return err
		}
		if err := t.value(f.node, depth+1); err != nil {
			return err
		}
	}
	if len(n.fields) == 0 {
		return t.write("{}")
	}
	return t.write("}")
}

// items writes the blocks of an array or a map, up to the empty one that ends it.
func (t *transcoder) items(n *node, depth int) error {
	open, end := "[", "]"
	if n.kind == avroMap {
		open, end = "{", "}"
	}
	before := open
	for {
		count, err := t.long()
		if err != nil {
			return err
		}
		if count == 0 {
			break
		}
		if count < 0 { // the block's size in bytes comes too
			if _, err := t.long(); err != nil {
				return err
			}
			if count = -count; count < 0 {
				return errors.New("it has too many items")
			}
		}
		for ; count > 0; count-- {
			if err := t.write(before); err != nil {
				return err
			}
			before = ","
			if err := t.item(n, depth); err != nil {
				return err
			}
		}
	}
	if before == open {
		return t.write(open + end)
	}
	return t.write(end)
}

func (t *transcoder) item(n *node, depth int) error {
	if n.kind == avroMap {
		key, err := t.bytes()
		if err != nil {
			return err
		}
		if err := t.text(key); err != nil {
			return err
		}
		if err := t.write(":"); err != nil {
			return err
		}
	}
	return t.value(n.parts[0], depth+1)
}

func (t *transcoder) binary(n *node) error {
	var b []byte
	var err error
	if n.kind == avroFixed {
		b, err = t.take(int64(n.size))
	} else {
		b, err = t.bytes()
	}
	if err != nil {
		return err
	}
	switch n.logical {
	case "decimal":
		if len(b) > maxDecimal {
			return fmt.Errorf("a decimal has %d bytes, more than %d", len(b), maxDecimal)
		}
		return t.write(`"` + decimalText(b, n.scale) + `"`)
	case "uuid":
		x := hex.EncodeToString(b)
		return t.write(`"` + x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:] + `"`)
	case "duration":
		return t.write(`"` + durationText(b) + `"`)
	}
	if err := t.room(base64.StdEncoding.EncodedLen(len(b)) + 2); err != nil {
		return err
	}
	t.out = append(base64.StdEncoding.AppendEncode(append(t.out, '"'), b), '"')
	return nil
}

// decimalText writes a two's complement number with so many digits behind the point.
func decimalText(b []byte, scale int) string {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	digits := new(big.Int).Abs(v).String()
	for len(digits) <= scale {
		digits = "0" + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if v.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}

// durationText writes months, days and milliseconds as ISO 8601 has it.
func durationText(b []byte) string {
	months, days, millis := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	return fmt.Sprintf("P%dM%dDT%d.%03dS", months, days, millis/1000, millis%1000)
}

// numberText writes an int or long: as a date or time where its logical type says
// so and RFC 3339 can hold it, else as a number.
func numberText(logical string, v int64) string {
	var at time.Time
	var layout string
	switch logical {
	case "date":
		at, layout = time.Unix(v*86400, 0), time.DateOnly
	case "time-millis":
		at, layout = timeOfDay(v, 1000), "15:04:05.000"
	case "time-micros":
		at, layout = timeOfDay(v, 1_000_000), "15:04:05.000000"
	case "timestamp-millis":
		at, layout = time.UnixMilli(v), "2006-01-02T15:04:05.000Z"
	case "timestamp-micros":
		at, layout = time.UnixMicro(v), "2006-01-02T15:04:05.000000Z"
	case "timestamp-nanos":
		at, layout = time.Unix(0, v), "2006-01-02T15:04:05.000000000Z"
	case "local-timestamp-millis":
		at, layout = time.UnixMilli(v), "2006-01-02T15:04:05.000"
	case "local-timestamp-micros":
		at, layout = time.UnixMicro(v), "2006-01-02T15:04:05.000000"
	case "local-timestamp-nanos":
		at, layout = time.Unix(0, v), "2006-01-02T15:04:05.000000000"
	}
	if year := at.UTC().Year(); layout == "" || at.IsZero() || year < 1 || year > 9999 {
		return strconv.FormatInt(v, 10)
	}
	return `"` + at.UTC().Format(layout) + `"`
}

// timeOfDay gives the time on some day; zero when it is on none.
func timeOfDay(v, perSecond int64) time.Time {
	if v < 0 || v >= 86400*perSecond {
		return time.Time{}
	}
	return time.Unix(v/perSecond, v%perSecond*(int64(time.Second)/perSecond))
}

// floatText writes a number as encoding/json does; JSON has none for these three.
func floatText(v float64, bits int) string {
	switch {
	case math.IsNaN(v):
		return `"NaN"`
	case math.IsInf(v, 1):
		return `"Infinity"`
	case math.IsInf(v, -1):
		return `"-Infinity"`
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(v, format, -1, bits)
}

// appendText writes a JSON string. What is not UTF-8 becomes U+FFFD.
func appendText[T string | []byte](out []byte, s T) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
			i++
		case c == '\n':
			out = append(out, `\n`...)
			i++
		case c == '\r':
			out = append(out, `\r`...)
			i++
		case c == '\t':
			out = append(out, `\t`...)
			i++
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			i++
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			out = utf8.AppendRune(out, r)
			i += size
		}
	}
	return append(out, '"')
}
