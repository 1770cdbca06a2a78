package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// kfake appends each commit and each producer id to a log of frames:
//
//	length (4, of what follows the checksum) | CRC-32C of that (4) | version (2) | JSON
//
// all little-endian. At start it reads up to the first frame that is not whole
// and then appends behind it: so after one torn write, by a crash or a full
// disk, everything that is acknowledged later is never read again. The next
// crash takes all of it back.
const (
	frameHead = 8
	maxFrame  = 16<<20 - 1 // far above any commit; a torn length can say anything
)

// mend takes what is torn out of the logs before kfake opens them.
func (b *Broker) mend() error {
	if b.opts.off.Repair {
		return nil
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		path := filepath.Join(b.opts.Dir, name)
		log, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the embedded broker's %s: %w", name, err)
		}
		whole := wholeFrames(log)
		if len(whole) == len(log) {
			continue
		}
		b.opts.Logger.Warn("took a torn entry out of a log of the embedded broker; it was never acknowledged",
			zap.String("file", path), zap.Int("bytes", len(log)-len(whole)))
		if err := replaceFile(path, whole); err != nil {
			return fmt.Errorf("mend the embedded broker's %s: %w", name, err)
		}
	}
	return nil
}

// wholeFrames returns the log without what is not a whole frame. Mostly that is
// its tail; where a write failed and later ones did not, as on a disk that was
// full for a while, it lies in the middle, and what follows was acknowledged:
// so the search goes on behind it. Half a frame cannot look like one: the JSON
// in it has no zero bytes, and every length does.
func wholeFrames(log []byte) []byte {
	whole := make([]byte, 0, len(log))
	for len(log) > 0 {
		n := frame(log)
		if n == 0 {
			log = log[1:]
			continue
		}
		whole = append(whole, log[:n]...)
		log = log[n:]
	}
	return whole
}

// frame is the size of the frame that the log begins with, or 0.
func frame(log []byte) int {
	if len(log) < frameHead+2 {
		return 0
	}
	size := int64(binary.LittleEndian.Uint32(log))
	if size < 2 || size > maxFrame || size > int64(len(log)-frameHead) {
		return 0
	}
	body := log[frameHead : frameHead+size]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(log[4:]) {
		return 0
	}
	return frameHead + int(size)
}

// replaceFile puts data in path's place: whole, or not at all.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp" // kfake sweeps these up
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
