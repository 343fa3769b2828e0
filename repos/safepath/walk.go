package safepath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

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
