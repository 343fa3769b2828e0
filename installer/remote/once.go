package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// oncePrefix is how the folder begins that an agent is in which leaves nothing. It is
// in /var/lib because /run and /tmp may be mounted noexec.
const oncePrefix = "/var/lib/.valtctl-once."

// onceScript runs as root and starts an agent that leaves nothing. Like installScript
// it is constant and passes every login shell; its positional arguments are nonce, hash
// and size. The binary comes over standard input and what follows it there is for the
// agent, which is sent nothing before it announced itself, so that it does not matter
// how much head reads at once. The agent removes its folder as it starts; the trap does
// it if the upload ends early or the agent cannot be started, and a folder that not even
// the trap could remove (a power cut) goes with the next one. The login's end is the end
// of standard input; a link that died in silence meets the timeout, of an hour.
const onceScript = `set -eu;
umask 077;
nonce=$1; hash=$2; size=$3;
find /var/lib -maxdepth 1 -name ".valtctl-once.*" -mmin +120 -exec rm -rf {} +;
dir=$(mktemp -d ` + oncePrefix + `XXXXXXXXXX); program=$dir/valtctl;
trap "rm -rf $dir" EXIT;
trap "exit 77" HUP INT TERM PIPE;
echo; echo "valtctl/install/1 $nonce 0";
timeout --foreground 3600 head -c $size >$program || exit 73;
if test $(stat -c %s $program) -lt $size; then exit 74; fi;
if test "$(sha256sum <$program | cut -c 1-64)" = "$hash"; then :; else exit 76; fi;
chmod 0700 $program;
$program agent --once $nonce || exit $?`

// once uploads the agent and starts it in the same session, so that nothing of it is on
// the host from then on. On this machine itself there is nothing to upload.
func (c *Conn) once(ctx context.Context, a Agent) (*Process, error) {
	if _, local := c.run.(localRunner); local && a.Path != "" {
		return c.launch(ctx, a.Path)
	}
	nonce := newNonce()
	t := task{
		argv:  []string{"sh", "-c", strings.ReplaceAll(onceScript, "\n", " "), "valtctl", nonce, a.Hash, strconv.FormatInt(a.Size, 10)},
		nonce: nonce, ready: "valtctl/install/1 " + nonce, path: oncePrefix,
	}
	p, _, err := c.asRoot(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("uploading it: %w", err)
	}
	if err := c.feed(ctx, t, p, a); err != nil {
		p.command.stop()
		return nil, fmt.Errorf("uploading it: %w", err)
	}
	return p, nil
}

// feed sends the binary and waits for the agent's own announcement.
func (c *Conn) feed(ctx context.Context, t task, p *Process, a Agent) error {
	defer context.AfterFunc(ctx, p.command.stop)()
	sent := pour(p.command.stdin, a, 0, p.command.stop)
	if sent != nil {
		p.command.stdin.Close() // the host removes what there is, and says if it ended this
	}
	timer := newPatience(c.opts.StartTimeout, p.command.stop)
	defer timer.end()
	_, err := awaitLine(p.out, Ready(t.nonce))
	if err == nil {
		return nil
	}
	return explainOnce(c.whyNotStarted(ctx, t, p, timer, err), sent)
}

// explainOnce names what the script's exit code says; sent is what went wrong here.
func explainOnce(err, sent error) error {
	var exited *exitError
	if !errors.As(err, &exited) {
		return errors.Join(err, sent)
	}
	switch exited.code {
	case exitShort:
		return errors.Join(errors.New("it was cut short, and nothing of it stays on the host"), sent)
	case exitMismatch:
		return errMismatch
	case exitNoCopy:
		if errors.Is(sent, io.EOF) { // the consequence, not the cause
			return err
		}
	}
	return errors.Join(err, sent)
}

// RemoveOnce removes the running program and its folder if it was uploaded to leave
// nothing. It refuses any other program, whatever it was told.
func RemoveOnce(program string) error {
	dir := filepath.Dir(program)
	if !strings.HasPrefix(dir, oncePrefix) || filepath.Dir(dir) != filepath.Dir(oncePrefix) {
		return fmt.Errorf("removing %s: it is not an agent that was uploaded to leave nothing", program)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing this program from the host: %w", err)
	}
	return nil
}
