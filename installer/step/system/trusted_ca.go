package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/repos/durable"
)

// Where ca-certificates looks for a site's own authorities, and what it makes of all
// (update-ca-certificates(8)).
const (
	authorities  = "/usr/local/share/ca-certificates"
	trustFolder  = "/etc/ssl/certs"
	trustBundle  = trustFolder + "/ca-certificates.crt"
	trustUpdater = "/usr/sbin/update-ca-certificates"
	// trustDraft is what the updater appends to before it renames it. One that a power cut
	// left behind would be appended to again, and every authority be in the bundle twice.
	trustDraft  = trustBundle + ".new"
	trustPrefix = "valtctl-" // of every file of ours
)

// Authority is one certificate authority, or a chain of them, in PEM.
type Authority struct {
	Name string `json:"name"` // lower-case letters, digits, - and .
	PEM  string `json:"pem"`
}

// TrustedCAParams is every authority that the site adds. Ours that are not in it are removed.
type TrustedCAParams struct {
	Certificates []Authority `json:"certificates"`
}

// KindTrustedCA names what TrustedCAKind makes.
const KindTrustedCA step.KindName = "trusted-ca"

// TrustedCAKind makes the whole host trust the site's own certificate authorities. It
// also works before the package ca-certificates is there, by writing the bundle that apt and Docker read;
// the package takes the same files up when it comes.
func TrustedCAKind() step.Kind {
	return step.KindOf(KindTrustedCA, step.Reversible, func(p TrustedCAParams) (step.Step, error) { return newTrustedCA(p) })
}

// trustedCA holds one certificate a file, since update-ca-certificates links no file
// that holds several.
type trustedCA struct {
	files []trustFile
}

type trustFile struct {
	path    string
	content []byte
	sum     [sha256.Size]byte // of the certificate's DER form
	subject string
}

func newTrustedCA(p TrustedCAParams) (*trustedCA, error) {
	t := &trustedCA{}
	for _, a := range p.Certificates {
		if err := apt.CheckPackageWord(a.Name); err != nil {
			return nil, fmt.Errorf("reading the authority %q: its name needs lower-case letters, digits, - or . only", a.Name)
		}
		files, err := trustFiles(a)
		if err != nil {
			return nil, fmt.Errorf("reading the authority %s: %w", a.Name, err)
		}
		t.files = append(t.files, files...)
	}
	for i, f := range t.files {
		if slices.ContainsFunc(t.files[:i], func(o trustFile) bool { return o.path == f.path }) {
			return nil, fmt.Errorf("reading the authorities: two are named so that they need the file %s", f.path)
		}
	}
	return t, nil
}

func trustFiles(a Authority) ([]trustFile, error) {
	var files []trustFile
	certificates, err := readCertificates([]byte(a.PEM))
	if err != nil {
		return nil, err
	}
	for i, c := range certificates {
		name := trustPrefix + a.Name
		if i > 0 {
			name = fmt.Sprintf("%s-%d", name, i+1)
		}
		files = append(files, trustFile{
			path: path.Join(authorities, name+".crt"), subject: c.Subject.String(), sum: sha256.Sum256(c.Raw),
			content: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}),
		})
	}
	if len(files) == 0 {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return files, nil
}

func readCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s, not only certificates", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading certificate %d: %w", len(all)+1, err)
		}
		all, text = append(all, c), rest
	}
}

func (t *trustedCA) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	var diff strings.Builder
	bundle, err := bundleSums(h)
	if err != nil {
		return step.Finding{}, err
	}
	for _, f := range t.files {
		was, err := step.ReadIfThere(h.Path(f.path))
		if err != nil {
			return step.Finding{}, err
		}
		switch {
		case !bytes.Equal(was, f.content):
			fmt.Fprintf(&diff, "+ %s (%s)\n", f.path, f.subject)
		case !bundle[f.sum]:
			fmt.Fprintf(&diff, "+ %s in %s\n", f.path, trustBundle)
		}
	}
	stray, err := t.stray(h)
	if err != nil {
		return step.Finding{}, err
	}
	if _, err := os.Lstat(h.Path(trustDraft)); err == nil {
		stray = append(stray, trustDraft)
	}
	for _, file := range stray {
		fmt.Fprintf(&diff, "- %s\n", file)
	}
	return step.Finding{Change: diff.Len() > 0, Diff: diff.String(), Disrupts: step.Nothing}, nil
}

