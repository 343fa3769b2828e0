package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/sleep"
)

// What apt needs to read a bundle: sources, lists and a login of its own, so that the
// host's stay what they are.
const (
	carriedFolder  = "/var/lib/valtctl/apt"
	carriedSources = carriedFolder + "/sources.d"
	carriedLists   = carriedFolder + "/lists"
	carriedLogin   = "/run/valtctl/apt-login"
)

// carriedOptions make apt read the bundle and nothing else. Its dates are not judged again:
// the whole bundle was, at the time it was signed. A proxy of the host is not asked for
// what is on the host itself, where it would answer with an error.
func carriedOptions() []string {
	return []string{"-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + carriedSources, "-o", "Dir::State::lists=" + carriedLists,
		"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "Dir::Etc::netrc=" + carriedLogin, "-o", "Dir::Etc::netrcparts=/dev/null",
		"-o", "Acquire::http::Proxy::127.0.0.1=DIRECT", "-o", "Acquire::Languages=none", "-o", "Acquire::By-Hash=no", "-o", "Acquire::CompressionTypes::Order::=gz",
		"-o", "Acquire::Check-Date=false", "-o", "Acquire::Check-Valid-Until=false", "-o", "APT::Sandbox::User=root"}
}

// useBundle has apt read the bundle that a secret tells of, by our own sources. In the apply
// half the secret is gone, and apt works from the lists and files that it has by then.
func (t *transaction) useBundle(secret string) error {
	if secret == "" {
		return nil
	}
	c, err := t.reachBundle(secret)
	if errors.Is(err, step.ErrSecretGone) {
		return nil
	}
	if err != nil {
		return err
	}
	sources, err := ownSources(t.h)
	if err != nil {
		return err
	}
	return t.carrySources(c, sources)
}

// reachBundle makes the folders that apt reads a bundle in, and gives it the login.
func (t *transaction) reachBundle(secret string) (step.Carried, error) {
	t.more = carriedOptions()
	c, err := step.ReadCarried(t.h, secret)
	if err == nil {
		err = c.Ours()
	}
	if err != nil {
		return step.Carried{}, err
	}
	t.secret, t.given = secret, c
	for _, dir := range []string{carriedSources, carriedLists + "/partial", path.Dir(carriedLogin)} {
		if err := durable.MkdirAll(t.h.Path(dir), 0o755); err != nil {
			return step.Carried{}, fmt.Errorf("having apt read the bundle: %w", err)
		}
	}
	login := fmt.Sprintf("machine http://%s/ login %s password %s\n", c.Address, c.User, c.Password)
	return c, durable.WriteFile(t.h.Path(carriedLogin), []byte(login), 0o600)
}

// A link that was lost is back within seconds, or its controller is gone.
const (
	renewPause = time.Second
	renewTries = 15
)

// refusedLogin is what apt says of a server that does not know its password.
var refusedLogin = regexp.MustCompile(`\b401 +Unauthorized\b`)

// renewed says whether apt failed because the bundle answers, at the same place, to another password than it was
// given, as it does over every new connection; and gives it that one. The transaction is told a moment later.
func (t *transaction) renewed(ctx context.Context, out step.Output) bool {
	if t.secret == "" || !refusedLogin.Match(out.Stderr) {
		return false
	}
	for range renewTries {
		c, err := step.ReadCarried(t.h, t.secret)
		if err != nil || c.Address != t.given.Address {
			return false // its lists are another address's
		}
		if c != t.given {
			_, err := t.reachBundle(t.secret)
			return err == nil
		}
		if sleep.For(ctx, renewPause) != nil {
			return false
		}
	}
	return false
}

// ownSources are the contents of our own source files, by their names.
func ownSources(h *step.Machine) (map[string][]byte, error) {
	files, err := filepath.Glob(h.Path(sourcesFolder) + "/*.sources")
	if err != nil {
		return nil, fmt.Errorf("having apt read the bundle: %w", err)
	}
	ours := map[string][]byte{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("having apt read the bundle: %w", err)
		}
		if bytes.HasPrefix(content, []byte("# "+sourceComment)) {
			ours[filepath.Base(file)] = content
		}
	}
	return ours, nil
}

// carrySources writes sources again, with the bundle's address. What signs them stays what
// it is.
func (t *transaction) carrySources(c step.Carried, sources map[string][]byte) error {
	for name, content := range sources {
		to := t.h.Path(path.Join(carriedSources, name))
		want := carriedSource(content, c.Address, strings.TrimSuffix(name, ".sources"))
		if was, err := step.ReadIfThere(to); err == nil && bytes.Equal(was, want) {
			continue // its time stays too, so that lists are refreshed once
		}
		if err := durable.WriteFile(to, want, 0o644); err != nil {
			return err
		}
	}
	return t.dropOtherSources(sources)
}

func (t *transaction) dropOtherSources(ours map[string][]byte) error {
	entries, err := os.ReadDir(t.h.Path(carriedSources))
	if err != nil {
		return fmt.Errorf("having apt read the bundle: %w", err)
	}
	for _, e := range entries {
		if ours[e.Name()] != nil {
			continue
		}
		if err := durable.Remove(t.h.Path(path.Join(carriedSources, e.Name()))); err != nil {
			return fmt.Errorf("having apt read the bundle: %w", err)
		}
	}
	return nil
}

// carriedSource puts the bundle's address in place of a source's own. Other indexes than
// those of packages, which a host's configuration may want, are not in a bundle.
func carriedSource(content []byte, address, name string) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "URIs:") {
			line = fmt.Sprintf("URIs: http://%s/apt/%s/\nTargets: Packages\n", address, name)
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}
