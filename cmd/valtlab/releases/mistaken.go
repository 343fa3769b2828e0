package releases

import (
	"bytes"
	"fmt"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/repos/publish"
)

// Mistaken is a release that asks for what no release may have. No other way of publishing but
// the one that is spoiled by it has it. It lies before Migrating, which no way may leave out.
const Mistaken = "6.4.9"

// MistakenAsks is what it asks for in the Compose file of either role.
const MistakenAsks = "SYS_ADMIN"

// Mistaken makes the release Mistaken of the stable one.
func (r Repository) Mistaken() (publish.Release, error) {
	all, err := r.published([]string{Stable})
	if err != nil {
		return publish.Release{}, err
	}
	made := publish.Release{Manifest: bytes.ReplaceAll(all[0].Manifest, []byte(Stable), []byte(Mistaken)), Files: map[string][]byte{}}
	for name, content := range all[0].Files {
		made.Files[name] = bytes.Replace(content, []byte("cap_add: ["), []byte("cap_add: ["+MistakenAsks+", "), 1)
		if bytes.Equal(made.Files[name], content) {
			return made, fmt.Errorf("making a mistaken release: %s adds no capabilities", name)
		}
	}
	return made, nil
}

// mistake signs the mistaken release as a publisher without a judge would, for everybody.
func (r Repository) mistake() error {
	made, err := r.Mistaken()
	if err != nil {
		return err
	}
	repository, err := publish.Open(r.options())
	if err != nil {
		return err
	}
	if _, err := repository.AddRelease(made); err != nil {
		return err
	}
	return repository.SetChannel("stable", Mistaken)
}

// RepositoryOf is where the vendor of a lab publishes.
func RepositoryOf(l *lab.Lab) Repository {
	return Repository{Dir: l.Path("release"), Keys: l.Path("release-keys"), Root: l.Path("root.json"), Now: l.Now}
}
