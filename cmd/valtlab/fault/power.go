package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/repos/sleep"
)

// PowerCut takes a host's power away, and with it what its programs had written and not synced:
// the folders are on a disk of their own, of which only that counts which had come to it. The disk
// is a loop device (loop(4)) over a file of this machine; what a file system keeps in memory is not in the file.
type PowerCut struct {
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
ExecStart=/bin/sh /etc/valtlab-power
[Install]
WantedBy=local-fs.target
`

// attachScript mounts the disk and puts its folders in their places. It is given device number,
// options and folders when it is written.
const attachScript = `set -eu
rm -f /dev/valtlab-power
mknod -m 600 /dev/valtlab-power b 7 %s
mkdir -p /run/valtlab-power
mount -t ext4 -o %s /dev/valtlab-power /run/valtlab-power
for path in %s; do
  mkdir -p "$path"
  if [ ! -d "/run/valtlab-power$path" ]; then mkdir -p "/run/valtlab-power$path"; cp -a "$path/." "/run/valtlab-power$path/"; fi
  mount --bind "/run/valtlab-power$path" "$path"
done
`

// detachScript puts what is on the disk where it belongs. It is given the folders.
const detachScript = `set -eu
for path in "$@"; do
  umount -l "$path"
  find "$path" -mindepth 1 -delete
  cp -a "/run/valtlab-power$path/." "$path/"
done
systemctl disable ` + attachUnit + `
umount /run/valtlab-power
rm -f /dev/valtlab-power ` + attachFile + ` /etc/systemd/system/` + attachUnit + `
`

const (
	attachFile = "/etc/valtlab-power"
	attachUnit = "valtlab-power.service"
)

// Begin puts the folders on the disk.
func (p *PowerCut) Begin(ctx context.Context, l *lab.Lab) error {
	p.image = l.Path("power-" + p.Host + ".img")
	disk, err := os.Create(p.image)
	if err == nil {
		err = errors.Join(disk.Truncate(diskSize), disk.Close())
	}
	if err != nil {
		return fmt.Errorf("making a disk for %s: %w", p.Host, err)
	}
	if err := l.OnMachine(ctx, nil, "mkfs.ext4", "-q", p.image); err != nil {
		return fmt.Errorf("making a file system for %s: %w", p.Host, err)
	}
	if err := p.attach(ctx, l); err != nil {
		return err
	}
	if err := l.Put(ctx, p.Host, path.Join("/etc/systemd/system", attachUnit), []byte(mountUnit)); err != nil {
		return err
	}
	if _, err := l.Output(ctx, p.Host, "sh", "-c", "systemctl daemon-reload && systemctl enable --now "+attachUnit+" && sync"); err != nil {
		return fmt.Errorf("putting folders of %s on a disk of its own: %w", p.Host, err)
	}
	return p.leave(ctx, l)
}

// attach makes a device of the disk, and tells the host, also one that is off, which.
func (p *PowerCut) attach(ctx context.Context, l *lab.Lab) error {
	out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", p.image).Output()
	if err != nil {
		return fmt.Errorf("making a device of the disk of %s: %w", p.Host, err)
	}
	p.device = string(bytes.TrimSpace(out))
	script := fmt.Sprintf(attachScript, strings.TrimPrefix(p.device, "/dev/loop"), diskOptions, strings.Join(p.Folders, " "))
	return l.Put(ctx, p.Host, attachFile, []byte(script))
}

// leave leaves the device to the file system on it: it goes with the last who has it mounted
// (losetup(8), --detach).
func (p *PowerCut) leave(ctx context.Context, l *lab.Lab) error {
	if err := l.OnMachine(ctx, nil, "losetup", "--detach", p.device); err != nil {
		return fmt.Errorf("leaving the disk of %s to its file system: %w", p.Host, err)
	}
	return nil
}

// Cut takes the power away and gives it back. It returns when the host has booted.
func (p *PowerCut) Cut(ctx context.Context, l *lab.Lab) error {
	left := p.image + ".cut"
	if err := l.CutPower(ctx, p.Host, func() error { return p.copyDisk(ctx, l, left) }); err != nil {
		return fmt.Errorf("cutting the power of %s: %w", p.Host, err)
	}
	if err := p.gone(ctx); err != nil {
		return err
	}
	if err := os.Rename(left, p.image); err != nil {
		return fmt.Errorf("giving %s the disk that it had when its power was cut: %w", p.Host, err)
	}
	if err := p.attach(ctx, l); err != nil {
		return err
	}
	if err := l.PowerOn(ctx, p.Host); err != nil {
		return err
	}
	return p.leave(ctx, l)
}

// copyDisk copies what has come to the disk. The kernel may still write what programs wrote long
// ago; a copy during which it did so is made again.
func (p *PowerCut) copyDisk(ctx context.Context, l *lab.Lab, to string) error {
	for range 20 {
		before, err := p.written()
		if err != nil {
			return err
		}
		if err := l.OnMachine(ctx, nil, "cp", "--sparse=always", p.image, to); err != nil {
			return err
		}
		if after, err := p.written(); err != nil || after == before {
			return err
		}
	}
	return fmt.Errorf("the disk of %s is written to all the time", p.Host)
}

// written is how many sectors have come to the disk (the kernel's Documentation/block/stat.rst).
func (p *PowerCut) written() (int, error) {
	text, err := os.ReadFile(path.Join("/sys/block", path.Base(p.device), "stat"))
	if err != nil {
		return 0, fmt.Errorf("asking how much was written to a disk: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return 0, fmt.Errorf("the kernel tells %q of %s", text, p.device)
	}
	return strconv.Atoi(fields[6])
}

// gone waits until nobody holds the disk any more.
func (p *PowerCut) gone(ctx context.Context) error {
	for range 100 {
		if _, err := os.Stat(path.Join("/sys/block", path.Base(p.device), "loop")); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err := sleep.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("taking the disk of %s away: something holds it", p.Host)
}

// End puts the folders back where they were, with what is in them by now. Containers that have files
// of the disk in them keep it until they are replaced.
func (p *PowerCut) End(ctx context.Context, l *lab.Lab) error {
	if p.device == "" {
		return nil
	}
	argv := append([]string{"sh", "-c", detachScript, "detach"}, p.Folders...)
	if _, err := l.Output(ctx, p.Host, argv...); err != nil {
		return fmt.Errorf("putting the folders of %s back: %w", p.Host, err)
	}
	p.device = ""
	return os.Remove(p.image)
}
