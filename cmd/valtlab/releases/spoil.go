package releases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/repos/publish"
)

// Spoiled is a way in which a repository can be wrong.
type Spoiled string

// What scenarios need. Nothing is spoiled by the empty one.
const (
	TamperedTarget Spoiled = "tamper-target"   // manifests whose content is not what was signed
	WrongSignature Spoiled = "wrong-signature" // a timestamp whose signature is not by its key
	ForeignRoot    Spoiled = "foreign-root"    // a whole repository by somebody else
	Expired        Spoiled = "expire"          // a timestamp whose time is over
	Aged           Spoiled = "age"             // all of it as it was signed two hundred days ago
	MistakenSigned Spoiled = "mistaken"        // the release Mistaken, signed, in the channel stable
)

// Age is how long ago what is Aged was signed.
const Age = 200 * 24 * time.Hour

// Ways lists them all.
func Ways() []Spoiled {
	return []Spoiled{TamperedTarget, WrongSignature, ForeignRoot, Expired, Aged, MistakenSigned}
}

// Spoil copies the repository to dir and spoils the copy.
func (r Repository) Spoil(ctx context.Context, dir string, how Spoiled) error {
	spoilt, err := r.copyTo(ctx, dir)
	if err != nil {
		return err
	}
	switch how {
	case TamperedTarget:
		err = spoilt.tamper()
	case WrongSignature:
		err = spoilt.forge()
	case ForeignRoot:
		err = r.foreign(dir)
	case Expired:
		err = spoilt.expire()
	case Aged:
		err = spoilt.age()
	case MistakenSigned:
		err = spoilt.mistake()
	default:
		err = fmt.Errorf("there is no way %q; there are %v", how, Ways())
	}
	if err != nil {
		return fmt.Errorf("spoiling the release repository: %w", err)
	}
	return nil
}

// tamper changes every manifest by one letter, so that its length stays as signed.
func (r Repository) tamper() error {
	changed := 0
	for _, version := range Versions() {
		paths, err := filepath.Glob(filepath.Join(r.Dir, "targets", "releases", version, "*manifest.json"))
		if err != nil {
			return fmt.Errorf("listing the targets: %w", err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("tampering: %w", err)
			}
			content = bytes.Replace(content, []byte("us.archive.ubuntu.com"), []byte("us.archive.ubuntu.org"), 1)
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return fmt.Errorf("tampering: %w", err)
			}
			changed++
		}
	}
	if changed == 0 {
		return errors.New("no manifest is published")
	}
	return nil
}

// forge turns the timestamp's signature around and signs the next version with it, as
// somebody who holds the web server and no key would have to.
func (r Repository) forge() error {
	path := filepath.Join(r.Dir, "metadata", "timestamp.json")
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("forging: %w", err)
	}
	var timestamp struct {
		Signatures []map[string]string `json:"signatures"`
		Signed     map[string]any      `json:"signed"`
	}
	if err := json.Unmarshal(content, &timestamp); err != nil {
		return fmt.Errorf("forging: %w", err)
	}
	for _, signature := range timestamp.Signatures {
		letters := []byte(signature["sig"])
		slices.Reverse(letters)
		signature["sig"] = string(letters)
	}
	version, _ := timestamp.Signed["version"].(float64)
	timestamp.Signed["version"] = int64(version) + 1
	if content, err = json.Marshal(timestamp); err != nil {
		return fmt.Errorf("forging: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("forging: %w", err)
	}
	return nil
}

// foreign puts a repository in dir that offers the same releases and is signed by
// nobody the sites know.
func (r Repository) foreign(dir string) (err error) {
	keys, err := os.MkdirTemp("", "valtlab-foreign-")
	if err != nil {
		return fmt.Errorf("making foreign keys: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(keys)) }()
	mine, err := publish.Open(r.options())
	if err != nil {
		return err
	}
	releases, err := r.published(mine.Versions())
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("making room: %w", err)
	}
	foreign, err := Repository{Dir: dir, Keys: keys, Now: r.Now}.create()
	if err != nil {
		return err
	}
	for behind(foreign, mine) { // otherwise it would be refused for being old
		if err := foreign.SignTimestamp("targets", "releases", "channels"); err != nil {
			return err
		}
	}
	return fill(foreign, releases, Options{})
}

// published reads releases back. Targets carry their hash before their name.
func (r Repository) published(versions []string) ([]publish.Release, error) {
	one := func(version, name string) ([]byte, error) {
		paths, err := filepath.Glob(filepath.Join(r.Dir, "targets", "releases", version, "*"+name))
		if err != nil || len(paths) == 0 {
			return nil, errors.Join(fmt.Errorf("release %s has no %s", version, name), err)
		}
		content, err := os.ReadFile(paths[0])
		if err != nil {
			return nil, fmt.Errorf("reading release %s: %w", version, err)
		}
		return content, nil
	}
	var all []publish.Release
	for _, version := range versions {
		r := publish.Release{Files: map[string][]byte{}}
		var err error
		if r.Manifest, err = one(version, "manifest.json"); err != nil {
			return nil, err
		}
		for _, name := range []string{"compose.app.yaml", "compose.media.yaml"} {
			if r.Files[name], err = one(version, name); err != nil {
				return nil, err
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// expire signs a timestamp whose time is over at once.
func (r Repository) expire() error {
	options := r.options()
	options.Lifetimes.Timestamp = -time.Hour
	repository, err := publish.Open(options)
	if err != nil {
		return err
	}
	return repository.SignTimestamp()
}

// age signs everything but the root as if it had been then.
func (r Repository) age() error {
	options := r.options()
	options.Now = func() time.Time { return r.Now().Add(-Age) }
	repository, err := publish.Open(options)
	if err != nil {
		return err
	}
	return repository.SignTimestamp("targets", "releases", "channels")
}
