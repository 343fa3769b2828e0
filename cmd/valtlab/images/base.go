package images

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"ipivs.com/valtctl/cmd/valtlab/flock"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
	"ipivs.com/valtctl/repos/durable"
)

// BaseRecipe is the root that the application images are cut out of: what nginx, PHP,
// MariaDB and Node.js need to run. The scripts that Debian's packages bring for administrators,
// and Perl for them, are left out: they are half of it.
func BaseRecipe() rootfs.Recipe {
	return rootfs.Recipe{
		Name:     "application",
		Packages: []string{"nginx", "php8.2-fpm", "php8.2-mysql", "mariadb-server-core", "mariadb-client", "nodejs"},
		Commands: [][]string{
			{"find", "/usr/bin", "(", "-name", "aria_*", "-o", "-name", "myisam*", ")", "-delete"},
			{"rm", "-rf", "/usr/bin/mariadb-binlog", "/usr/bin/mariadb-upgrade", "/usr/bin/mariadb-slap", "/usr/bin/mariadb-import",
				"/usr/bin/mariadb-show", "/usr/bin/mariadb-conv", "/usr/bin/mariadb-plugin", "/usr/bin/mariadb-tzinfo-to-sql",
				"/usr/bin/mariadb-waitpid", "/usr/bin/innochecksum", "/usr/bin/resolve_stack_dump", "/usr/bin/replace", "/usr/bin/perror"},
			{"rm", "-rf", "/usr/share/perl", "/usr/lib/x86_64-linux-gnu/perl", "/usr/share/nodejs/@types"},
			{"rm", "-rf", "/var/cache/apt", "/var/lib/apt/lists", "/var/log/apt", "/var/log/dpkg.log", "/var/log/alternatives.log"},
		},
	}
}

// RootWriter makes the root of a recipe as a tar.
type RootWriter func(ctx context.Context, r rootfs.Recipe, out io.Writer) error

// all names the layer of what every application image needs.
const all = "all"

// debian are the layers cut out of the root: that of all application images, and one for
// each of them.
type debian map[string]v1.Layer

// base returns the layers of Debian's packages, from the cache if an earlier run made them.
// The cache holds application-<hash of recipe and shares>-<layer>.tar.gz and, written last, a
// .json of their hashes. Several labs may want them at the same time; one makes them.
func base(ctx context.Context, cache string, write RootWriter) (debian, error) {
	recipe := BaseRecipe()
	made := sha256.Sum256(fmt.Appendf(nil, "%s %q", recipe.Hash(), shares()))
	name := filepath.Join(cache, fmt.Sprintf("%s-%x", recipe.Name, made[:8]))
	unlock, err := flock.Acquire(ctx, name+".lock", func() {})
	if err != nil {
		return nil, err
	}
	defer unlock()
	blobs, ok := cached(name)
	if !ok {
		if blobs, err = makeBase(name, func(out io.Writer) error { return write(ctx, recipe, out) }); err != nil {
			return nil, fmt.Errorf("making the application's layers: %w", err)
		}
	}
	layers := debian{}
	for layer, b := range blobs {
		if layers[layer], err = b.layer(); err != nil {
			return nil, err
		}
	}
	return layers, nil
}

func layerFile(name, layer string) string { return name + "-" + layer + ".tar.gz" }

func indexFile(name string) string { return name + "-layers.json" }

// cached are the layers of that name, if they are whole.
func cached(name string) (map[string]*blob, bool) {
	text, err := os.ReadFile(indexFile(name))
	if err != nil {
		return nil, false
	}
	var blobs map[string]*blob
	if json.Unmarshal(text, &blobs) != nil {
		return nil, false
	}
	for _, layer := range layerNames() {
		b := blobs[layer]
		if b == nil {
			return nil, false
		}
		b.file = layerFile(name, layer)
		if info, err := os.Stat(b.file); err != nil || info.Size() != b.Length {
			return nil, false
		}
	}
	return blobs, true
}

func layerNames() []string {
	names := []string{all}
	for _, s := range shares() {
		names = append(names, s.image)
	}
	return names
}

// makeBase makes the root, cuts it and keeps the layers. The root lies in a file meanwhile,
// since dpkg's lists, which say whose a file is, come after most files.
func makeBase(name string, write func(io.Writer) error) (_ map[string]*blob, err error) {
	root, err := os.CreateTemp(filepath.Dir(name), "root-*.tar")
	if err != nil {
		return nil, fmt.Errorf("making room for the root: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := os.Remove(root.Name()); err != nil { // nothing of it stays, however this ends
		return nil, fmt.Errorf("making room for the root: %w", err)
	}
	if err := write(root); err != nil {
		return nil, err
	}
	whole := func() io.Reader { return io.NewSectionReader(root, 0, math.MaxInt64) }
	of, err := readOwners(whole())
	if err != nil {
		return nil, err
	}
	blobs := map[string]*blob{}
	for _, layer := range layerNames() {
		blobs[layer], err = keepLayer(layerFile(name, layer), func(out io.Writer) error {
			return of.cut(whole(), layer, out)
		})
		if err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(blobs)
	if err != nil {
		return nil, fmt.Errorf("keeping the layers' hashes: %w", err)
	}
	return blobs, durable.WriteFile(indexFile(name), text, 0o644)
}

// keepLayer compresses a tar while it is written, and keeps it.
func keepLayer(file string, write func(io.Writer) error) (b *blob, err error) {
	err = durable.WriteFrom(file, 0o644, func(out io.Writer) (err error) {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(write(writer)) }()
		b, err = compress(reader, out)
		reader.CloseWithError(errors.New("the layer could not be kept"))
		return err
	})
	if err != nil {
		return nil, err
	}
	b.file = file
	return b, nil
}
