package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/repos/sleep"
)

// Disk puts folders of a host on a disk of their own, which can be filled and, as a PowerCut, lose
// what was not synced. It is a loop device (loop(4)) over a file of this machine.
type Disk struct {
	Host    string
	Folders []string // absolute, without spaces

	image  string // of the disk
	device string // /dev/loopN of this machine
}

// diskSize is the size of the disk, in bytes. Its file has holes where nothing was written.
const diskSize = 4 << 30

// diskOptions make a power cut as bad as it may be (ext4(5)): nothing goes to the disk by itself
// for minutes, and a file that took another's name is not written for that reason alone.
const diskOptions = "commit=300,noauto_da_alloc"

// mountUnit mounts the disk at each boot before anything else begins.
const mountUnit = `[Unit]
Description=The practice site's disk that forgets
DefaultDependencies=no
Before=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /etc/valtlab-disk
[Install]
WantedBy=local-fs.target
`

// attachScript mounts the disk and puts its folders in their places. It is given device number,
// options and folders when it is written.
const attachScript = `set -eu
rm -f /dev/valtlab-disk
mknod -m 600 /dev/valtlab-disk b 7 %s
mkdir -p /run/valtlab-disk
mount -t ext4 -o %s /dev/valtlab-disk /run/valtlab-disk
for path in %s; do
  mkdir -p "$path"
  if [ ! -d "/run/valtlab-disk$path" ]; then mkdir -p "/run/valtlab-disk$path"; cp -a "$path/." "/run/valtlab-disk$path/"; fi
  mount --bind "/run/valtlab-disk$path" "$path"
done
`

// detachScript puts what is on the disk where it belongs. It is given the folders.
const detachScript = `set -eu
mountpoint -q /run/valtlab-disk
for path in "$@"; do
  umount -l "$path"
  find "$path" -mindepth 1 -delete
  cp -a "/run/valtlab-disk$path/." "$path/"
done
systemctl disable --now ` + attachUnit + `
umount /run/valtlab-disk
rm -f /dev/valtlab-disk ` + attachFile + ` /etc/systemd/system/` + attachUnit + `
`

const (
	attachFile = "/etc/valtlab-disk"
	attachUnit = "valtlab-disk.service"
)

// Begin puts the folders on the disk.
func (d *Disk) Begin(ctx context.Context, l *lab.Lab) error {
	d.image = l.Path("disk-" + d.Host + ".img")
	disk, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(disk.Truncate(diskSize), disk.Close())
	}
	if err != nil {
		return fmt.Errorf("making a disk for %s: %w", d.Host, err)
	}
	if err := l.OnMachine(ctx, nil, "mkfs.ext4", "-q", "-m", "0", d.image); err != nil {
		return fmt.Errorf("making a file system for %s: %w", d.Host, err)
	}
	if err := d.attach(ctx, l); err != nil {
		return err
	}
	if err := l.Put(ctx, d.Host, path.Join("/etc/systemd/system", attachUnit), []byte(mountUnit)); err != nil {
		return err
	}
	if _, err := l.Output(ctx, d.Host, "sh", "-c", "systemctl daemon-reload && systemctl enable "+attachUnit+" && systemctl restart "+attachUnit+" && sync"); err != nil {
		return fmt.Errorf("putting folders of %s on a disk of its own: %w", d.Host, err)
	}
	return d.leave(ctx, l)
}

// attach makes a device of the disk, and tells the host, also one that is off, which.
func (d *Disk) attach(ctx context.Context, l *lab.Lab) error {
	out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", d.image).Output()
	if err != nil {
		return fmt.Errorf("making a device of the disk of %s: %w", d.Host, err)
	}
	d.device = string(bytes.TrimSpace(out))
	script := fmt.Sprintf(attachScript, strings.TrimPrefix(d.device, "/dev/loop"), diskOptions, strings.Join(d.Folders, " "))
	return l.Put(ctx, d.Host, attachFile, []byte(script))
}

// leave leaves the device to the file system on it: it goes with the last who has it mounted
// (losetup(8), --detach).
func (d *Disk) leave(ctx context.Context, l *lab.Lab) error {
	if err := l.OnMachine(ctx, nil, "losetup", "--detach", d.device); err != nil {
		return fmt.Errorf("leaving the disk of %s to its file system: %w", d.Host, err)
	}
	return nil
}

// gone waits until nobody holds the disk any more.
func (d *Disk) gone(ctx context.Context) error {
	for range 100 {
		if _, err := os.Stat(path.Join("/sys/block", path.Base(d.device), "loop")); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err := sleep.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("taking the disk of %s away: something holds it", d.Host)
}

// End puts the folders back where they were, with what is in them by now. Containers that have files
// of the disk in them keep it until they are replaced.
func (d *Disk) End(ctx context.Context, l *lab.Lab) error {
	if d.device == "" {
		return nil
	}
	argv := append([]string{"sh", "-c", detachScript, "detach"}, d.Folders...)
	if _, err := l.Output(ctx, d.Host, argv...); err != nil {
		return fmt.Errorf("putting the folders of %s back: %w", d.Host, err)
	}
	d.device = ""
	return os.Remove(d.image)
}

// diskFillScript is given a folder of the disk. Only what is free to all is taken; the file system has nothing set
// aside for root. The first is the quick way for most of it, which fails where somebody else writes meanwhile.
const diskFillScript = `set -eu
room=$(df --output=avail -B1 "$1" | tail -n1)
fallocate -l $((room / 10 * 9)) "/run/valtlab-disk/` + filler + `" || true
cat /dev/zero >>"/run/valtlab-disk/` + filler + `" 2>/dev/null || true
`

// Fill leaves nothing free on the disk.
func (d *Disk) Fill(ctx context.Context, l *lab.Lab) error {
	if _, err := l.Output(ctx, d.Host, "sh", "-c", diskFillScript, "fill", d.Folders[0]); err != nil {
		return fmt.Errorf("filling the disk of %s: %w", d.Host, err)
	}
	return nil
}

// GiveRoom gives the room back.
func (d *Disk) GiveRoom(ctx context.Context, l *lab.Lab) error {
	if _, err := l.Output(ctx, d.Host, "rm", "-f", "/run/valtlab-disk/"+filler); err != nil {
		return fmt.Errorf("freeing the disk of %s: %w", d.Host, err)
	}
	return nil
}
