package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Torn is a last line that was being written when the host stopped.
type Torn struct {
	Line  int64 `json:"line"`  // its number in the file, from 1
	Bytes int64 `json:"bytes"` // how much of it there was
}

// read is what a journal holds, and where its good part ends.
type read struct {
	records []Record
	torn    *Torn
	chain   chain
	size    int64 // bytes of the good part
}

// Read reads a whole journal and checks its chain. A torn last line is left out and
// told; object names the journal in errors. A line that does not follow from the one
// before it is a problem.Trust that names the line; the records before it come along.
func Read(r io.Reader, object string) ([]Record, *Torn, error) {
	got, err := readAll(r, object)
	return got.records, got.torn, err
}

// ReadFile is Read of a file. A file that does not exist has no records.
func ReadFile(path string) ([]Record, *Torn, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening the journal: %w", err)
	}
	defer f.Close()
	return Read(f, path)
}

func readAll(r io.Reader, object string) (read, error) {
	var got read
	buffered := bufio.NewReaderSize(r, 64<<10)
	for {
		line, whole, err := readLine(buffered)
		if err != nil {
			return got, fmt.Errorf("reading the journal %s: line %d: %w", object, got.chain.seq+1, err)
		}
		if len(line) == 0 && !whole {
			return got, nil
		}
		if !whole {
			got.torn = &Torn{Line: got.chain.seq + 1, Bytes: int64(len(line))}
			return got, nil
		}
		record, err := got.chain.take(line)
		if errors.Is(err, errUnreadable) && atEnd(buffered) {
			got.torn = &Torn{Line: got.chain.seq + 1, Bytes: int64(len(line)) + 1}
			return got, nil
		}
		if err != nil {
			return got, unusable(object, got.chain.seq+1, err)
		}
		got.records = append(got.records, record)
		got.size += int64(len(line)) + 1
	}
}

// readLine is the next line without its newline, and whether it had one.
func readLine(r *bufio.Reader) (line []byte, whole bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte{'\n'}), true, nil
		case errors.Is(err, io.EOF):
			return line, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		case len(line) > MaxLine:
			return nil, false, fmt.Errorf("it is longer than %d bytes", MaxLine)
		}
	}
}

func atEnd(r *bufio.Reader) bool {
	_, err := r.Peek(1)
	return errors.Is(err, io.EOF)
}
