package database

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/safepath"
)

// spare is what must stay free beyond what a backup and its proof take, in bytes.
const spare = 256 << 20

// likeOwner gives a folder mode and owner of another.
func likeOwner(full string, like fs.FileInfo) error {
	uid, gid, ok := safepath.OwnerOf(like)
	if !ok {
		return errors.New("making room for the proof: nobody owns the database's folder")
	}
	if err := errors.Join(os.Chown(full, uid, gid), os.Chmod(full, like.Mode().Perm())); err != nil {
		return fmt.Errorf("making room for the proof: %w", err)
	}
	return nil
}

// sizeOf is what a folder's files take, in bytes.
func sizeOf(folder string) (int64, error) {
	var all int64
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return skipGone(err)
		}
		info, err := d.Info()
		if err == nil {
			all += info.Size()
		}
		return skipGone(err)
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the database: %w", err)
	}
	return all, nil
}

// skipGone: a server that runs removes files meanwhile.
func skipGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// disk is a file system and what is free on it.
type disk struct {
	at   uint64
	free int64
}

// enoughSpace judges, before anything is written, whether a backup and its proof fit: the dump at most as large as the
// data, since nobody knows how well they pack, and the proof's database as large as they are.
func enoughSpace(data, backups disk, size int64) error {
	need := func(free, bytes int64, what string) error {
		if free >= bytes+spare {
			return nil
		}
		return &problem.Error{Kind: problem.Check, Doing: "looking for room for", Object: what,
			Err: fmt.Errorf("the database takes %d MB, and of the %d MB that are needed %d are free", size>>20, (bytes+spare)>>20, free>>20),
			Fix: "free space there, or name another folder under backup.dir in the site file"}
	}
	if data.at == backups.at {
		return need(data.free, 2*size, "a backup and its proof")
	}
	return errors.Join(need(backups.free, size, "a backup"), need(data.free, size, "the proof of a backup"))
}

// roomFor judges the host's disks, without what a former proof left there.
func (s Store) roomFor(h *step.Machine, data place) error {
	if err := durable.RemoveAll(h.Path(data.proof())); err != nil {
		return fmt.Errorf("removing what a former proof left: %w", err)
	}
	size, err := sizeOf(h.Path(string(data)))
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(h.Path(s.Dir), 0o700); err != nil {
		return fmt.Errorf("making room for backups: %w", err)
	}
	mine, err := diskOf(h.Path(filepath.Dir(string(data))))
	if err != nil {
		return err
	}
	backups, err := diskOf(h.Path(s.Dir))
	if err != nil {
		return err
	}
	return enoughSpace(mine, backups, size)
}

// place is the folder of the host in which a database keeps its data.
type place string

// movable refuses data that no rename takes from their place, before anything is stopped: a folder that is a disk of its
// own, or is mounted from elsewhere, is busy (rename(2), EBUSY), and the way back would end there.
func (p place) movable(h *step.Machine) error {
	mount, err := isMount(h.Path(string(p)))
	if err != nil {
		return fmt.Errorf("looking whether the database's folder can be moved: %w", err)
	}
	if !mount {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: "looking at the database's folder", Object: string(p),
		Err: errors.New("something is mounted there, so nothing can be put in its place, and there would be no way back"),
		Fix: "mount it one folder further up, at " + filepath.Dir(string(p)) + ", so that the data are a folder on it; then run the command again"}
}

// proof is where a proof makes its database: beside the data, so that it takes their place by a rename.
func (p place) proof() string { return string(p) + ".proof" }

// aside is where data go that the proof's take the place of.
func (p place) aside() string { return string(p) + ".aside" }

// fresh makes an empty folder for a proof, with the owner of the data, in the place of one that was left over.
func (p place) fresh(h *step.Machine) error {
	info, err := h.Files().Stat(string(p))
	if err != nil {
		return fmt.Errorf("looking at the database's folder: %w", err)
	}
	if err := durable.RemoveAll(h.Path(p.proof())); err != nil {
		return fmt.Errorf("removing what a former proof left: %w", err)
	}
	if err := os.Mkdir(h.Path(p.proof()), 0o700); err != nil {
		return fmt.Errorf("making room for the proof: %w", err)
	}
	return likeOwner(h.Path(p.proof()), info)
}

// swap puts the proof's folder in the place of the data, which are set aside. It may be called again after it was cut
// off anywhere: the proof's folder is there until the last rename.
func (p place) swap(h *step.Machine) error {
	ready, err := durable.IsThere(h.Path(p.proof()))
	if err != nil || !ready {
		return err
	}
	there, err := durable.IsThere(h.Path(string(p)))
	if err != nil {
		return err
	}
	if there {
		if err := durable.RemoveAll(h.Path(p.aside())); err != nil {
			return fmt.Errorf("making room for what the database was: %w", err)
		}
		if err := durable.Rename(h.Path(string(p)), h.Path(p.aside())); err != nil {
			return fmt.Errorf("setting the database's folder aside: %w", err)
		}
	}
	if err := durable.Rename(h.Path(p.proof()), h.Path(string(p))); err != nil {
		return fmt.Errorf("putting the proved database in its place: %w", err)
	}
	return nil
}

// swapBack takes a swap back, however far it came. It may be called again after it was cut off anywhere.
//
//	proof there, data there      it had not begun
//	proof there, data not        it was cut off between its renames
//	proof gone, aside there      it was done
//	proof gone, aside gone       it was taken back
func (p place) swapBack(h *step.Machine) error {
	var there [3]bool
	for i, folder := range []string{p.proof(), string(p), p.aside()} {
		var err error
		if there[i], err = durable.IsThere(h.Path(folder)); err != nil {
			return err
		}
	}
	proof, data, aside := there[0], there[1], there[2]
	if proof && data || !aside {
		return nil
	}
	if err := durable.RemoveAll(h.Path(string(p))); err != nil {
		return fmt.Errorf("removing what was restored: %w", err)
	}
	if err := durable.Rename(h.Path(p.aside()), h.Path(string(p))); err != nil {
		return fmt.Errorf("putting back what the database was: %w", err)
	}
	return nil
}

// tidy removes what proofs and swaps left beside the data.
func (p place) tidy(h *step.Machine) error {
	if err := errors.Join(durable.RemoveAll(h.Path(p.proof())), durable.RemoveAll(h.Path(p.aside()))); err != nil {
		return fmt.Errorf("removing what a proof left: %w", err)
	}
	return nil
}