// stray lists files and links of ours for authorities that are no longer wanted. A link
// without its file is what a run leaves that was killed before the bundle was made anew.
func (t *trustedCA) stray(h *step.Machine) ([]string, error) {
	var stray []string
	for dir, end := range map[string]string{authorities: ".crt", trustFolder: ".pem"} {
		entries, err := os.ReadDir(h.Path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing trusted authorities: %w", err)
		}
		for _, e := range entries {
			name, ours := strings.CutPrefix(e.Name(), trustPrefix)
			name, ends := strings.CutSuffix(name, end)
			if ours && ends && !t.wants(name) {
				stray = append(stray, path.Join(dir, e.Name()))
			}
		}
	}
	slices.Sort(stray)
	return stray, nil
}

func (t *trustedCA) wants(name string) bool {
	return slices.ContainsFunc(t.files, func(f trustFile) bool {
		return f.path == path.Join(authorities, trustPrefix+name+".crt")
	})
}

func (t *trustedCA) Apply(ctx context.Context, h *step.Machine) error {
	for _, f := range t.files {
		if err := step.WriteFile(h, f.path, f.content, step.Owner{Mode: 0o644}); err != nil {
			return err
		}
	}
	stray, err := t.stray(h)
	if err != nil {
		return err
	}
	for _, file := range stray {
		if path.Dir(file) != authorities {
			continue
		}
		if err := step.RemoveFile(h, file); err != nil {
			return err
		}
	}
	if err := step.KeepFile(h, trustBundle); err != nil {
		return err
	}
	if err := durable.Remove(h.Path(trustDraft)); err != nil {
		return fmt.Errorf("removing what an update of the bundle left that was cut off: %w", err)
	}
	if _, err := os.Stat(h.Path(trustUpdater)); errors.Is(err, fs.ErrNotExist) {
		return t.writeBundle(h)
	}
	if err := t.unlink(h, stray); err != nil {
		return err
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{trustUpdater}}); err != nil {
		return fmt.Errorf("making %s: %w", trustBundle, err)
	}
	return nil
}

// Undo puts back the authorities and what is made of them.
func (t *trustedCA) Undo(ctx context.Context, h *step.Machine) error {
	any, err := step.PutBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := os.Stat(h.Path(trustUpdater)); errors.Is(err, fs.ErrNotExist) {
		return nil // the bundle itself was kept
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{trustUpdater}}); err != nil {
		return fmt.Errorf("making %s: %w", trustBundle, err)
	}
	return nil
}

// unlink removes our links, for the updater to make anew those that are wanted: it hashes
// the folder, and takes away links without a file, only where it has linked something. A
// run that was cut off between the two would otherwise leave links by name alone for good,
// and programs that look for them by hash find none.
func (t *trustedCA) unlink(h *step.Machine, stray []string) error {
	links := slices.DeleteFunc(slices.Clone(stray), func(file string) bool { return path.Dir(file) != trustFolder })
	for _, f := range t.files {
		links = append(links, path.Join(trustFolder, strings.TrimSuffix(path.Base(f.path), ".crt")+".pem"))
	}
	for _, link := range links {
		if err := durable.Remove(h.Path(link)); err != nil {
			return fmt.Errorf("removing %s: %w", link, err)
		}
	}
	return nil
}

// writeBundle adds ours to a bundle that no package manages yet.
func (t *trustedCA) writeBundle(h *step.Machine) error {
	there, err := step.ReadIfThere(h.Path(trustBundle))
	if err != nil {
		return err
	}
	sums, err := bundleSums(h)
	if err != nil {
		return err
	}
	if len(there) > 0 && !bytes.HasSuffix(there, []byte("\n")) {
		there = append(there, '\n')
	}
	for _, f := range t.files {
		if !sums[f.sum] {
			there = append(there, f.content...)
		}
	}
	return step.WriteFile(h, trustBundle, there, step.Owner{Mode: 0o644})
}

// bundleSums are the certificates that the host trusts, by the SHA-256 of their DER form.
func bundleSums(h *step.Machine) (map[[sha256.Size]byte]bool, error) {
	text, err := step.ReadIfThere(h.Path(trustBundle))
	if err != nil {
		return nil, fmt.Errorf("reading what the host trusts: %w", err)
	}
	sums := map[[sha256.Size]byte]bool{}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return sums, nil
		}
		sums[sha256.Sum256(block.Bytes)] = true
		text = rest
	}
}
