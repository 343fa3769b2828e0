// Package durabletest is a disk for tests that forgets, at a power cut, what nobody synced:
// content, names, removals, each for itself and in any order, as fsync(2) and rename(2) allow.
// It fails or runs full when told to. Killing a program shows none of this, since the page
// cache survives it.
package durabletest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ipivs.com/valtctl/repos/durable"
)

// Call is one call that changes something, or makes it durable.
type Call struct {
	N    int    // from 1
	Name string // "write", "sync", "rename", "remove", "mkdir", "symlink", "syncdir", "open", "truncate"
	Path string
}

func (c Call) String() string { return fmt.Sprintf("%d: %s %s", c.N, c.Name, c.Path) }

// Disk is what is below one folder.
type Disk struct {
	dir string

	mu    sync.Mutex
	n     int
	fail  func(Call) error
	room  int64           // bytes that may still be written; negative: as many as one likes
	names map[string]*ino // as they are now
	kept  map[string]*ino // as a power cut leaves them for sure
	late  []change        // of names, not durable yet, in their order
	open  map[*file]bool
}

// ino is a file, a folder or a link, whatever it is called.
type ino struct {
	folder bool
	link   string
	mode   fs.FileMode
	synced []byte // content that is on the disk
	dirty  bool   // there is more than that
}

// change is one change of a name: to a file, or to nothing.
type change struct {
	path string
	to   *ino   // nil: it goes
	was  *ino   // of one that goes: no other of that name does
	from string // of a rename, which takes the other name away
}

// New puts a disk under a folder until the test ends. What is in the folder is on it.
func New(t testing.TB, dir string) *Disk {
	t.Helper()
	d := &Disk{dir: filepath.Clean(dir), room: -1, names: map[string]*ino{}, kept: map[string]*ino{}, open: map[*file]bool{}}
	t.Cleanup(durable.Mount(dir, d))
	return d
}

// Fail has every call asked about before it is made: an error is what it fails with. It may
// panic, which stands for the end of the program or of the power.
func (d *Disk) Fail(f func(Call) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

// Full leaves room for so many bytes; a negative number for any.
func (d *Disk) Full(room int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

// Calls is how many calls there were.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

// call counts a call and has it fail if it is to.
func (d *Disk) call(name, path string) error {
	d.mu.Lock()
	d.n++
	c, f := Call{d.n, name, strings.TrimPrefix(path, d.dir)}, d.fail
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := f(c); err != nil {
		return &fs.PathError{Op: name, Path: path, Err: err}
	}
	return nil
}

// known is the file of that name; one that was there before the disk was is on it.
func (d *Disk) known(path string) *ino {
	if i, ok := d.names[path]; ok {
		return i
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	i := &ino{folder: info.IsDir(), mode: info.Mode()}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		i.link, _ = os.Readlink(path)
	case info.Mode().IsRegular():
		i.synced, _ = os.ReadFile(path)
	}
	d.names[path], d.kept[path] = i, i
	return i
}

// set notes what a path is from now on.
func (d *Disk) set(path string, to *ino) {
	d.late = append(d.late, change{path: path, to: to, was: d.names[path]})
	if to == nil {
		delete(d.names, path)
		return
	}
	d.names[path] = to
}

// OpenFile opens a file as os.OpenFile does.
func (d *Disk) OpenFile(path string, flag int, mode fs.FileMode) (durable.File, error) {
	path = filepath.Clean(path)
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		if err := d.call("open", path); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.known(path)
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	if i == nil {
		i = &ino{mode: mode}
		d.set(path, i)
	}
	if flag&os.O_TRUNC != 0 {
		i.dirty = true
	}
	return d.opened(f, i, path), nil
}

// opened keeps in mind that a file is open.
func (d *Disk) opened(f *os.File, i *ino, path string) *file {
	made := &file{f, d, i, path}
	d.open[made] = true
	return made
}

func (f *file) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	delete(f.disk.open, f)
	return f.File.Close()
}

// EndProgram ends the program that has files open, as a kill does: they are closed, and what it
// had locked is free. What it wrote is in the page cache.
func (d *Disk) EndProgram() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for f := range d.open {
		_ = f.File.Close()
	}
	clear(d.open)
}

// CreateTemp makes a file as os.CreateTemp does.
func (d *Disk) CreateTemp(dir, pattern string) (durable.File, error) {
	if err := d.call("open", filepath.Join(dir, pattern)); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	i := &ino{mode: 0o600}
	d.set(f.Name(), i)
	return d.opened(f, i, f.Name()), nil
}

// Mkdir makes a folder as os.Mkdir does.
func (d *Disk) Mkdir(path string, mode fs.FileMode) error {
	path = filepath.Clean(path)
	if err := d.call("mkdir", path); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	d.set(path, &ino{folder: true, mode: mode | fs.ModeDir})
	return nil
}

