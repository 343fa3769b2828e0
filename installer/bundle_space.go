package installer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/bundler"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
)

// Where a host puts what it takes from a bundle.
const (
	debFolder  = "/var/cache/apt/archives"
	debInstall = "/usr"
	engineRoot = "/var/lib/docker" // until an engine says otherwise
)

// maxDescription caps an image's manifest or config, in bytes.
const maxDescription = 16 << 20

// bundleNeed is what a host lacks of a bundle, in bytes as signed.
type bundleNeed struct{ images, debs int64 }

// checkSpace refuses a host without the space for what it lacks of the bundle, before anything is
// changed there. What the host has in full is asked only where the space would not do for
// all that the bundle holds for it.
func (b bundleView) checkSpace(host string, f *facts.Facts, full func() (facts.Facts, error), steps []step.Spec, findings []agent.StepFinding) error {
	need, err := b.need(nil, steps, findings)
	if err != nil || fits(host, f, need) == nil {
		return err
	}
	known, err := full()
	if err != nil {
		return err
	}
	if need, err = b.need(&known, steps, findings); err != nil {
		return err
	}
	return fits(host, f, need)
}

// need adds up the blobs that the steps which would change something take, without those
// that the host is known to have.
func (b bundleView) need(known *facts.Facts, steps []step.Spec, findings []agent.StepFinding) (bundleNeed, error) {
	var need bundleNeed
	counted := map[string]bool{}
	for i, s := range steps {
		if !findings[i].Finding.Change {
			continue
		}
		switch s.Kind {
		case docker.KindImage:
			var p docker.ImageParams
			if err := json.Unmarshal(s.Params, &p); err != nil {
				return need, fmt.Errorf("measuring what step %s takes: %w", s.ID, err)
			}
			blobs, err := b.imageBlobs(p.Digests, known)
			if err != nil {
				return need, err
			}
			for digest, size := range blobs {
				if !counted[digest] {
					counted[digest], need.images = true, need.images+size
				}
			}
		case apt.KindPackages, apt.KindDownload:
			if need.debs == 0 {
				need.debs = b.debBytes(known)
			}
		}
	}
	return need, nil
}

// imageBlobs are the sizes of an image's blobs that the bundle has and the host has not.
func (b bundleView) imageBlobs(image docker.ImageDigests, known *facts.Facts) (map[string]int64, error) {
	all := map[string]int64{}
	if _, here, _ := b.Contents.Blob(image.Manifest); !here {
		return all, nil // left out, since the host has the image
	}
	m, err := b.manifest(image.Manifest)
	if err != nil {
		return nil, err
	}
	there, err := b.layersThere(known, image, m)
	if err != nil {
		return nil, err
	}
	for _, l := range m.Layers[min(there, len(m.Layers)):] {
		if blob, here, _ := b.Contents.Blob(l.Digest); here {
			all[l.Digest] = blob.Size
		}
	}
	return all, nil
}

// blobName is one blob as a manifest names it.
type blobName struct{ Digest string }

// imageManifest is what of an image's manifest matters here (OCI image-spec, manifest.md).
type imageManifest struct {
	Config blobName
	Layers []blobName
}

func (b bundleView) manifest(digest string) (imageManifest, error) {
	var m imageManifest
	err := b.describe(digest, &m)
	return m, err
}

// layersThere is how many of an image's layers, from the lowest on, a host is known to have.
func (b bundleView) layersThere(known *facts.Facts, image docker.ImageDigests, m imageManifest) (int, error) {
	if known == nil || known.Engine == nil {
		return 0, nil
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if _, here, _ := b.Contents.Blob(m.Config.Digest); here {
		if err := b.describe(m.Config.Digest, &config); err != nil {
			return 0, err
		}
	}
	return bundler.Shared(known.Engine.Images, image.All(), config.RootFS.DiffIDs), nil
}

// describe reads a manifest or config of the bundle.
func (b bundleView) describe(digest string, into any) error {
	in, size, err := b.Blob(digest)
	if err != nil {
		return fmt.Errorf("reading %s of the bundle: %w", digest, err)
	}
	if size > maxDescription {
		return fmt.Errorf("reading %s of the bundle: its %d bytes describe no image", digest, size)
	}
	text, err := io.ReadAll(in)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("reading %s of the bundle: %w", digest, err)
	}
	return nil
}

// debBytes are the packages of the bundle that the host has not in just that version.
func (b bundleView) debBytes(known *facts.Facts) int64 {
	installed := map[string]bool{}
	if known != nil {
		for name, version := range known.Packages {
			name, arch, _ := strings.Cut(name, ":")
			if _, after, ok := strings.Cut(version, ":"); ok {
				version = after // a file's name has no epoch (deb(5))
			}
			installed[name+"_"+version+"_"+arch+".deb"] = true
		}
	}
	var sum int64
	for _, f := range b.Contents.Files {
		if strings.HasSuffix(f.Path, ".deb") && !installed[path.Base(f.Path)] {
			blob, _, _ := b.Contents.Blob(f.Digest)
			sum += blob.Size
		}
	}
	return sum
}

// fits compares the need with the file systems, each by all that it will take.
func fits(host string, f *facts.Facts, need bundleNeed) error {
	root := engineRoot
	if f.Engine != nil && f.Engine.Root != "" {
		root = f.Engine.Root
	}
	takes := map[string]int64{}
	for at, size := range map[string]int64{root: need.images * docker.Unpacked, debFolder: need.debs, debInstall: need.debs * (docker.Unpacked - 1)} {
		if fs, ok := fileSystem(f.Filesystems, at); ok && size > 0 {
			takes[fs.Mount] += size
		}
	}
	var errs []error
	for _, fs := range f.Filesystems {
		if size := takes[fs.Mount]; size > fs.Free {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "checking the space of host", Object: host,
				Err: fmt.Errorf("%s has %d bytes free, and what the host lacks of the bundle takes about %d there", fs.Mount, fs.Free, size),
				Fix: "make room there or enlarge the file system, then run the command again; nothing was changed"})
		}
	}
	return errors.Join(errs...)
}

// EngineDisk is the file system on which a host's engine keeps its containers; false: the host did not tell.
func (r *Run) EngineDisk(host string) (facts.Filesystem, bool) {
	f := r.Facts(host)
	root := engineRoot
	if f.Engine != nil && f.Engine.Root != "" {
		root = f.Engine.Root
	}
	fs, ok := fileSystem(f.Filesystems, root)
	return fs, ok && fs.Size > 0
}

// fileSystem is the one that a path lies on; false where the host did not tell.
func fileSystem(all []facts.Filesystem, at string) (facts.Filesystem, bool) {
	var found []facts.Filesystem
	for _, fs := range all {
		if fs.Mount == "/" || at == fs.Mount || strings.HasPrefix(at, fs.Mount+"/") {
			found = append(found, fs)
		}
	}
	if len(found) == 0 {
		return facts.Filesystem{}, false
	}
	return slices.MaxFunc(found, func(a, b facts.Filesystem) int { return len(a.Mount) - len(b.Mount) }), true
}
