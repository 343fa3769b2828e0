package releases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/images"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
)

// Repository is where the vendor keeps its release repository and its keys.
type Repository struct {
	Dir  string // metadata/ and targets/
	Keys string // folder of the private keys
	Root string // the file that sites are given as root of trust
	Now  func() time.Time
}

// Agent is a build of valtctl for the hosts.
type Agent struct {
	Version string
	Binary  []byte
}

func (r Repository) options() publish.Options {
	return publish.Options{Dir: r.Dir, Keys: publish.Keyring{Dirs: []string{r.Keys}}, Now: r.Now}
}

// Publish brings the repository to the releases of these images (by version), with the channels stable and canary.
// A published release cannot change, so where one has, as it does while somebody works
// on what is in the images, the repository is made anew with the same keys and with
// higher versions: its readers see new metadata, not old.
func (r Repository) Publish(built map[string][]images.Image, keys Keys, o Options) error {
	var all []publish.Release
	for _, version := range Versions() {
		one, err := Describe(version, built[version], keys)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	repository, err := r.open()
	if err != nil {
		return err
	}
	err = fill(repository, all, o)
	if refused := (*problem.Error)(nil); errors.As(err, &refused) && refused.Kind == problem.Input {
		if repository, err = r.anew(repository); err == nil {
			err = fill(repository, all, o)
		}
	}
	if err != nil {
		return fmt.Errorf("publishing the releases: %w", err)
	}
	root, err := os.ReadFile(filepath.Join(r.Dir, "metadata", "1.root.json"))
	if err != nil {
		return fmt.Errorf("reading the root of trust: %w", err)
	}
	return durable.WriteFile(r.Root, root, 0o644)
}

// The root needs two of three keys, as a vendor's would.
const (
	rootKeys      = 3
	rootThreshold = 2
)

func (r Repository) open() (*publish.Repository, error) {
	if _, err := os.Stat(filepath.Join(r.Dir, "metadata", "timestamp.json")); err == nil {
		return publish.Open(r.options())
	}
	// What an interrupted first run left is worth nothing: nobody has seen it.
	if err := os.RemoveAll(r.Dir); err != nil {
		return nil, fmt.Errorf("clearing the release repository: %w", err)
	}
	return r.create()
}

func (r Repository) create() (*publish.Repository, error) {
	if err := publish.NewKeys(r.options().Keys, rootKeys); err != nil {
		return nil, err
	}
	return publish.Create(r.options(), rootThreshold)
}

func fill(r *publish.Repository, all []publish.Release, o Options) error {
	for _, one := range all {
		if _, err := r.AddRelease(one); err != nil {
			return err
		}
	}
	if agent := o.Agent; agent != nil {
		if err := r.AddAgent(agent.Version, agent.Binary); err != nil {
			return err
		}
	}
	share := 100
	if o.CanaryFor != nil {
		share = *o.CanaryFor
	}
	return errors.Join(r.SetChannel("stable", Stable), r.SetChannelFor("canary", cmp.Or(o.CanaryIs, Canary), share))
}

// anew makes an empty repository in the place of old, whose versions go on from old's.
func (r Repository) anew(old *publish.Repository) (*publish.Repository, error) {
	roots, err := readRoots(r.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(r.Dir); err != nil {
		return nil, fmt.Errorf("clearing the release repository: %w", err)
	}
	fresh, err := r.create()
	if err != nil {
		return nil, err
	}
	for name, content := range roots {
		if err := durable.WriteFile(filepath.Join(r.Dir, "metadata", name), content, 0o644); err != nil {
			return nil, fmt.Errorf("keeping the root of trust: %w", err)
		}
	}
	for behind(fresh, old) {
		if err := fresh.SignTimestamp("targets", "releases", "channels"); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func readRoots(dir string) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "metadata", "*.root.json"))
	if err != nil {
		return nil, fmt.Errorf("listing the roots: %w", err)
	}
	roots := map[string][]byte{}
	for _, path := range paths {
		if roots[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("keeping the root of trust: %w", err)
		}
	}
	return roots, nil
}

// behind says whether any role but the root has a lower version than in old.
func behind(fresh, old *publish.Repository) bool {
	versions := map[string]int64{}
	for _, role := range old.Show() {
		versions[role.Role] = role.Version
	}
	for _, role := range fresh.Show() {
		if role.Role != "root" && role.Version < versions[role.Role] {
			return true
		}
	}
	return false
}

// copyTo copies the repository, so that a spoiled one never is the one that is
// published from.
func (r Repository) copyTo(ctx context.Context, dir string) (Repository, error) {
	to := r
	to.Dir = dir
	err := filepath.WalkDir(r.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		relative, err := filepath.Rel(r.Dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(dir, relative), 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, relative), content, 0o644)
	})
	if err != nil {
		return to, fmt.Errorf("copying the release repository: %w", err)
	}
	return to, nil
}
