package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
)

// maxFile is the largest file that is read, in bytes: a rollout beside a lease, escaped.
const maxFile = 8 * maxRollout

func write(path string, v any) error {
	text, err := encode(path, v)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, text, 0o600)
}

// encode is a file's text, safe to look at: names and reasons in it are what somebody else has said.
func encode(path string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return append(plain.JSON(text), '\n'), nil
}

var errNotPlain = errors.New("it is no plain file")

// damaged is that a file of ours does not say what it should.
func damaged(path string, err error) error {
	return &problem.Error{Kind: problem.Failed, Doing: "reading", Object: path, Err: err, Fix: anew}
}

// read leaves v alone where there is no file.
func read(path string, v any) error {
	_, err := readIfThere(path, v)
	return err
}

// readIfThere reads a plain file; false: there is none. Anything else of that name is damaged: a
// named pipe would be waited for without an end.
func readIfThere(path string, v any) (there bool, err error) {
	info, err := os.Lstat(path) // a link to nothing is not nothing
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, damaged(path, err)
	}
	if !info.Mode().IsRegular() {
		return true, damaged(path, errNotPlain)
	}
	text, err := readAll(path)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return true, damaged(path, err)
	}
	return true, nil
}

func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(text) > maxFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return text, err
}

// aside is where what is no plain file is put.
func aside(path string) string { return path + ".damaged" }

func wasPutAside(path string) bool {
	_, err := os.Lstat(aside(path))
	return err == nil
}

// put writes a file over whatever is there. What is no plain file is put aside once the new
// one is on the disk; where that is full it goes, and a plain file is written in place: a power cut
// then leaves a damaged one, which lets nobody in.
func put(path string, text []byte) error {
	info, err := os.Lstat(path)
	plain := errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular()
	if plain {
		err = durable.WriteFile(path, text, 0o600)
		if err == nil || !noRoom(err) {
			return err
		}
		return writeInPlace(path, text)
	}
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".anew")
	if err := durable.WriteFile(next, text, 0o600); noRoom(err) {
		if err := errors.Join(durable.RemoveAll(aside(path)), emptied(path), durable.WriteFile(next, text, 0o600)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := errors.Join(durable.RemoveAll(aside(path)), durable.Rename(path, aside(path))); err != nil {
		return err
	}
	return durable.Rename(next, path)
}

// emptied removes what is in a folder; the folder stays, so that its name is not free.
func emptied(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil // it is no folder, and takes no room
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, durable.RemoveAll(filepath.Join(path, e.Name())))
	}
	return errors.Join(errs...)
}

// noRoom says that a disk, or what this host may have of it, is full.
func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// writeInPlace needs no room where the file had as many bytes; spaces fill it up meanwhile.
func writeInPlace(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("writing %s on a full disk: %w", path, err)
	}
	f, err := durable.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s on a full disk: %w", path, err)
	}
	if short := int(min(info.Size(), maxFile)) - len(text); short > 0 {
		text = append(text, bytes.Repeat([]byte(" "), short)...)
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s on a full disk: %w", path, err)
	}
	return nil
}
