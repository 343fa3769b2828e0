package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Tail reads a journal while it grows. It remembers where it was, so that each Next
// costs only what is new. The zero value with a Path starts at the beginning.
type Tail struct {
	Path string

	offset int64
	chain  chain
}

// Next returns the records that were completed since the last call, checked like
// Read's. A line that is still being written is left for the next call.
func (t *Tail) Next() ([]Record, error) {
	f, err := os.Open(t.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() <= t.offset {
		return nil, nil
	}
	buffered := bufio.NewReaderSize(io.NewSectionReader(f, t.offset, 1<<62), 64<<10)
	var records []Record
	for {
		line, whole, err := readLine(buffered)
		if err != nil {
			return records, fmt.Errorf("reading the journal %s: line %d: %w", t.Path, t.chain.seq+1, err)
		}
		if !whole {
			return records, nil
		}
		r, err := t.chain.take(line)
		if errors.Is(err, errUnreadable) && atEnd(buffered) {
			return records, nil // torn; the next writer replaces it
		}
		if err != nil {
			return records, unusable(t.Path, t.chain.seq+1, err)
		}
		t.offset += int64(len(line)) + 1
		records = append(records, r)
	}
}
