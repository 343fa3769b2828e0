// Package safepath opens what lies where somebody else than root may put things: below the
// home of a login, or below a folder of a container's user. Whoever may change a folder can make a name
// in it a link to anywhere, between any two of root's calls. So no path is looked at and then
// used: it is opened one folder at a time, and what is done is done in the folder that is open.
// Links are followed where only root can have made them, as with /var/run, and nowhere else
// (systemd's chase() calls that CHASE_SAFE). It does not judge what a file holds.
package safepath

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// ErrPlanted says that what lies at a path may have been put there to lead root elsewhere.
var ErrPlanted = errors.New("it is a link or a special file, and in a folder that others than root can change only plain ones are followed")

// ErrTooLarge says that a file has more bytes than are read of it.
var ErrTooLarge = errors.New("it is too large to be what it should be")

// Tree is the files of a host.
type Tree struct {
	base       string
	owner, gid int // root's, whose folders are trusted
}

// Under is the host whose files are below a folder: of this machine where base is empty. Tests
// have another one, in which whoever runs them is root.
func Under(base string) Tree {
	if base == "" {
		return Tree{}
	}
	return Tree{base, os.Getuid(), os.Getgid()}
}

// othersMayChange says that somebody else than root may make, rename or remove names in a folder. A
// sticky one counts too, since anybody may make a link in it. With access lists the group's
// bits are what any entry can allow (acl(5)).
func (t Tree) othersMayChange(folder fs.FileInfo) bool {
	uid, gid, known := OwnerOf(folder)
	mode := folder.Mode().Perm()
	return known && uid != t.owner || mode&0o002 != 0 || mode&0o020 != 0 && known && gid != t.gid
}

// Folder is a folder that is open. It stays the same one whatever becomes of its path. Names that
// its methods take are single ones, and no link is followed by any of them.
type Folder struct {
	root   *os.Root
	tree   Tree
	path   string // for this process, without links
	shared bool   // others than root may change it, or a folder above it
}

// Folder opens a folder. A path that is not there wraps fs.ErrNotExist.
func (t Tree) Folder(at string) (*Folder, error) {
	w, err := t.walk()
	if err != nil {
		return nil, err
	}
	return w.end(w.down(at))
}

// MakeFolder is Folder with what is missing made, for good (durable.MkdirAll).
func (t Tree) MakeFolder(at string, mode fs.FileMode) (*Folder, error) {
	w, err := t.walk()
	if err != nil {
		return nil, err
	}
	w.making, w.mode = true, mode
	return w.end(w.down(at))
}

// Parent opens the folder that a path's last name is in. What is called so may be a link, or
// not be there.
func (t Tree) Parent(at string) (*Folder, string, error) {
	f, err := t.Folder(path.Dir(at))
	return f, path.Base(at), err
}

// Target is Parent of what a path leads to: of root's links, the last name's too.
func (t Tree) Target(at string) (*Folder, string, error) {
	w, err := t.walk()
	if err != nil {
		return nil, "", err
	}
	for {
		folder, name := path.Split(at)
		if name == "" || name == "." || name == ".." {
			f, err := w.end(fmt.Errorf("opening %s: it is no name of a file", at))
			return f, "", err
		}
		if err := w.down(folder); err != nil {
			f, err := w.end(err)
			return f, "", err
		}
		info, err := w.top().root.Lstat(name)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 || w.top().shared {
			f, err := w.end(nil)
			return f, name, err
		}
		if at, err = w.follow(name); err != nil {
			f, err := w.end(err)
			return f, "", err
		}
	}
}

// Stat is what a path leads to. A link that others than root may have made is an error.
func (t Tree) Stat(at string) (fs.FileInfo, error) {
	f, name, err := t.Target(at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, planted(f.at(name), nil)
	}
	return info, err
}

