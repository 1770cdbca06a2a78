package signature

import (
	"bytes"
	"testing"
)

func BenchmarkSign(b *testing.B) {
	for name, k := range kinds() {
		b.Run(name, func(b *testing.B) {
			c := compile(b, k.scheme)
			held := keys(b, c, k.secret)
			m := message()
			m.Body = bytes.Repeat([]byte("x"), 1024)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Sign(m, held, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for name, k := range kinds() {
		b.Run(name, func(b *testing.B) {
			c := compile(b, k.scheme)
			held := keys(b, c, k.secret)
			m := message()
			m.Body = bytes.Repeat([]byte("x"), 1024)
			if err := c.Sign(m, held, now); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Verify(m, held, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
