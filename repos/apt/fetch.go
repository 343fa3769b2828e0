package apt

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/problem"
)

// Caps of what is read of a repository, in bytes.
const (
	maxInRelease = 4 << 20
	maxPackages  = 256 << 20
)

// Repo is one repository to read: a source as a host has it.
type Repo struct {
	Name          string // of the source
	URI           string
	Suites        []string
	Components    []string
	Architectures []string
	Keys          []byte // a keyring, binary or armoured
}

// Index is what a repository has, with the files that say so as they were fetched, by their
// path below the repository's URI. Packages lists what is in it.
type Index struct {
	Repo     Repo
	Files    map[string][]byte
	Packages []Package
}

// FetchIndex reads a repository's lists of packages, and verifies them: each InRelease by
// the repository's keys, as of a time, and what it names by its hash. A signature that does
// not verify is a problem of kind Trust.
func FetchIndex(ctx context.Context, client *http.Client, r Repo, at time.Time) (*Index, error) {
	keys, err := ReadKeyring(r.Keys)
	if err != nil {
		return nil, fmt.Errorf("reading the keys of %s: %w", r.URI, err)
	}
	x := &Index{Repo: r, Files: map[string][]byte{}}
	for _, suite := range r.Suites {
		if err := x.suite(ctx, client, suite, keys, at); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// suite reads one suite of the repository.
func (x *Index) suite(ctx context.Context, client *http.Client, suite string, keys Keyring, at time.Time) error {
	folder := path.Join("dists", suite)
	if strings.HasSuffix(suite, "/") { // sources.list(5): an exact path
		folder = path.Clean(suite)
	}
	name := path.Join(folder, "InRelease")
	signed, err := x.get(ctx, client, name, maxInRelease)
	if err != nil {
		return err
	}
	release, err := ReadInReleaseAt(signed, keys, at)
	if err != nil {
		return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: x.address(name), Err: err,
			Fix: "the repository is not signed by the key that the release names for it; tell whoever runs it"}
	}
	if !release.ValidUntil.IsZero() && at.After(release.ValidUntil) {
		return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: x.address(name),
			Err: fmt.Errorf("it was valid until %s", release.ValidUntil.Format(time.DateTime)), Fix: "the repository or its mirror is not kept current; tell whoever runs it"}
	}
	x.Files[name] = signed
	for _, list := range x.lists(suite) {
		if err := x.list(ctx, client, folder, list, release); err != nil {
			return err
		}
	}
	return nil
}

// lists are the names of the lists of packages below a suite's folder.
func (x *Index) lists(suite string) []string {
	if strings.HasSuffix(suite, "/") {
		return []string{"Packages"}
	}
	var all []string
	for _, c := range x.Repo.Components {
		for _, a := range x.Repo.Architectures {
			all = append(all, path.Join(c, "binary-"+a, "Packages"))
		}
	}
	return all
}

// list reads one list of packages, compressed where the suite has it so.
func (x *Index) list(ctx context.Context, client *http.Client, folder, list string, release Release) error {
	name := list + ".gz"
	want, ok := release.Files[name]
	if !ok {
		name = list
		if want, ok = release.Files[name]; !ok {
			return fmt.Errorf("reading %s: its InRelease lists no %s", x.address(folder), list)
		}
	}
	if want.Size > maxPackages {
		return fmt.Errorf("reading %s: its %d bytes are more than %d", x.address(path.Join(folder, name)), want.Size, maxPackages)
	}
	content, err := x.get(ctx, client, path.Join(folder, name), want.Size)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != want.SHA256 {
		return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: x.address(path.Join(folder, name)),
			Err: fmt.Errorf("its digest is %x", sum), Fix: "the repository may be changing at this moment: try again; else tell whoever runs it"}
	}
	x.Files[path.Join(folder, name)] = content
	text := content
	if strings.HasSuffix(name, ".gz") {
		if text, err = unpacked(content); err != nil {
			return fmt.Errorf("reading %s: %w", x.address(path.Join(folder, name)), err)
		}
	}
	packages, err := ReadPackages(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("reading %s: %w", x.address(path.Join(folder, name)), err)
	}
	x.Packages = append(x.Packages, packages...)
	return nil
}

func unpacked(content []byte) ([]byte, error) {
	in, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPackages+1))
	if err == nil && len(text) > maxPackages {
		err = fmt.Errorf("it unpacks to more than %d bytes", maxPackages)
	}
	return text, err
}

func (x *Index) address(name string) string {
	return strings.TrimSuffix(x.Repo.URI, "/") + "/" + name
}

// get reads a file of at most so many bytes.
func (x *Index) get(ctx context.Context, client *http.Client, name string, most int64) ([]byte, error) {
	fail := func(err error) error {
		return &problem.Error{Kind: problem.Failed, Doing: "reading", Object: x.address(name), Err: err,
			Fix: "check that this machine reaches the repository; network.endpoints can name a mirror"}
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, x.address(name), nil)
	if err != nil {
		return nil, fail(err)
	}
	reply, err := client.Do(q)
	if err != nil {
		return nil, fail(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, fail(fmt.Errorf("the answer is %s", reply.Status))
	}
	content, err := io.ReadAll(io.LimitReader(reply.Body, most+1))
	if err != nil {
		return nil, fail(err)
	}
	if int64(len(content)) > most {
		return nil, fail(fmt.Errorf("it is longer than the %d bytes it may have", most))
	}
	return content, nil
}
