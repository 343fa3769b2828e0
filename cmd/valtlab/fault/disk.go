package fault

import (
	"context"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// FullDisk makes the file system under a folder of a host full. The folder gets a
// small file system of its own over it with a copy of what is in it, filled up to
// Free; at the end what is on it by then is put where it belongs. The disk underneath
// is this machine's, and filling that would hurt more than the host.
type FullDisk struct {
	Host string
	Path string // absolute; End without one ends all of the host's
	Free int64  // bytes left, rounded up to pages
}

// filler is the file that takes up the room, by which the fault is found again.
const filler = ".valtlab-full"

// mountScript is given the folder and the bytes that there shall be room for. A file system
// in memory counts in pages, and is mounted over the folder only once it holds the copy.
const mountScript = `set -eu
path=$1 room=$2
stage=/run/valtlab-full; mkdir -p "$stage" "$path"
used=$(du -sk "$path" | cut -f1)
mount -t tmpfs -o size=$((used * 2 + room / 1024 + 4096))k,mode=$(stat -c %a "$path") valtlab-full "$stage"
cp -a "$path/." "$stage/"
mount --move "$stage" "$path" 2>/dev/null || { mount --bind "$stage" "$path"; umount "$stage"; }
`

// fillScript is given the folder and the bytes left.
const fillScript = `set -eu
room=$(df -k --output=avail "$1" | tail -n1)
head -c $((room * 1024 - $2)) /dev/zero > "$1/` + filler + `"
`

// emptyScript is given the folders. What was written meanwhile is kept.
const emptyScript = `set -eu
for path in "$@"; do
  keep=$(mktemp -d /var/valtlab-keep.XXXXXX)
  rm -f "$path/` + filler + `"
  cp -a "$path/." "$keep/"
  umount -l "$path"
  find "$path" -mindepth 1 -delete
  cp -a "$keep/." "$path/"
  rm -rf "$keep"
done
`

// preparedRoom is what a prepared disk has room for before it is filled, in bytes: an update.
const preparedRoom = 256 << 20

// Prepare puts the small file system in place and leaves room on it, so that what runs when it
// is filled has its files there already: a file that is open stays where it was opened, and so
// do its locks.
func (f FullDisk) Prepare(ctx context.Context, l *lab.Lab) error {
	return f.mount(ctx, l, preparedRoom)
}

func (f FullDisk) mount(ctx context.Context, l *lab.Lab, room int64) error {
	if !strings.HasPrefix(f.Path, "/") || f.Path == "/" {
		return fmt.Errorf("filling the disk of %s: %q is not a folder below /", f.Host, f.Path)
	}
	if _, err := l.Output(ctx, f.Host, "sh", "-c", mountScript, "mount", f.Path, fmt.Sprint(room)); err != nil {
		return fmt.Errorf("mounting a disk of its own under %s of %s: %w", f.Path, f.Host, err)
	}
	return nil
}

// Begin fills the disk, after putting it in place unless it is prepared.
func (f FullDisk) Begin(ctx context.Context, l *lab.Lab) error {
	mounts, err := l.Output(ctx, f.Host, "cat", "/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("finding full disks of %s: %w", f.Host, err)
	}
	if len(fullDisks(mounts, f.Path)) == 0 {
		if err := f.mount(ctx, l, f.Free); err != nil {
			return err
		}
	}
	if _, err := l.Output(ctx, f.Host, "sh", "-c", fillScript, "fill", f.Path, fmt.Sprint(f.Free)); err != nil {
		return fmt.Errorf("filling the disk under %s of %s: %w", f.Path, f.Host, err)
	}
	return nil
}

// GiveRoom gives the room back, and leaves the disk in place: whoever writes to it goes on.
func (f FullDisk) GiveRoom(ctx context.Context, l *lab.Lab) error {
	if _, err := l.Output(ctx, f.Host, "rm", "-f", f.Path+"/"+filler); err != nil {
		return fmt.Errorf("freeing the disk of %s: %w", f.Host, err)
	}
	return nil
}

// End frees it, and puts what is on it where it belongs. Nobody may write to it meanwhile.
func (f FullDisk) End(ctx context.Context, l *lab.Lab) error {
	mounts, err := l.Output(ctx, f.Host, "cat", "/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("finding full disks of %s: %w", f.Host, err)
	}
	full := fullDisks(mounts, f.Path)
	if len(full) == 0 {
		return nil
	}
	argv := append([]string{"sh", "-c", emptyScript, "empty"}, full...)
	if _, err := l.Output(ctx, f.Host, argv...); err != nil {
		return fmt.Errorf("freeing the disk of %s: %w", f.Host, err)
	}
	return nil
}

// fullDisks are the folders of /proc/mounts that a FullDisk is over, or only the one
// that is asked for.
func fullDisks(mounts, only string) []string {
	var paths []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "valtlab-full" && (only == "" || only == fields[1]) {
			paths = append(paths, fields[1])
		}
	}
	return paths
}