// Open opens a plain file to read it. It waits for no pipe, and opens no device.
func (t Tree) Open(at string) (*os.File, error) {
	f, name, err := t.Target(at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, _, err := f.Open(name)
	return file, err
}

// ReadFile reads a plain file of at most so many bytes; a larger one is ErrTooLarge.
func (t Tree) ReadFile(at string, most int64) ([]byte, error) {
	f, name, err := t.Target(at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, _, err := f.ReadFile(name, most)
	return content, err
}

func (f *Folder) at(name string) string { return path.Join(f.path, name) }

func (f *Folder) files() durable.Folder { return durable.In(f.root, f.path) }

// Close lets go of it.
func (f *Folder) Close() error { return f.root.Close() }

// Enter opens a folder in it. A link is ErrPlanted, whoever made it.
func (f *Folder) Enter(name string) (*Folder, error) {
	info, err := f.Lstat(name)
	if err != nil {
		return nil, err
	}
	return f.enter(name, info)
}

// enter opens the folder that info is of.
func (f *Folder) enter(name string, info fs.FileInfo) (*Folder, error) {
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, planted(f.at(name), nil)
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "opening", Path: f.at(name), Err: syscall.ENOTDIR}
	}
	// The dot has anything but a folder refused without opening it: a pipe would be waited for.
	root, err := f.root.OpenRoot(name + "/.")
	if err != nil {
		return nil, f.swapped(name, err)
	}
	now, err := root.Stat(".")
	if err != nil || !os.SameFile(info, now) {
		return nil, f.swapped(name, errors.Join(err, root.Close()))
	}
	return &Folder{root, f.tree, f.at(name), f.shared || f.tree.othersMayChange(now)}, nil
}

// swapped is the error for what is not what it was a moment ago.
func (f *Folder) swapped(name string, err error) error {
	if f.shared {
		return planted(f.at(name), err)
	}
	return fmt.Errorf("opening %s: it was replaced meanwhile (%w)", f.at(name), err)
}

func planted(at string, err error) error {
	return &problem.Error{Kind: problem.Check, Doing: "looking at", Object: at, Err: errors.Join(ErrPlanted, err),
		Fix: "put a plain file or folder in its place, and see who made it what it is"}
}

// Lstat is what a name is.
func (f *Folder) Lstat(name string) (fs.FileInfo, error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", f.at(name), err)
	}
	return info, nil
}

// Readlink is where a link leads.
func (f *Folder) Readlink(name string) (string, error) {
	target, err := f.root.Readlink(name)
	if err != nil {
		return "", fmt.Errorf("reading the link %s: %w", f.at(name), err)
	}
	return target, nil
}

// replacedMeanwhile is how often a file that is replaced just then is opened anew: whoever owns a folder
// may write to it as we do.
const replacedMeanwhile = 20

// Open opens a plain file, and tells what it is.
func (f *Folder) Open(name string) (*os.File, fs.FileInfo, error) {
	for range replacedMeanwhile {
		info, err := f.Lstat(name)
		if err != nil {
			return nil, nil, err
		}
		if info.IsDir() {
			return nil, nil, &fs.PathError{Op: "opening", Path: f.at(name), Err: syscall.EISDIR}
		}
		if !info.Mode().IsRegular() {
			return nil, nil, planted(f.at(name), nil)
		}
		file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // what is a pipe by now is not waited for
		if err != nil {
			return nil, nil, f.swapped(name, err)
		}
		now, err := file.Stat()
		if err == nil && os.SameFile(info, now) {
			return file, now, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, nil, fmt.Errorf("opening %s: %w", f.at(name), err)
		}
	}
	return nil, nil, planted(f.at(name), nil)
}

// ReadFile reads a plain file of at most so many bytes, and tells what it is.
func (f *Folder) ReadFile(name string, most int64) ([]byte, fs.FileInfo, error) {
	file, info, err := f.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if info.Size() > most {
		return nil, nil, fmt.Errorf("reading %s: %w: at most %d bytes are read", f.at(name), ErrTooLarge, most)
	}
	content, err := io.ReadAll(io.LimitReader(file, most+1)) // it may grow meanwhile
	if err == nil && int64(len(content)) > most {
		err = ErrTooLarge
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", f.at(name), err)
	}
	return content, info, nil
}

// WriteFile replaces a file, for good, as durable.Folder does. Check, where there is one, is given the
// path of the temporary file before it has its name: what it refuses does not count.
func (f *Folder) WriteFile(name string, data []byte, o durable.Owner, check func(temporary string) error) error {
	return f.files().WriteFileAs(name, data, o, check)
}

// Mkdir makes a folder in it, for good. One that is there is an error.
func (f *Folder) Mkdir(name string, mode fs.FileMode) error { return f.files().Mkdir(name, mode) }

// Remove takes a file, a link or an empty folder away for good, if it is there.
func (f *Folder) Remove(name string) error { return f.files().Remove(name) }

