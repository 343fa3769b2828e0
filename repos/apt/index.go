package apt

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Hash is what an index promises about a file.
type Hash struct {
	Size   int64  // bytes
	SHA256 string // 64 hex digits
}

// Release is a repository's Release file: the root of what its signature covers.
type Release struct {
	Origin        string
	Suite         string
	Codename      string
	Date          time.Time
	ValidUntil    time.Time // zero: never expires
	Architectures []string
	Components    []string
	ByHash        bool            // Acquire-By-Hash: indexes are also found by their hash
	Files         map[string]Hash // by path below the suite's folder
}

// ReadInRelease verifies a clear-signed Release against a keyring, keys and signatures judged
// as of a time, and reads it. It does not judge its dates: whoever asks knows which time counts.
func ReadInRelease(signed []byte, keys Keyring, at time.Time) (Release, error) {
	text, err := open(signed, keys, &packet.Config{Time: func() time.Time { return at }})
	if err != nil {
		return Release{}, err
	}
	return ReadRelease(bytes.NewReader(text))
}

// ReadRelease reads a Release whose signature was already checked. Only SHA-256 sums
// are taken; a Release without them is an error.
func ReadRelease(r io.Reader) (Release, error) {
	for p, err := range Paragraphs(r) {
		if err != nil {
			return Release{}, fmt.Errorf("reading a Release: %w", err)
		}
		release, err := newRelease(p)
		if err != nil {
			return Release{}, fmt.Errorf("reading a Release: %w", err)
		}
		return release, nil
	}
	return Release{}, fmt.Errorf("reading a Release: it is empty")
}

func newRelease(p Paragraph) (Release, error) {
	release := Release{
		Origin: p.Get("Origin"), Suite: p.Get("Suite"), Codename: p.Get("Codename"),
		Architectures: p.Words("Architectures"), Components: p.Words("Components"),
		ByHash: p.Get("Acquire-By-Hash") == "yes",
	}
	var err error
	if release.Date, err = releaseTime(p, "Date"); err != nil {
		return Release{}, err
	}
	if p.Get("Valid-Until") != "" {
		if release.ValidUntil, err = releaseTime(p, "Valid-Until"); err != nil {
			return Release{}, err
		}
	}
	release.Files, err = hashes(p.Get("SHA256"))
	return release, err
}

// releaseTime reads the times of a Release: RFC 1123 with the zone written UTC, GMT or +0000.
func releaseTime(p Paragraph, field string) (time.Time, error) {
	for _, layout := range []string{time.RFC1123, time.RFC1123Z, "Mon, _2 Jan 2006 15:04:05 MST"} {
		if at, err := time.Parse(layout, p.Get(field)); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: %q is not a time as in %q", field, p.Get(field), time.RFC1123)
}

// hashes reads the lines "sum size path" of a Release's SHA256 field.
func hashes(field string) (map[string]Hash, error) {
	files := map[string]Hash{}
	for line := range strings.Lines(field) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("SHA256: %q is not a sum, a size and a path", strings.TrimSpace(line))
		}
		h, err := newHash(words[0], words[1])
		if err != nil {
			return nil, fmt.Errorf("SHA256: %s: %w", words[2], err)
		}
		if err := below(words[2]); err != nil {
			return nil, fmt.Errorf("SHA256: %w", err)
		}
		files[words[2]] = h
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("SHA256: no file is listed")
	}
	return files, nil
}

func newHash(sum, size string) (Hash, error) {
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 {
		return Hash{}, fmt.Errorf("%q is not a SHA-256 sum", sum)
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return Hash{}, fmt.Errorf("%q is not a size in bytes", size)
	}
	return Hash{Size: n, SHA256: strings.ToLower(sum)}, nil
}

// below refuses a path that leaves the folder it is relative to.
func below(p string) error {
	if p == "" || path.IsAbs(p) || path.Clean("/"+p) != "/"+strings.TrimPrefix(p, "./") {
		return fmt.Errorf("the path %q leaves its folder", p)
	}
	return nil
}

// Package is one stanza of a Packages index.
type Package struct {
	Name         string
	Version      string
	Architecture string
	Filename     string // below the repository's URI
	Hash         Hash
	Paragraph    Paragraph // everything else: Depends, Essential …
}

// Key is "name:arch=version", as apt-get takes it to mean exactly this one.
func (p Package) Key() string { return p.Name + ":" + p.Architecture + "=" + p.Version }

// ReadPackages reads a Packages index, or what `apt-cache show` prints of one.
// Stanzas without a Filename are left out: apt-cache shows so what is installed but
// in no repository.
func ReadPackages(r io.Reader) ([]Package, error) {
	var all []Package
	for p, err := range packagesOf(r) {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// packagesOf yields what ReadPackages returns, one by one. It ends at the first error.
func packagesOf(r io.Reader) iter.Seq2[Package, error] {
	return func(yield func(Package, error) bool) {
		for p, err := range Paragraphs(r) {
			if err != nil {
				yield(Package{}, fmt.Errorf("reading a Packages index: %w", err))
				return
			}
			if p.Get("Filename") == "" {
				continue
			}
			one, err := newPackage(p)
			if err != nil {
				yield(Package{}, fmt.Errorf("reading a Packages index: %s: %w", p.Get("Package"), err))
				return
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}

func newPackage(p Paragraph) (Package, error) {
	one := Package{
		Name: p.Get("Package"), Version: p.Get("Version"), Architecture: p.Get("Architecture"),
		Filename: p.Get("Filename"), Paragraph: p,
	}
	if err := checkWords([]string{one.Name, one.Version, one.Architecture}); err != nil {
		return Package{}, fmt.Errorf("name, version and architecture: %w", err)
	}
	if err := below(one.Filename); err != nil {
		return Package{}, err
	}
	var err error
	one.Hash, err = newHash(p.Get("SHA256"), p.Get("Size"))
	return one, err
}
