package cases

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// victimsScript makes what the links lead to: a folder of root's elsewhere, and one in the login's own folder, each
// with a file that only root may read or write.
const victimsScript = `set -e
for v in /etc/valtlab-victim /home/valt/victim; do
  mkdir -p "$v"
  echo root:hash >"$v/shadow"
  cp "$v/shadow" "$v/authorized_keys"
  chown -R root:root "$v"
  chmod 700 "$v"
  chmod 600 "$v"/*
done`

// victimsState is all that these folders are.
const victimsState = `find /etc/valtlab-victim /home/valt/victim /root/.ssh -printf '%p %U:%G %m %y %l %s\n' 2>/dev/null | sort
cat /etc/valtlab-victim/* /home/valt/victim/*
ls -dl /etc /root /home | cut -d' ' -f1,3,4`

// swapper runs as the login. It puts links in the place of its .ssh folder, and of the file in it, and takes them
// away, thousands of times a minute; most of the time the folder is what sshd wants. Both change places at once
// (renameat2(2), RENAME_EXCHANGE), so that nothing is missing at any moment.
const swapper = `
import ctypes, os, random, time
libc = ctypes.CDLL(None, use_errno=True)
def exchange(a, b):
    return libc.renameat2(-100, a.encode(), -100, b.encode(), 2) == 0
os.chdir("/home/valt")
swaps = 0
def put(name, targets, hold):
    global swaps
    link = name + ".link"
    try:
        os.unlink(link)
    except OSError:
        pass
    try:
        os.symlink(random.choice(targets), link)
    except OSError:
        return
    if exchange(name, link):
        swaps += 1
        time.sleep(hold)
        exchange(name, link)
end = time.time() + 3600
while time.time() < end:
    hold = random.random() * 0.004
    if random.random() < 0.5:
        put(".ssh", ["/etc/valtlab-victim", "/home/valt/victim", "/root/.ssh"], hold)
    else:
        put(".ssh/authorized_keys", ["/etc/valtlab-victim/authorized_keys", "/home/valt/victim/shadow", "/etc/shadow", "/root/.ssh/authorized_keys"], hold)
    time.sleep(random.random() * 0.012)
    if swaps % 50 == 0:
        with open("swaps", "w") as f:
            f.write(str(swaps))
`

// swapperUnit is the transient unit that it runs in.
const swapperUnit = "valtlab-swapper.service"

// linksSwapped has a login swap what it owns with links while root writes below its folder, in real transactions:
// those that give the key of unattended updates access, and another key. What the links lead to stays what it was.
func linksSwapped(ctx context.Context, e *Env) (err error) {
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	target := media[e.Random.IntN(len(media))]
	if err := e.Timed("enabled", func() error { return e.scheduled(ctx, "canary", everyNight) }); err != nil {
		return err
	}
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, e.stopSwapping(clean, target.Name), e.unscheduled(clean))
		_, removed := e.Lab.Output(clean, target.Name, "rm", "-rf", "/etc/valtlab-victim", "/home/valt/victim", "/home/valt/swaps")
		err = errors.Join(err, removed)
	}()
	if _, err := e.Lab.Output(ctx, target.Name, "sh", "-c", victimsScript); err != nil {
		return err
	}
	before, err := e.Lab.Output(ctx, target.Name, "sh", "-c", victimsState)
	if err != nil {
		return err
	}
	if _, err := e.Lab.Output(ctx, target.Name, "systemd-run", "--quiet", "--collect", "--unit", swapperUnit, "--uid", lab.DefaultUser, "python3", "-c", swapper); err != nil {
		return err
	}
	if err := e.rotateOften(ctx, target, before); err != nil {
		return err
	}
	if err := e.stopSwapping(ctx, target.Name); err != nil {
		return err
	}
	_, err = e.Expect(ctx, 0, "schedule", "rotate", "--yes", "--site", scheduledFile)
	return err
}

// rotateOften makes transactions that write the login's keys, and looks after each at what the links lead to.
func (e *Env) rotateOften(ctx context.Context, target lab.Host, before string) error {
	times := 100
	if e.Sample {
		times = 12
	}
	done, refused, unheard := 0, 0, 0
	for range times {
		result, err := e.Run(ctx, "schedule", "rotate", "--yes", "--site", scheduledFile)
		if err != nil {
			return err
		}
		said := result.Stdout + result.Stderr
		switch {
		case result.Code == 0:
			done++
		case strings.Contains(said, "is a link or a special file"):
			refused++
		case strings.Contains(said, "unable to authenticate") || strings.Contains(said, "publickey"):
			unheard++ // sshd reads the login's folder too
		default:
			return fmt.Errorf("it ends with %d, and says nothing of links: %s", result.Code, said)
		}
		after, err := e.Lab.Output(ctx, target.Name, "sh", "-c", victimsState)
		if err != nil {
			return err
		}
		if after != before {
			return fmt.Errorf("a link was won: %s\nwas\n%s", after, before)
		}
	}
	swaps, err := e.Lab.Output(ctx, target.Name, "cat", "/home/valt/swaps")
	if err != nil {
		return fmt.Errorf("nothing was swapped: %w", err)
	}
	e.Measure("transactions", "%d: %d done, %d refused for a link, %d times sshd let nobody in; %s swaps", times, done, refused, unheard, swaps)
	if done == 0 {
		return fmt.Errorf("of %d transactions none came through, so nothing was written", times)
	}
	return nil
}

// stopSwapping ends it, and puts the login's folder right where it was ended in the middle of a swap.
func (e *Env) stopSwapping(ctx context.Context, host string) error {
	_, err := e.Lab.Output(ctx, host, "sh", "-c", `systemctl stop --quiet `+swapperUnit+` 2>/dev/null
cd /home/valt
for name in .ssh .ssh/authorized_keys; do
  if [ -L "$name" ] && [ -e "$name.link" ]; then mv -T "$name.link" "$name.own"; rm "$name"; mv -T "$name.own" "$name"; fi
  if [ -L "$name.link" ]; then rm "$name.link"; fi
done
[ -s .ssh/authorized_keys ]`)
	return err
}
