package survey

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/repos/safepath"
)

// What one write test writes at most, and for how long. The space that must be free
// beside keeps a nearly full disk out of it.
const (
	writeBytes = 64 << 20
	writeTime  = time.Second
	writeChunk = 1 << 20
	writeLeave = 1 << 30
)

// writes measures how fast folders take data, each file system once, all at once. It
// measures nothing while a recording may be running on this host, whichever its disk.
func (h *host) writes(ctx context.Context, r Request) (answer, error) {
	if len(r.Write) == 0 {
		return nil, nil
	}
	skip := func(why string) (answer, error) { return func(r *Reply) { r.WriteSkipped = why }, nil }
	if r.NoWrite {
		return skip("it was asked not to be")
	}
	if why := h.mayRecord(ctx, r); why != "" {
		return skip(why)
	}
	results := make([]Write, len(r.Write))
	var measuring sync.WaitGroup
	seen := map[uint64]bool{}
	for i, folder := range r.Write {
		results[i].Folder = folder
		device, err := h.device(folder)
		switch {
		case err != nil:
			results[i].Err = err.Error()
			continue
		case seen[device]:
			results[i].Err = "it is on a file system that is measured already"
			continue
		}
		seen[device] = true
		measuring.Go(func() {
			if err := measure(ctx, h.Files(), folder, &results[i], h.Now); err != nil {
				results[i].Err = err.Error()
			}
		})
	}
	measuring.Wait()
	return func(r *Reply) { r.Writes = results }, nil
}

// device is the file system that a folder is on.
func (h *host) device(folder string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(h.Path(folder), &st)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("looking at %s: there is no such folder", folder)
	}
	if err != nil {
		return 0, fmt.Errorf("looking at %s: %w", folder, err)
	}
	return uint64(st.Dev), nil
}

// measure writes past the cache into a file that never has a name, or loses it before the
// first byte: however this process ends, the kernel takes the space back.
func measure(ctx context.Context, files safepath.Tree, path string, into *Write, now func() time.Time) error {
	folder, err := opened(files, path)
	if err != nil {
		return err
	}
	defer folder.Close()
	var space unix.Statfs_t
	if err := unix.Fstatfs(int(folder.Fd()), &space); err != nil {
		return fmt.Errorf("looking at the free space: %w", err)
	}
	if int64(space.Bavail)*space.Bsize < writeLeave+writeBytes {
		return errors.New("there is too little space to write for a test")
	}
	f, direct, err := nameless(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := aligned()
	began := now()
	for into.Bytes < writeBytes && now().Sub(began) < writeTime && ctx.Err() == nil {
		n, err := f.Write(chunk)
		into.Bytes += int64(n)
		if err != nil {
			return fmt.Errorf("writing for a test: %w", err)
		}
		if !direct {
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				return fmt.Errorf("writing for a test: %w", err)
			}
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing for a test: %w", err)
	}
	into.Took = now().Sub(began)
	if into.Took > 0 {
		into.BytesPerSecond = int64(float64(into.Bytes) / into.Took.Seconds())
	}
	return nil
}

// nameless opens a file without a name (open(2), O_TMPFILE), past the cache where the file
// system can (O_DIRECT). Where it cannot make one, as NFS, the name is taken away at once.
func nameless(folder *os.File) (f *os.File, direct bool, err error) {
	at := int(folder.Fd())
	for _, try := range []int{unix.O_DIRECT, 0} {
		fd, err := unix.Openat(at, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC|try, 0o600)
		if err == nil {
			return os.NewFile(uintptr(fd), folder.Name()), try != 0, nil
		}
	}
	name := ".valtctl-write-test-" + crand.Text()
	fd, err := unix.Openat(at, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("opening a file for a test: %w", err)
	}
	f = os.NewFile(uintptr(fd), name)
	if err := unix.Unlinkat(at, name, 0); err != nil {
		return nil, false, fmt.Errorf("opening a file for a test: %w", errors.Join(err, f.Close()))
	}
	return f, false, nil
}

// opened is a folder, open: whoever may change one above it cannot lead a test elsewhere.
func opened(files safepath.Tree, path string) (*os.File, error) {
	folder, err := files.Folder(path)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Handle()
}

// aligned is a chunk of noise, which no file system shrinks, on a page boundary as
// O_DIRECT wants it.
func aligned() []byte {
	const page = 4096
	raw := make([]byte, writeChunk+page)
	skip := page - int(uintptr(unsafe.Pointer(&raw[0]))%page)
	chunk := raw[skip : skip+writeChunk]
	_, _ = rand.NewChaCha8([32]byte{}).Read(chunk) // it never fails
	return chunk
}

// inodes counts those of each folder's file system.
func (h *host) inodes(folders []string) (answer, error) {
	var all []Inodes
	var errs []error
	for _, folder := range folders {
		at := folder
		for at != "/" && !h.there(at) {
			at = path.Dir(path.Clean("/" + strings.TrimPrefix(at, "/")))
		}
		var space unix.Statfs_t
		if err := unix.Statfs(h.Path(at), &space); err != nil {
			errs = append(errs, fmt.Errorf("counting the inodes of %s: %w", folder, err))
			continue
		}
		all = append(all, Inodes{Folder: folder, Total: space.Files, Free: space.Ffree})
	}
	return func(r *Reply) { r.Inodes = all }, errors.Join(errs...)
}
