package fault

import (
	"context"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// PowerCut takes a host's power away, and with it what its programs had written to the disk and not
// synced: of the disk only that counts which had come to it. What a file system keeps in memory
// is not in the disk's file.
type PowerCut struct{ Disk }

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