// Symlink makes a link as os.Symlink does.
func (d *Disk) Symlink(target, path string) error {
	path = filepath.Clean(path)
	if err := d.call("symlink", path); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Symlink(target, path); err != nil {
		return err
	}
	d.set(path, &ino{link: target})
	return nil
}

// Rename gives a file or a folder, with what is in it, another name, as os.Rename does.
func (d *Disk) Rename(from, to string) error {
	from, to = filepath.Clean(from), filepath.Clean(to)
	if err := d.call("rename", to); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.known(from)
	d.known(to)
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d.late = append(d.late, change{path: to, to: i, from: from})
	move(d.names, from, to)
	return nil
}

// move renames one name and all that are below it.
func move(names map[string]*ino, from, to string) {
	for path, i := range maps.Clone(names) {
		if rest, below := strings.CutPrefix(path, from+"/"); below {
			names[to+"/"+rest] = i
			delete(names, path)
		}
	}
	if i, ok := names[from]; ok {
		names[to] = i
		delete(names, from)
	}
}

// Remove removes as os.Remove does.
func (d *Disk) Remove(path string) error {
	path = filepath.Clean(path)
	if err := d.call("remove", path); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known(path)
	d.give(path)
	if err := os.Remove(path); err != nil {
		return err
	}
	d.set(path, nil)
	return nil
}

// RemoveAll removes as os.RemoveAll does.
func (d *Disk) RemoveAll(path string) error {
	path = filepath.Clean(path)
	if err := d.call("remove", path); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	_ = filepath.WalkDir(path, func(at string, _ fs.DirEntry, err error) error { // what is not there is gone
		if err == nil {
			d.known(at)
			all = append(all, at)
		}
		return nil
	})
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	for _, at := range slices.Backward(all) {
		d.set(at, nil)
	}
	return nil
}

// SyncDir makes the names of one folder durable.
func (d *Disk) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	if err := d.call("syncdir", dir); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.late = slices.DeleteFunc(d.late, func(c change) bool {
		if filepath.Dir(c.path) != dir && (c.from == "" || filepath.Dir(c.from) != dir) {
			return false
		}
		c.settle(d.kept)
		return true
	})
	return nil
}

// settle makes a change of a name durable.
func (c change) settle(kept map[string]*ino) {
	switch {
	case c.to == nil:
		if kept[c.path] == c.was {
			delete(kept, c.path)
		}
	case c.from != "":
		move(kept, c.from, c.path) // with what is in it, as far as that is durable
		kept[c.path] = c.to
	default:
		kept[c.path] = c.to
	}
}

// PowerCut makes the folder what it may be after the power was lost: what was synced is there,
// and of the rest the seed draws what got to the disk in time. Files that no call of this disk
// has touched stay.
func (d *Disk) PowerCut(seed uint64) {
	d.EndProgram()
	d.mu.Lock()
	defer d.mu.Unlock()
	rng := rand.New(rand.NewPCG(seed, 0))
	now := maps.Clone(d.names)
	content := map[*ino][]byte{}
	for path, i := range now {
		if !i.folder && i.link == "" {
			content[i], _ = os.ReadFile(path)
		}
	}
	after := maps.Clone(d.kept)
	for _, c := range d.late { // each got there or not, whatever became of the others
		if rng.IntN(2) == 0 {
			c.settle(after)
		}
	}
	for path := range now {
		_ = os.RemoveAll(path)
	}
	for _, path := range slices.Sorted(maps.Keys(after)) { // folders come before what is in them
		after[path].restore(path, content[after[path]], rng)
	}
	d.names, d.kept, d.late = after, maps.Clone(after), nil
}

// restore writes what a file is after a power cut. What was in the page cache alone may have
// got to the disk, or in part, or not.
func (i *ino) restore(path string, live []byte, rng *rand.Rand) {
	text := i.synced
	if i.dirty && live != nil {
		switch rng.IntN(3) {
		case 0:
			text = live
		case 1: // torn: what was appended in part, or what was written anew
			least := 0
			if bytes.HasPrefix(live, i.synced) {
				least = len(i.synced)
			}
			text = live[:least+rng.IntN(len(live)-least+1)]
		}
	}
	var err error
	switch {
	case i.folder:
		err = os.MkdirAll(path, i.mode.Perm())
	case i.link != "":
		err = os.Symlink(i.link, path)
	default:
		if err = os.WriteFile(path, text, i.mode.Perm()); errors.Is(err, fs.ErrNotExist) {
			return // its folder is not there: nobody finds it
		}
		i.synced, i.dirty = text, false
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		panic(err)
	}
}
