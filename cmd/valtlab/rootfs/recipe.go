// Package rootfs builds root file systems of Debian packages with mmdebstrap and
// gives them to the Docker engine as images. What is built is decided by a recipe
// alone, and the image's tag is the recipe's hash, so that what was built once is
// found again and nothing has to be remembered. It does not know what the images
// are for.
package rootfs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// Recipe says all that goes into an image.
type Recipe struct {
	Name  string // "host": the image is valtlab/host:<hash>
	Suite string `json:",omitempty"` // of Debian; empty: Suite
	// Late lets the suite's lists be past their end: of one that moves, a mirror may be behind.
	Late     bool     `json:",omitempty"`
	Packages []string // besides Debian's essential ones and apt
	// Files are put into the root after the packages.
	Files []containers.File
	// Commands run inside the root after the files, each an argv.
	Commands [][]string
	// Changes are Dockerfile instructions for the image: `CMD [...]`, `USER …`.
	Changes []string
	// KeepDocs keeps manual pages and documentation, which are left out otherwise.
	KeepDocs bool
}

// revision is raised when the way of building changes, since the recipes' hashes
// do not see that.
const revision = 2

// Hash is 16 hex digits that change whenever anything in the recipe does.
func (r Recipe) Hash() string {
	sort.Strings(r.Packages)
	text, err := json.Marshal(struct {
		Revision int
		Suite    string
		Recipe   Recipe
	}{revision, Suite, r})
	if err != nil { // a struct of strings and bytes always marshals
		panic(fmt.Sprintf("hashing recipe %s: %v", r.Name, err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Ref is the image's name in the engine: "valtlab/host:0123456789abcdef".
func (r Recipe) Ref() string { return "valtlab/" + r.Name + ":" + r.Hash() }

// Suite is the Debian release that everything is made of that names no other. No Ubuntu packages are
// to be had where the practice site must work, so its hosts are Debian with
// Ubuntu's names.
const Suite = "bookworm"

// Sources are the one-line apt sources of a suite on the mirror, security included.
// Security is beside the archive, as mirrors have it: …/debian and …/debian-security.
func Sources(mirror, suite string) []string {
	mirror = strings.TrimSuffix(mirror, "/")
	const signed = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
	return []string{
		signed + mirror + " " + suite + " main",
		signed + mirror + " " + suite + "-updates main",
		signed + mirror + "-security " + suite + "-security main",
	}
}

// arguments are mmdebstrap's, with extras being the tar of Files at a path of the
// controller ("" for none). The tar goes to standard output.
func (r Recipe) arguments(mirror, extras string) []string {
	args := []string{
		"--variant=minbase", "--format=tar",
		`--aptopt=Acquire::Languages "none"`,
		`--aptopt=Acquire::Retries "3"`,
		"--dpkgopt=force-unsafe-io", // a build that is cut off is thrown away
		"--include=" + strings.Join(append([]string{"ca-certificates"}, r.Packages...), ","),
	}
	if r.Late {
		args = append(args, `--aptopt=Acquire::Check-Valid-Until "false"`)
	}
	if !r.KeepDocs {
		// Removed at the end: told to leave paths out, mmdebstrap filters every package
		// through a program of its own and takes half a minute longer.
		args = append(args, `--customize-hook=rm -rf "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/usr/share/info/*; `+
			`find "$1/usr/share/doc" -type f ! -name copyright -delete`)
	}
	if extras != "" {
		args = append(args, "--customize-hook=tar-in "+extras+" /")
	}
	for _, command := range r.Commands {
		args = append(args, `--customize-hook=chroot "$1" `+quote(command))
	}
	// What the build's own apt and dpkg were told must not stay in the image.
	args = append(args,
		`--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"`,
		`--customize-hook=rm -f "$1/etc/apt/sources.list" "$1/etc/machine-id" "$1/var/lib/dbus/machine-id"`,
		`--customize-hook=: > "$1/etc/machine-id"`,
		r.suite(), "-")
	return append(args, Sources(mirror, r.suite())...)
}

func (r Recipe) suite() string { return cmp.Or(r.Suite, Suite) }

// quote is argv for the hook, which mmdebstrap hands to a shell.
func quote(argv []string) string {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
