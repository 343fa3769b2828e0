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
// path below the repository's URI. Packages lists what is in it; of a stanza's other fields
// it keeps those of relations, since a whole Ubuntu would fill the memory.
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
		folder = path.Join(".", suite)
	}
	name := path.Join(folder, "InRelease")
	signed, err := x.get(ctx, client, name, maxInRelease)
	if err != nil {
		return err
	}
	release, err := ReadInRelease(signed, keys, at)
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
			return x.unusable(folder, fmt.Errorf("its InRelease lists neither %s.gz nor %s", list, list))
		}
	}
	file := path.Join(folder, name)
	if want.Size > maxPackages {
		return x.unusable(file, fmt.Errorf("its %d bytes are more than %d", want.Size, maxPackages))
	}
	content, err := x.hashed(ctx, client, file, want, release.ByHash)
	if err != nil {
		return err
	}
	x.Files[file] = content
	text := content
	if strings.HasSuffix(name, ".gz") {
		most := int64(maxPackages)
		if plain, ok := release.Files[list]; ok {
			most = min(most, plain.Size)
		}
		if text, err = unpacked(content, most); err != nil {
			return x.unusable(file, err)
		}
	}
	if err := x.take(text); err != nil {
		return x.unusable(file, err)
	}
	return nil
}

// hashed reads a file whose hash is known. Where the repository keeps files by their hash
// they are asked for so, since the name may be another file's by now, and by name where a
// mirror has no such file, as apt does it.
func (x *Index) hashed(ctx context.Context, client *http.Client, file string, want Hash, byHash bool) ([]byte, error) {
	if byHash {
		content, err := x.get(ctx, client, path.Join(path.Dir(file), "by-hash/SHA256", want.SHA256), want.Size)
		if err == nil && sha256Of(content) == want.SHA256 {
			return content, nil
		}
	}
	content, err := x.get(ctx, client, file, want.Size)
	if err != nil {
		return nil, err
	}
	if sum := sha256Of(content); sum != want.SHA256 {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: x.address(file),
			Err: fmt.Errorf("its digest is %s", sum), Fix: "the repository may be changing at this moment: try again; else tell whoever runs it"}
	}
	return content, nil
}

func sha256Of(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// take adds the packages of a list.
func (x *Index) take(text []byte) error {
	for p, err := range packagesOf(bytes.NewReader(text)) {
		if err != nil {
			return err
		}
		p.Paragraph = Paragraph{} // the fields of a whole list would fill the memory, and nobody asks for more
		x.Packages = append(x.Packages, p)
	}
	return nil
}

// unusable is a file that is the publisher's and still of no use.
func (x *Index) unusable(name string, err error) error {
	return &problem.Error{Kind: problem.Failed, Doing: "reading", Object: x.address(name), Err: err,
		Fix: "the repository is not one that this valtctl can read; tell whoever runs it"}
}

// unpacked is what a gzip file holds, of at most so many bytes.
func unpacked(content []byte, most int64) ([]byte, error) {
	in, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("unpacking it: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("unpacking it: %w", err)
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("it unpacks to more than the %d bytes it may have", most)
	}
	return text, nil
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
