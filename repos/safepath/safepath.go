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
	"io/fs"
	"os"
	"path"
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
