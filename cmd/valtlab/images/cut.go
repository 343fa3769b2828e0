package images

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// share are the packages that one image alone needs, as patterns of path.Match.
type share struct {
	image    string
	packages []string
}

// shares are cut out of the root as layers of their own, as the images of these programs
// have them. What nobody claims is in the layer of all.
func shares() []share {
	return []share{
		{"db", []string{"mariadb-*"}},
		{"messaging", []string{"nodejs", "libnode*", "node-*"}},
		{"web", []string{"nginx*", "php*", "libmagic*"}},
	}
}

// shareOf is the image that alone needs a package; all where several may.
func shareOf(name string) string {
	for _, s := range shares() {
		for _, pattern := range s.packages {
			if ok, _ := path.Match(pattern, name); ok { // the patterns are well formed
				return s.image
			}
		}
	}
	return all
}

// owners tells whose a path of the root is, for those that packages list.
type owners map[string]string

// readOwners reads dpkg's lists of each package's files (dpkg-query(1), FILES) in a root.
func readOwners(root io.Reader) (owners, error) {
	o := owners{}
	for archive := tar.NewReader(root); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the root: %w", err)
		}
		dir, file := path.Split(inRoot(h.Name))
		name, isList := strings.CutSuffix(file, ".list")
		name, _, _ = strings.Cut(name, ":") // libmagic1:amd64
		if dir != "/var/lib/dpkg/info/" || !isList {
			continue
		}
		lines := bufio.NewScanner(archive)
		for lines.Scan() {
			o.claim(lines.Text(), shareOf(name))
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("reading %s of the root: %w", h.Name, err)
		}
	}
}

// claim notes one package's word. What several list, such as a folder that is a link in the
// root, is everybody's.
func (o owners) claim(at, image string) {
	if before, ok := o[at]; ok && before != image {
		image = all
	}
	o[at] = image
}

// inRoot is the absolute path of an entry's name.
func inRoot(name string) string { return path.Clean("/" + name) }

// of is the layer of an entry. A hard link is where its target is, since a layer is unpacked
// by itself. Packages still list /bin and /lib, whose files are below /usr.
func (o owners) of(h *tar.Header) string {
	at := inRoot(h.Name)
	if h.Typeflag == tar.TypeLink {
		at = inRoot(h.Linkname)
	}
	for _, listed := range []string{at, strings.TrimPrefix(at, "/usr")} {
		if image, ok := o[listed]; ok {
			return image
		}
	}
	return all
}

// cut writes the entries of one layer. Folders are in the layer of all; another one has those
// that lead to its files, since engines give a missing one a mode of their own.
func (o owners) cut(root io.Reader, layer string, out io.Writer) error {
	w := cutter{tar: tar.NewWriter(out), folders: map[string]*tar.Header{}}
	for archive := tar.NewReader(root); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			if err := w.tar.Close(); err != nil {
				return fmt.Errorf("ending layer %s: %w", layer, err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the root: %w", err)
		}
		switch {
		case h.Typeflag == tar.TypeDir && layer != all:
			w.folders[inRoot(h.Name)] = h
		case h.Typeflag == tar.TypeDir || o.of(h) == layer:
			if err := w.add(h, archive); err != nil {
				return fmt.Errorf("writing layer %s: %w", layer, err)
			}
		}
	}
}

// cutter writes entries after the folders that lead to them.
type cutter struct {
	tar     *tar.Writer
	folders map[string]*tar.Header // not written yet
}

func (c *cutter) add(h *tar.Header, content io.Reader) error {
	if err := c.lead(path.Dir(inRoot(h.Name))); err != nil {
		return err
	}
	if err := c.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if _, err := io.Copy(c.tar, content); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

func (c *cutter) lead(folder string) error {
	if folder != "/" {
		if err := c.lead(path.Dir(folder)); err != nil {
			return err
		}
	}
	h, ok := c.folders[folder]
	if !ok {
		return nil
	}
	delete(c.folders, folder)
	if err := c.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}
