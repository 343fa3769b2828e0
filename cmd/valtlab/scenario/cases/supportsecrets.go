package cases

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// supportSecrets plants ten secrets where an archive for support reads, beside each a word
// that is none, and wants every word in the archive and no secret, in any form.
func supportSecrets(ctx context.Context, e *Env) (err error) {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	site, err := e.siteWith("\n")
	if err != nil {
		return err
	}
	all, err := e.plants(ctx, site)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.uproot(context.WithoutCancel(ctx))) }()
	for _, p := range all {
		if err := p.planted(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	e.Measure("planted", "%d secrets, each found where it was put", len(all))
	for _, form := range []struct {
		name string
		args []string
	}{{"support.tar.gz", nil}, {"hidden.tar.gz", []string{"--hide-addresses"}}} {
		files, err := e.bundled(ctx, site, form.name, 0, form.args...)
		if err != nil {
			return err
		}
		if err := harmless(all, files); err != nil {
			return fmt.Errorf("%s: %w", form.name, err)
		}
		if err := listed(files); err != nil {
			return fmt.Errorf("%s: %w", form.name, err)
		}
		if form.args == nil {
			continue
		}
		if err := e.anonymous(files); err != nil {
			return err
		}
	}
	return e.withoutOne(ctx, site, all)
}

// plant is one secret, and a word beside it that is none.
type plant struct {
	name, secret, marker string
	put                  func(ctx context.Context) error
	// place is what is at the place where it was put.
	place func(ctx context.Context) (string, error)
}

// planted puts it there, and finds it there in the way in which the archive is searched: a
// search that finds nothing anywhere would prove nothing.
func (p plant) planted(ctx context.Context) error {
	if err := p.put(ctx); err != nil {
		return err
	}
	text, err := p.place(ctx)
	if err != nil {
		return err
	}
	if form := leaks(text, p.secret); form == "" || !strings.Contains(text, p.marker) {
		return fmt.Errorf("it is not where it was planted: %.300s", text)
	}
	return nil
}

// leaks says in which form a text has a secret, or half of it, as a wrapped line leaves it;
// empty: in none.
func leaks(text, secret string) string {
	for _, part := range []string{secret, secret[:len(secret)/2], secret[len(secret)/2:]} {
		forms := map[string]string{
			"as it is": part, "URL-encoded": url.QueryEscape(part), "hex": hex.EncodeToString([]byte(part)),
			"reversed in a URL": strings.ToLower(url.QueryEscape(part)),
		}
		for shift, skip := range []int{0, 2, 3} { // base64 of it, wherever it stood
			padded := append(make([]byte, shift), part...)
			whole := len(padded) / 3 * 4
			forms[fmt.Sprintf("base64, %d on", shift)] = base64.StdEncoding.EncodeToString(padded)[skip:whole]
			forms[fmt.Sprintf("base64 of URLs, %d on", shift)] = base64.URLEncoding.EncodeToString(padded)[skip:whole]
		}
		for name, form := range forms {
			if strings.Contains(text, form) {
				return name
			}
		}
	}
	return ""
}

// bundled runs the command and unpacks what it wrote.
func (e *Env) bundled(ctx context.Context, site, name string, code int, args ...string) (map[string]string, error) {
	file := e.Lab.Path(name)
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing an earlier archive: %w", err)
	}
	defer os.Remove(file) // it is read below; nothing is lost if it stays
	result, err := e.Expect(ctx, code, append([]string{"support-bundle", "--site", site, "-o", name}, args...)...)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("looking at the archive: %w", err)
	}
	e.Measure(name, "%d kB in %.1f s", info.Size()/1000, result.Took.Seconds())
	if info.Mode().Perm() != 0o600 {
		return nil, fmt.Errorf("the archive has mode %o", info.Mode().Perm())
	}
	return unpacked(file)
}

func unpacked(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", file, err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", file, err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", file, err)
		}
		files[h.Name] = string(content)
	}
}

