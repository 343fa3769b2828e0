package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// installScript runs as root and brings the agent's binary into its folder. It is
// constant; what varies are the positional arguments: nonce, hash, size and the file to
// take it from ("-": standard input). It holds a lock, so that of two controllers the
// later finds the work of the first; it goes on from a partial file; it verifies the
// hash of root's own copy before the rename, since the login could still write to its
// own. That file is in the login's folder, where it may become a link at any moment: as the login
// it is opened, so that nothing is read that the login may not read, and no more of it than the agent has. LF becomes a space on the way, and quotes, backslashes and exclamation marks are
// absent, so that every login shell passes it on unharmed.
const installScript = `set -eu;
umask 022;
nonce=$1; hash=$2; size=$3; from=$4;
base=` + AgentRoot + `; final=$base/$hash/valtctl; part=$base/.$hash.part;
mkdir -p $base/$hash;
exec 9>$base/.lock;
flock -w 30 9 || exit 75;
say() { echo; echo "valtctl/install/1 $nonce $1"; };
sum() { sha256sum <"$1" | cut -c 1-64; };
as() { if test "${SUDO_UID:-0}" = 0; then "$@"; else setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --clear-groups "$@"; fi; };
drop() { case $from in -) ;; *) as rm -f "$from";; esac; };
if test -x "$final" && test "$(sum "$final")" = "$hash"; then drop; say $size; exit 0; fi;
have=$(stat -c %s "$part" 2>/dev/null || echo 0);
if test "$have" -gt "$size"; then rm -f "$part"; have=0; fi;
if test "$from" = -; then say "$have"; cat >>"$part" || { rm -f "$part"; exit 73; };
else say "$size"; as timeout 600 head -c "$size" "$from" >"$part" || { rm -f "$part"; exit 73; }; fi;
if test "$(stat -c %s "$part")" -lt "$size"; then exit 74; fi;
if test "$(sum "$part")" = "$hash"; then :; else rm -f "$part"; drop; exit 76; fi;
chown 0:0 "$part"; chmod 0755 "$part"; sync "$part";
mv -f "$part" "$final"; sync "$base/$hash";
drop`

// What installScript's exit codes mean.
const (
	exitNoCopy   = 73 // copying failed; standard error says why
	exitShort    = 74 // the bytes ended early
	exitLocked   = 75
	exitMismatch = 76
)

// errMismatch says that what arrived on the host is not the agent.
var errMismatch = errors.New("what arrived has another hash")

// install uploads the agent: by SFTP where that works, else over standard input.
func (c *Conn) install(ctx context.Context, a Agent) error {
	path, err := c.run.send(ctx, a)
	if err != nil {
		return fmt.Errorf("uploading it: %w", err)
	}
	err = c.adopt(ctx, a, path)
	if err != nil && path != "-" && ctx.Err() == nil && !errors.Is(err, ErrSudo) {
		// Root may not be able to read the login's folder (NFS), or the file that an
		// earlier upload left there is spoiled. Standard input needs neither.
		err = c.adopt(ctx, a, "-")
	}
	if err != nil {
		return fmt.Errorf("installing it: %w", err)
	}
	return nil
}

// adopt has root take the binary from path.
func (c *Conn) adopt(ctx context.Context, a Agent, path string) error {
	nonce := newNonce()
	script := strings.ReplaceAll(installScript, "\n", " ")
	p, rest, err := c.asRoot(ctx, task{
		argv:  []string{"sh", "-c", script, "valtctl", nonce, a.Hash, strconv.FormatInt(a.Size, 10), path},
		nonce: nonce, ready: "valtctl/install/1 " + nonce,
	})
	if err != nil {
		return explainInstall(err)
	}
	defer p.Close()
	defer context.AfterFunc(ctx, p.command.stop)()
	have, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return fmt.Errorf("reading the host's answer %q: %w", rest, err)
	}
	sent := pour(p.command.stdin, a, have, p.command.stop)
	p.command.stdin.Close() // the end of what the script copies
	defer time.AfterFunc(stalledAfter, p.command.stop).Stop()
	if _, err := io.Copy(io.Discard, p.out); err != nil {
		return errors.Join(fmt.Errorf("waiting for the host: %w", err), ctx.Err())
	}
	code, err := p.command.wait()
	switch {
	case err != nil:
		return fmt.Errorf("waiting for the host: %w", err)
	case code == 0:
		return nil
	case code == exitMismatch:
		return errMismatch
	case code == exitShort:
		return errors.Join(errors.New("the upload was cut short; the next one goes on from there"), sent)
	}
	p.errs.wait()
	return explainFailure("", p.errs.text(), code)
}

// explainInstall names what the script found before it said anything.
func explainInstall(err error) error {
	var exited *exitError
	if errors.As(err, &exited) && exited.code == exitLocked {
		return fmt.Errorf("another upload to this host is running: %w", err)
	}
	return err
}

// stalledAfter is how long a host may take no byte of an upload, or go on after the last one.
const stalledAfter = 5 * time.Minute

// moving gives up once r was not read from for stalledAfter, unless it was ended before.
func moving(r io.Reader, giveUp func()) (watched io.Reader, end func()) {
	timer := time.AfterFunc(stalledAfter, giveUp)
	return readerFunc(func(b []byte) (int, error) {
		timer.Reset(stalledAfter)
		return r.Read(b)
	}), func() { timer.Stop() }
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// pour writes the binary from offset on to w.
func pour(w io.Writer, a Agent, offset int64, giveUp func()) error {
	if offset == a.Size {
		return nil
	}
	file, err := a.Open()
	if err != nil {
		return fmt.Errorf("opening the agent's binary: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("reading the agent's binary: %w", err)
	}
	watched, end := moving(a.counted(file, offset), giveUp)
	defer end()
	if _, err := io.Copy(w, watched); err != nil {
		return fmt.Errorf("sending the agent's binary: %w", err)
	}
	return nil
}

// counted reports what is read from r as progress.
func (a Agent) counted(r io.Reader, offset int64) io.Reader {
	if a.Progress == nil {
		return r
	}
	return &progressReader{Reader: r, done: offset, agent: a}
}

type progressReader struct {
	io.Reader
	done  int64
	agent Agent
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.done += int64(n)
	p.agent.Progress(p.done, p.agent.Size)
	return n, err
}
