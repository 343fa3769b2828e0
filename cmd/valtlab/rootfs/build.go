package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/flock"
	"ipivs.com/valtctl/cmd/valtlab/program"
)

// Builder turns recipes into images. It builds at most two at a time, since more
// only wait for each other on the small machines this is for.
type Builder struct {
	engine *containers.Engine
	mirror string
	locks  string
	slots  chan struct{}
}

// NewBuilder returns a builder that downloads from the Debian mirror. Builders of several processes that share the folder locks
// do not build one image twice.
func NewBuilder(engine *containers.Engine, mirror, locks string) *Builder {
	return &Builder{engine: engine, mirror: mirror, locks: locks, slots: make(chan struct{}, 2)}
}

// Image returns the image of the recipe, building it only if the engine does not
// hold it yet.
func (b *Builder) Image(ctx context.Context, r Recipe) (ref string, err error) {
	ref = r.Ref()
	have, err := b.engine.HasImage(ctx, ref)
	if err != nil || have {
		return ref, err
	}
	unlock, err := flock.Acquire(ctx, filepath.Join(b.locks, r.Name+"-"+r.Hash()+".lock"), func() {})
	if err != nil {
		return "", fmt.Errorf("building image %s: %w", ref, err)
	}
	defer unlock()
	if have, err = b.engine.HasImage(ctx, ref); err != nil || have { // another process has built it meanwhile
		return ref, err
	}
	if err := b.build(ctx, r); err != nil {
		return "", fmt.Errorf("building image %s: %w", ref, err)
	}
	return ref, nil
}

// build hands the tar to the engine only once mmdebstrap has ended well, so that a
// broken build is never found again.
func (b *Builder) build(ctx context.Context, r Recipe) (err error) {
	out, err := os.CreateTemp(scratchFolder(), "valtlab-"+r.Name+"-*.tar")
	if err != nil {
		return fmt.Errorf("making room for the root: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close(), os.Remove(out.Name())) }()
	if err := b.Tar(ctx, r, out); err != nil {
		return err
	}
	if _, err := out.Seek(0, 0); err != nil {
		return fmt.Errorf("reading the root back: %w", err)
	}
	return b.engine.Import(ctx, r.Ref(), out, r.Changes...)
}

// Tar runs mmdebstrap and writes the root to out. After an error out holds a part.
func (b *Builder) Tar(ctx context.Context, r Recipe, out io.Writer) (err error) {
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to build the root %s: %w", r.Name, ctx.Err())
	}
	extras, err := writeExtras(r)
	if err != nil {
		return err
	}
	if extras != "" {
		defer os.RemoveAll(filepath.Dir(extras))
	}
	if err := CheckNull(); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "mmdebstrap", r.arguments(b.mirror, extras)...)
	build.Env = append(os.Environ(), "TMPDIR="+scratchFolder(), "SOURCE_DATE_EPOCH=0")
	build.Stdout = out
	// Interrupted, mmdebstrap removes its root, which may be in memory; killed, it leaves it.
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	build.WaitDelay = 20 * time.Second
	if err := program.Run(build); err != nil {
		return errors.Join(err, CheckNull())
	}
	return nil
}

// scratchRoom is what two builds at a time need, in bytes.
const scratchRoom = 6 << 30

// scratchFolder is where roots are put together: in memory where there is plenty,
// since unpacking thousands of small files is what a slow disk is worst at.
func scratchFolder() string {
	const memory = "/dev/shm"
	var fs unix.Statfs_t
	if unix.Statfs(memory, &fs) == nil && fs.Flags&unix.ST_NOEXEC == 0 && fs.Bavail*uint64(fs.Bsize) > scratchRoom {
		return memory
	}
	return os.TempDir()
}

func writeExtras(r Recipe) (string, error) {
	if len(r.Files) == 0 {
		return "", nil
	}
	archive, err := containers.Archive(r.Files)
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp("", "valtlab-extras-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the recipe's files: %w", err)
	}
	path := filepath.Join(folder, "extras.tar")
	if err := os.WriteFile(path, archive, 0o644); err != nil {
		return "", fmt.Errorf("writing the recipe's files: %w", err)
	}
	return path, nil
}