// harmless wants no secret in any file or its name, and the word beside each somewhere.
func harmless(all []plant, files map[string]string) error {
	var errs []error
	for _, p := range all {
		there := false
		for name, text := range files {
			if form := leaks(name+"\n"+text, p.secret); form != "" {
				errs = append(errs, fmt.Errorf("%s is in %s, %s", p.name, name, form))
			}
			there = there || strings.Contains(text, p.marker)
		}
		if !there {
			errs = append(errs, fmt.Errorf("%s: the word %s beside it is not in the archive, so its place is not read", p.name, p.marker))
		}
	}
	return errors.Join(errs...)
}

const manifestFile = "valtctl-support/MANIFEST.json"

type supportList struct {
	Files []struct {
		Path, Host, SHA256 string
		Bytes              int
	}
	Hosts []struct {
		Host    string
		Reached bool
		Problem string
	}
	Removed map[string]int
}

func readList(files map[string]string) (list supportList, err error) {
	if err := json.Unmarshal([]byte(files[manifestFile]), &list); err != nil {
		return list, fmt.Errorf("reading the list of the archive: %w", err)
	}
	return list, nil
}

// listed wants the list to name every file as it is, and what was taken out.
func listed(files map[string]string) error {
	list, err := readList(files)
	if err != nil {
		return err
	}
	if len(list.Files) != len(files)-1 || len(list.Removed) == 0 {
		return fmt.Errorf("the list has %d files of %d, and %d kinds of secrets", len(list.Files), len(files)-1, len(list.Removed))
	}
	for _, f := range list.Files {
		content, there := files["valtctl-support/"+f.Path]
		sum := sha256.Sum256([]byte(content))
		if !there || f.Bytes != len(content) || f.SHA256 != hex.EncodeToString(sum[:]) {
			return fmt.Errorf("%s is not as it is listed", f.Path)
		}
	}
	return nil
}

// anonymous wants no address, no host's name and not the site's in the archive.
func (e *Env) anonymous(files map[string]string) error {
	hosts, err := e.Lab.Hosts()
	if err != nil {
		return err
	}
	words := []string{"valt.lab.example"}
	for _, h := range hosts {
		words = append(words, h.Address.String())
		if h.Standard() {
			words = append(words, h.Name+"/", `"`+h.Name+`"`)
		}
	}
	for name, text := range files {
		for _, word := range words {
			if strings.Contains(name+"\n"+text, word) {
				return fmt.Errorf("with addresses hidden, %s is in %s", word, name)
			}
		}
	}
	return nil
}

// withoutOne makes an archive while a host is out of reach.
func (e *Env) withoutOne(ctx context.Context, site string, all []plant) (err error) {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	down := hosts[len(hosts)-1]
	if _, err := e.Lab.Output(ctx, down, "systemctl", "stop", "ssh.service"); err != nil {
		return fmt.Errorf("stopping SSH: %w", err)
	}
	defer func() {
		_, started := e.Lab.Output(context.WithoutCancel(ctx), down, "systemctl", "start", "ssh.service")
		err = errors.Join(err, started)
	}()
	files, err := e.bundled(ctx, site, "partial.tar.gz", 1)
	if err != nil {
		return err
	}
	list, err := readList(files)
	if err != nil {
		return err
	}
	var named bool
	for _, h := range list.Hosts {
		named = named || h.Host == down && !h.Reached && h.Problem != ""
	}
	others := slices.DeleteFunc(slices.Clone(list.Files), func(f struct {
		Path, Host, SHA256 string
		Bytes              int
	}) bool {
		return f.Host == "" || f.Host == down
	})
	if !named || len(others) == 0 {
		return fmt.Errorf("%s is out of reach: the list names it: %t, and has %d files of others", down, named, len(others))
	}
	for _, p := range all {
		for name, text := range files {
			if form := leaks(text, p.secret); form != "" {
				return fmt.Errorf("with %s out of reach, %s is in %s, %s", down, p.name, name, form)
			}
		}
	}
	return nil
}
