package embedded

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestCommitsAfterATornWriteOutliveTheNextCrash(t *testing.T) {
	for name, tc := range map[string]struct {
		off  without
		want int64
	}{
		"with the repair they do":             {without{}, 90},
		"without it all but the first vanish": {without{Repair: true}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			o := childOptions{Dir: t.TempDir(), Off: tc.off}
			c := startChild(t, o)
			if err := create(t, c.addr, "webhooks.a", nil); err != nil {
				t.Fatal(err)
			}
			produce(t, c.addr, "webhooks.a", 0, 100)
			commit(t, c.addr, "g", "webhooks.a", 10)
			c.kill()
			tear(t, filepath.Join(o.Dir, "groups.log"))

			c = startChild(t, o)
			if got := committed(t, c.addr, "g", "webhooks.a"); got != 10 {
				t.Fatalf("committed %d after the first crash, want 10", got)
			}
			commit(t, c.addr, "g", "webhooks.a", 90)
			c.kill()

			c = startChild(t, o)
			if got := committed(t, c.addr, "g", "webhooks.a"); got != tc.want {
				t.Errorf("committed %d after the second crash, want %d", got, tc.want)
			}
		})
	}
}

// tear appends the first bytes of an entry, as a crash in a write does.
func tear(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{0x60, 0, 0, 0, 1, 2, 3, 4, 1, 0, '{'}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWholeFrames(t *testing.T) {
	a, b, c := entry(`{"type":"commit","o":1}`), entry(`{"type":"commit","o":2}`), entry(`{"m":"`+string(bytes.Repeat([]byte("x"), 3000))+`"}`)
	for name, tc := range map[string]struct{ log, want []byte }{
		"nothing":                                    {nil, nil},
		"whole ones stay":                            {join(a, b, c), join(a, b, c)},
		"a torn head goes":                           {join(a, b[:3]), a},
		"a torn body goes":                           {join(a, b, c[:len(c)-1]), join(a, b)},
		"zeroes of a file that grew go":              {join(a, make([]byte, 4096)), a},
		"what follows a torn one stays":              {join(a, b[:len(b)-4], c), join(a, c)},
		"a flipped bit costs one entry only":         {join(a, flip(b), c), join(a, c)},
		"a length beyond the end hides nothing":      {join([]byte{0xff, 0xff, 0, 0}, a, b), join(a, b)},
		"a torn long one does not swallow the rest":  {join(c[:40], a, b), join(a, b)},
		"two torn ones":                              {join(a[:9], b[:2], c), c},
		"an entry of another version is not touched": {version(a, 2), version(a, 2)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wholeFrames(tc.log); !bytes.Equal(got, tc.want) {
				t.Errorf("kept %d bytes, want %d", len(got), len(tc.want))
			}
		})
	}
}

func FuzzWholeFrames(f *testing.F) {
	f.Add(join(entry("{}"), entry(`{"type":"meta"}`)))
	f.Add(entry(`{"a":1}`)[:12])
	f.Fuzz(func(t *testing.T, log []byte) {
		once := wholeFrames(log)
		if !bytes.Equal(wholeFrames(once), once) {
			t.Fatal("what was kept is not whole")
		}
		if later := entry(`{"type":"commit"}`); !bytes.HasSuffix(wholeFrames(join(log, later)), later) {
			t.Fatal("it hides what was acknowledged after it")
		}
	})
}

func entry(json string) []byte { return version(append(make([]byte, 10), json...), 1) }

// version sets an entry's version, and its head accordingly.
func version(e []byte, v uint16) []byte {
	e = bytes.Clone(e)
	binary.LittleEndian.PutUint16(e[8:], v)
	binary.LittleEndian.PutUint32(e, uint32(len(e)-8))
	binary.LittleEndian.PutUint32(e[4:], crc32.Checksum(e[8:], crc32.MakeTable(crc32.Castagnoli)))
	return e
}

func flip(e []byte) []byte {
	e = bytes.Clone(e)
	e[len(e)/2] ^= 1
	return e
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestFilesCutAnywhere cuts each of kfake's files at many places: the broker
// starts with all that was acknowledged, or refuses, and never breaks.
func TestFilesCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), "webhooks.a", 0, 10)
	for i := range 5 {
		commit(t, b.Addr(), "g", "webhooks.a", int64(i))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"groups.log", "pids.log", "partitions/webhooks.a-0/0.dat", "partitions/webhooks.a-0/0.idx"} {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(whole); at += 1 + len(whole)/15 {
			t.Run(name+" at "+strconv.Itoa(at), func(t *testing.T) {
				cut := t.TempDir()
				if err := os.CopyFS(cut, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(filepath.Join(cut, name), int64(at)); err != nil {
					t.Fatal(err)
				}
				b, err := tryStart(t, Options{Dir: cut})
				if filepath.Ext(name) == ".dat" {
					if err == nil {
						t.Error("acknowledged records were cut off, and the broker starts")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if first, end := extent(t, b.Addr(), "webhooks.a"); first != 0 || end != 10 {
					t.Errorf("records %d to %d, want 0 to 10", first, end)
				}
				produce(t, b.Addr(), "webhooks.a", 10, 1)
				commit(t, b.Addr(), "g", "webhooks.a", 10)
			})
		}
	}
}
