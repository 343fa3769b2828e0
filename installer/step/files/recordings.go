package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release/allowed"
)

// recordingsFolder is the folder inside the mounted file system that the engine writes
// to. It is not there when the disk is not, so that the engine cannot start and fill
// the root file system instead.
const recordingsFolder = "recordings"

// RecordingsParams is where a media server keeps its recordings.
type RecordingsParams struct {
	Path string `json:"path"` // must be a mounted file system of its own
}

// KindRecordings names what RecordingsKind makes.
const KindRecordings step.KindName = "recordings"

// RecordingsKind prepares a mounted disk for recordings. It mounts nothing: which disk
// holds evidence is a person's decision.
func RecordingsKind() step.Kind {
	return step.KindOf(KindRecordings, step.Reversible, func(p RecordingsParams) (step.Step, error) {
		folder, err := newDirectory(DirectoryParams{Path: path.Join(p.Path, recordingsFolder), Mode: "0750"})
		if err != nil {
			return nil, err
		}
		return &recordings{p.Path, folder}, nil
	})
}

type recordings struct {
	path   string
	folder *directory
}

func (r *recordings) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	if err := errors.Join(r.mounted(h), r.allowed(h)); err != nil {
		return step.Finding{}, err
	}
	return r.folder.Inspect(ctx, h)
}

func (r *recordings) Apply(ctx context.Context, h *step.Machine) error {
	// Looked at again: the disk may have gone since Inspect.
	if err := errors.Join(r.mounted(h), r.allowed(h)); err != nil {
		return err
	}
	return r.folder.Apply(ctx, h)
}

// allowed wants the folder to be on that disk, and no link to another place.
func (r *recordings) allowed(h *step.Machine) error {
	return step.AllowedPath(h, allowed.Site{Recordings: r.path}, allowed.Bind, r.folder.path)
}

// Undo has nothing to take back: it only looks.
func (r *recordings) Undo(context.Context, *step.Machine) error { return nil }

// mounted proves that a writable file system of its own is mounted at the path
// (proc_pid_mountinfo(5)).
func (r *recordings) mounted(h *step.Machine) error {
	table, err := os.Open(h.Path("/proc/self/mountinfo"))
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	defer table.Close()
	mounts, err := mountsAt(table, r.path)
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	if len(mounts) == 0 {
		return &problem.Error{Kind: problem.Check, Doing: "preparing recordings at", Object: r.path,
			Err: fmt.Errorf("no file system is mounted there"),
			Fix: "mount the recordings disk at " + r.path + " (and list it in /etc/fstab), or name another folder under recordings: in the site file"}
	}
	if readOnly(mounts[len(mounts)-1]) {
		return &problem.Error{Kind: problem.Check, Doing: "preparing recordings at", Object: r.path,
			Err: fmt.Errorf("its file system is mounted read-only"),
			Fix: "look at the disk (dmesg), then mount it for writing"}
	}
	return nil
}

func readOnly(options string) bool {
	return slices.Contains(strings.Split(options, ","), "ro")
}
