package containers

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"ipivs.com/valtctl/cmd/valtlab/program"
)

// File is one file to put into a container. Folders above it are made when absent.
type File struct {
	Path    string // absolute
	Mode    int64  // permission bits; 0: 0644
	UID     int
	GID     int
	Content []byte
	Link    string // a symbolic link to here instead of Content
	Dir     bool   // a folder instead of a file; Mode 0: 0755
}

// CopyTo puts files into a container, running or not.
func (e *Engine) CopyTo(ctx context.Context, name string, files []File) error {
	archive, err := Archive(files)
	if err != nil {
		return err
	}
	err = e.api.CopyToContainer(ctx, name, "/", bytes.NewReader(archive), container.CopyToContainerOptions{})
	if err != nil {
		return fmt.Errorf("copying files into container %s: %w", name, err)
	}
	return nil
}

// Archive is the files as one tar, sorted by path, without times of this run.
func Archive(files []File) ([]byte, error) {
	sorted := append([]File(nil), files...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Path < sorted[j].Path })
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, f := range sorted {
		if err := archive.WriteHeader(f.header()); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", f.Path, err)
		}
		if f.Link == "" && !f.Dir {
			if _, err := archive.Write(f.Content); err != nil {
				return nil, fmt.Errorf("archiving %s: %w", f.Path, err)
			}
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("archiving files: %w", err)
	}
	return buffer.Bytes(), nil
}

func (f File) header() *tar.Header {
	h := &tar.Header{
		Name: strings.TrimPrefix(path.Clean(f.Path), "/"), Mode: f.Mode, Uid: f.UID, Gid: f.GID,
		ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Size: int64(len(f.Content)),
	}
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	switch {
	case f.Dir:
		h.Typeflag, h.Size, h.Name = tar.TypeDir, 0, h.Name+"/"
		if f.Mode == 0 {
			h.Mode = 0o755
		}
	case f.Link != "":
		h.Typeflag, h.Size, h.Linkname = tar.TypeSymlink, 0, f.Link
	}
	return h
}

// Import makes an image of a root file system tar. changes are Dockerfile
// instructions such as `CMD ["/sbin/init"]`. The tar stays the caller's to close.
func (e *Engine) Import(ctx context.Context, ref string, rootTar io.Reader, changes ...string) error {
	answer, err := e.api.ImageImport(ctx,
		image.ImportSource{Source: io.NopCloser(rootTar), SourceName: "-"}, ref, image.ImportOptions{Changes: changes})
	if err != nil {
		return fmt.Errorf("importing image %s: %w", ref, err)
	}
	defer answer.Close()
	if err := readProgress(answer); err != nil {
		return fmt.Errorf("importing image %s: %w", ref, err)
	}
	return nil
}

// readProgress reads the engine's progress to its end. An error that the engine tells there
// is told in its own words, with what it said before.
func readProgress(answer io.Reader) error {
	var said []string
	for lines := json.NewDecoder(answer); ; {
		var line struct{ Status, Error string }
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the engine's progress: %w", err)
		case line.Error != "":
			return fmt.Errorf("the engine said last:\n%s", program.LastLines([]byte(strings.Join(append(said, line.Error), "\n"))))
		}
		said = append(said, line.Status)
	}
}

// ReadImageFile returns one file of an image, such as /var/lib/dpkg/status.
func (e *Engine) ReadImageFile(ctx context.Context, ref, file string) (content []byte, err error) {
	made, err := e.api.ContainerCreate(ctx, &container.Config{Image: ref, Cmd: []string{"/bin/true"}}, nil, nil, nil, "")
	if err != nil {
		return nil, fmt.Errorf("opening image %s: %w", ref, err)
	}
	defer func() { err = errors.Join(err, e.Remove(context.WithoutCancel(ctx), made.ID)) }()
	stream, _, err := e.api.CopyFromContainer(ctx, made.ID, file)
	if err != nil {
		return nil, fmt.Errorf("reading %s of image %s: %w", file, ref, err)
	}
	defer stream.Close()
	archive := tar.NewReader(stream)
	if _, err := archive.Next(); err != nil {
		return nil, fmt.Errorf("reading %s of image %s: %w", file, ref, err)
	}
	if content, err = io.ReadAll(archive); err != nil {
		return nil, fmt.Errorf("reading %s of image %s: %w", file, ref, err)
	}
	return content, nil
}
