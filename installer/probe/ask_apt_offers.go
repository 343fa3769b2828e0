package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"path"
	"runtime"
	"slices"
	"strings"

	"ipivs.com/valtctl/repos/apt"
)

// maxList is more than any list of a vendor's own packages has, in bytes, packed and unpacked. Ubuntu's are longer,
// and nobody asks them for exact versions.
const maxList = 16 << 20

// offers wants the index to have what a release asks for: a mirror that is older, or does not take
// everything over, verifies and lacks it.
func (c *conversation) offers(ctx context.Context, r apt.Release) error {
	if len(c.spec.Offers) == 0 {
		return nil
	}
	has := map[string][]string{} // versions by name
	lists := listsOf(r)
	if len(lists) == 0 {
		for file := range r.Files {
			if strings.Contains(file, "/binary-"+runtime.GOARCH+"/Packages.") {
				return found(Unknown, "what the index offers cannot be read: it has %s, neither plain nor packed with gzip", file)
			}
		}
		return found(WrongContent, "the index has no list of packages for %s", runtime.GOARCH)
	}
	for _, list := range lists {
		text, err := c.list(ctx, list, r.Files[list])
		if err != nil {
			return err
		}
		all, err := apt.ReadPackages(bytes.NewReader(text))
		if err != nil {
			return found(WrongContent, "%s cannot be read: %v", list, err)
		}
		for _, p := range all {
			has[p.Name] = append(has[p.Name], p.Version)
		}
	}
	var lacks []string
	for _, want := range c.spec.Offers {
		name, version, _ := strings.Cut(want, "=")
		if !slices.Contains(has[name], version) {
			c.out.Lacks = append(c.out.Lacks, want)
			lacks = append(lacks, want+" ("+there(has[name])+")")
		}
	}
	if len(lacks) > 0 {
		return found(WrongContent, "the index is older than the release needs: it does not offer %s", strings.Join(lacks, ", "))
	}
	return nil
}

func there(versions []string) string {
	if len(versions) == 0 {
		return "it has no such package"
	}
	return "it has " + strings.Join(versions, ", ")
}

// listsOf are the lists of packages for this machine, each in one form that can be read here.
func listsOf(r apt.Release) []string {
	var all []string
	for file := range r.Files {
		if name, packed := strings.CutSuffix(file, ".gz"); packed || r.Files[file+".gz"].SHA256 == "" {
			if path.Base(name) == "Packages" && path.Base(path.Dir(name)) == "binary-"+runtime.GOARCH {
				all = append(all, file)
			}
		}
	}
	slices.Sort(all)
	return all
}

// list fetches one list of packages over a connection of its own, and verifies it by the index.
func (c *conversation) list(ctx context.Context, file string, want apt.Hash) ([]byte, error) {
	if want.Size > maxList {
		return nil, found(Unknown, "%s has %d bytes, more than are looked at", file, want.Size)
	}
	again := *c
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", c.conn.RemoteAddr().String())
	if err != nil {
		return nil, found(Unknown, "the index was there, and its list of packages could not be asked for: %v", err)
	}
	defer conn.Close()
	defer boundBy(ctx, conn)()
	again.conn = conn
	at := path.Join(path.Dir(c.spec.Path), file)
	a, err := again.fetch(ctx, at, c.spec.TLS)
	if err != nil {
		return nil, err
	}
	sum := func(body []byte) bool {
		s := sha256.Sum256(body)
		return hex.EncodeToString(s[:]) == want.SHA256
	}
	if err := again.whole(a, at, "the list that the index promises", maxList, sum); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(file, ".gz") {
		return a.body, nil
	}
	text, err := unpacked(a.body)
	if err != nil {
		return nil, found(WrongContent, "%s cannot be read: %v", file, err)
	}
	return text, nil
}

func unpacked(packed []byte) ([]byte, error) {
	in, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpacking it: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(in, maxList+1))
	if err == nil && len(text) > maxList {
		err = fmt.Errorf("it has more than %d bytes", maxList)
	}
	if err != nil {
		return nil, fmt.Errorf("unpacking it: %w", err)
	}
	return text, nil
}