// RemoveAll takes away what is called so, with all that is in it, if it is there.
func (f *Folder) RemoveAll(name string) error { return f.files().RemoveAll(name) }

// Symlink makes a link, in the place of a file or link that is there, for good.
func (f *Folder) Symlink(target, name string) error { return f.files().Symlink(target, name) }

// Give makes the folder itself an owner's.
func (f *Folder) Give(o durable.Owner) error {
	d, err := f.root.Open(".")
	if err != nil {
		return fmt.Errorf("opening %s: %w", f.path, err)
	}
	// The mode after the owner, whose change may clear bits; and whatever the umask was.
	if err := errors.Join(d.Chown(o.UID, o.GID), d.Chmod(o.Mode), d.Close()); err != nil {
		return fmt.Errorf("giving %s to %d:%d with mode %04o: %w", f.path, o.UID, o.GID, o.Mode.Perm(), err)
	}
	return nil
}

// Handle opens the folder itself, for what is done by its descriptor.
func (f *Folder) Handle() (*os.File, error) { return f.root.Open(".") }

// maxLinks is how many links a path may lead over: as many as the kernel follows
// (path_resolution(7)).
const maxLinks = 40

// walker goes down a path. The folders on its way are open, so that ".." is the one that it came from.
type walker struct {
	tree   Tree
	way    []*Folder
	links  int
	making bool
	mode   fs.FileMode
	made   bool // the deepest was just made, and is durable
}

func (t Tree) walk() (*walker, error) {
	base := t.base
	if base == "" {
		base = "/"
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, fmt.Errorf("opening the host's files: %w", err)
	}
	// Who may change the root of all files is root, whatever it is called.
	return &walker{tree: t, way: []*Folder{{root: root, tree: t, path: base}}}, nil
}

func (w *walker) top() *Folder { return w.way[len(w.way)-1] }

// up goes back until so many folders are open.
func (w *walker) up(to int) {
	for len(w.way) > max(to, 1) {
		_ = w.top().Close() // it was only read
		w.way = w.way[:len(w.way)-1]
	}
	w.made = false
}

// end closes all folders but the last, which it returns; after an error that one too.
func (w *walker) end(err error) (*Folder, error) {
	last := w.top()
	for _, f := range w.way[:len(w.way)-1] {
		_ = f.Close() // it was only read
	}
	if err != nil {
		return nil, errors.Join(err, last.Close())
	}
	return last, nil
}

// down enters one folder of a path after the other. An absolute path begins at the host's root.
func (w *walker) down(at string) error {
	if path.IsAbs(at) {
		w.up(1)
	}
	for rest := strings.Split(at, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			w.up(len(w.way) - 1)
			continue
		}
		info, err := w.look(name)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 || w.top().shared {
			f, err := w.top().enter(name, info)
			if err != nil {
				return err
			}
			w.way = append(w.way, f)
			if w.making && !w.made && len(rest) == 0 {
				if err := w.way[len(w.way)-2].files().Sync(); err != nil {
					return err
				}
			}
			continue
		}
		target, err := w.follow(name)
		if err != nil {
			return err
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// follow is where a link of root's leads; if that is an absolute path, from the host's root.
func (w *walker) follow(name string) (string, error) {
	if w.links++; w.links > maxLinks {
		return "", &fs.PathError{Op: "opening", Path: w.top().at(name), Err: syscall.ELOOP}
	}
	target, err := w.top().Readlink(name)
	if path.IsAbs(target) {
		w.up(1)
	}
	return target, err
}

// look is what a name is, made if it is to be. As with durable.MkdirAll a folder that is there is
// so for good once a walk that makes has ended there, and so is the one that another is made in.
func (w *walker) look(name string) (fs.FileInfo, error) {
	info, err := w.top().Lstat(name)
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case !w.making || err != nil && !missing:
		return info, err
	case !missing:
		w.made = false
		return info, nil
	}
	if n := len(w.way); !w.made && n > 1 {
		if err := w.way[n-2].files().Sync(); err != nil {
			return nil, err
		}
	}
	err = w.top().Mkdir(name, w.mode)
	if errors.Is(err, fs.ErrExist) { // somebody was faster
		err = w.top().files().Sync()
	}
	if err != nil {
		return nil, err
	}
	w.made = true
	return w.top().Lstat(name)
}
