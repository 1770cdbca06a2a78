package schemas

import (
	"encoding/binary"
	"time"
)

// avroWriter writes a datum of a pinned schema, field after field in the schema's
// order. goavro wants a map of any, walks the schema along with it, and takes longer
// over an event than all else that is done to store it. It reads what is written
// here, in the tests byte for byte as it would write it.
type avroWriter struct{ b []byte }

// head begins a value in single-object encoding; size is a guess that saves growing.
func (s *avroSchema) head(size int) []byte {
	b := append(make([]byte, 0, size), 0xC3, 0x01)
	return binary.LittleEndian.AppendUint64(b, s.codec.Rabin)
}

// long also writes an int.
func (w *avroWriter) long(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (w *avroWriter) bytes(b []byte) {
	w.long(int64(len(b)))
	w.b = append(w.b, b...)
}

func (w *avroWriter) text(text string) {
	text = avroText(text)
	w.long(int64(len(text)))
	w.b = append(w.b, text...)
}

func (w *avroWriter) time(t time.Time) { w.long(t.UnixMicro()) }

// optionalTime writes a union of null and a time.
func (w *avroWriter) optionalTime(t time.Time) {
	if !writable(t) {
		w.long(0)
		return
	}
	w.long(1)
	w.time(t)
}
