package apt

import (
	"context"
	"errors"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
)

// PackageState is what apt and dpkg say of themselves, for people.
type PackageState struct {
	Damage []string // what dpkg has left half done, a line each
	Lock   string   // who holds a lock of theirs; empty: nobody
	Held   []string // packages that a person asked to leave alone
	Broken string   // what apt-get check says of installed packages; empty: nothing
}

// LookAtPackages tells how apt and dpkg are, by their files and by apt-get check. It takes
// no lock, writes no cache and reads no package lists: what is installed decides.
func LookAtPackages(ctx context.Context, h *step.Machine) (PackageState, error) {
	var found PackageState
	state, err := readDpkg(h)
	if err != nil {
		return found, err
	}
	found.Damage = state.damage()
	for _, p := range state.packages {
		if strings.HasPrefix(p.Abbrev, "h") {
			found.Held = append(found.Held, p.Name)
		}
	}
	slices.Sort(found.Held)
	who, err := lockHolder(h)
	if who != nil {
		found.Lock = who.String()
	}
	var checkErr error
	found.Broken, checkErr = aptCheck(ctx, h)
	return found, errors.Join(err, checkErr)
}

// Question is apt-get's argv for a question: without its locks and without a cache on
// the disk, so that asking changes nothing (apt.conf(5), Dir::Cache).
func Question(args ...string) []string {
	return aptGet(append([]string{"-qq", "-o", "Debug::NoLocking=true", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="}, args...)...)
}

// aptCheck is what apt-get check complains of. Without sources it reads dpkg's status
// alone, which is all it needs, and is ten times as fast.
func aptCheck(ctx context.Context, h *step.Machine) (string, error) {
	out, err := h.Run.Run(ctx, step.Command{Env: Environment(),
		Argv: Question("-o", "quiet=0", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=/dev/null", "check")})
	if err == nil {
		return "", nil
	}
	if ctx.Err() == nil && out.Code > 0 {
		return complaints(string(out.Stdout) + string(out.Stderr)), nil
	}
	return "", err
}

// complaints is apt's output without what it says it is doing ("Reading package lists...").
func complaints(output string) string {
	var kept []string
	for line := range strings.Lines(strings.ToValidUTF8(output, "?")) {
		if line = strings.TrimRight(line, "\r\n "); line != "" && !strings.HasSuffix(line, "...") && !strings.HasSuffix(line, "... Done") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
