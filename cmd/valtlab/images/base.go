package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/renameio/v2"

	"ipivs.com/valtctl/cmd/valtlab/flock"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// BaseRecipe is the root that the application images share: what nginx, PHP, MariaDB
// and Node.js need to run. The scripts that Debian's packages bring for administrators,
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

// base returns the shared layer, from the cache if an earlier run made it. The cache
// holds <name>-<recipe's hash>.tar.gz and, written last, a .json of its hashes. Several
// labs may want it at the same time; one makes it.
func base(ctx context.Context, cache string, write RootWriter) (v1.Layer, error) {
	recipe := BaseRecipe()
	name := filepath.Join(cache, recipe.Name+"-"+recipe.Hash())
	unlock, err := flock.Acquire(ctx, name+".lock", func() {})
	if err != nil {
		return nil, err
	}
	defer unlock()
	b, ok := cached(name)
	if !ok {
		if b, err = makeBase(ctx, name, func(out io.Writer) error { return write(ctx, recipe, out) }); err != nil {
			return nil, fmt.Errorf("making the application's base layer: %w", err)
		}
	}
	return b.layer()
}

// cached is the layer of that name, if it is whole.
func cached(name string) (*blob, bool) {
	text, err := os.ReadFile(name + ".json")
	if err != nil {
		return nil, false
	}
	b := &blob{file: name + ".tar.gz"}
	info, err := os.Stat(b.file)
	return b, err == nil && json.Unmarshal(text, b) == nil && info.Size() == b.Length
}

// makeBase compresses the root while it is made, and keeps it.
func makeBase(ctx context.Context, name string, write func(io.Writer) error) (_ *blob, err error) {
	file := name + ".tar.gz"
	out, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o644))
	if err != nil {
		return nil, fmt.Errorf("keeping the layer: %w", err)
	}
	defer func() { err = errors.Join(err, out.Cleanup()) }()
	reader, writer := io.Pipe()
	defer context.AfterFunc(ctx, func() { writer.CloseWithError(ctx.Err()) })()
	go func() { writer.CloseWithError(write(writer)) }()
	b, err := compress(reader, out)
	reader.CloseWithError(errors.New("the layer could not be kept"))
	if err != nil {
		return nil, err
	}
	if err := out.CloseAtomicallyReplace(); err != nil {
		return nil, fmt.Errorf("keeping the layer: %w", err)
	}
	b.file = file
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("keeping the layer's hashes: %w", err)
	}
	if err := renameio.WriteFile(name+".json", text, 0o644); err != nil {
		return nil, fmt.Errorf("keeping the layer's hashes: %w", err)
	}
	return b, nil
}
