package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/sockets"
	"ipivs.com/valtctl/repos/problem"
)

// A port that somebody else holds keeps a container from starting, however often it is tried.
// Programs say it in the words of the C library, with the number of the port somewhere in the
// same line; the engine has words of its own for ports that it publishes.
var (
	takenWords = regexp.MustCompile(`(?i)address already in use|port is already allocated`)
	portNumber = regexp.MustCompile(`(?:[:\]]|port:? )(\d{1,5})\b`)
)

// lastWords is how many lines of a container's log are looked through for such a port, and
// maxWords how many bytes of them.
const (
	lastWords = 50
	maxWords  = 1 << 16
)

// startNoted is how long after a program has begun the engine may note when it did.
const startNoted = time.Second

// takenPorts are the ports that a text says are taken.
func takenPorts(text string) []uint16 {
	var ports []uint16
	for line := range strings.Lines(text) {
		if !takenWords.MatchString(line) {
			continue
		}
		for _, found := range portNumber.FindAllStringSubmatch(line, -1) {
			if n, err := strconv.ParseUint(found[1], 10, 16); err == nil && n > 0 {
				ports = append(ports, uint16(n))
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// portTaken is why a container that was started ends again and again, where that is a port which
// somebody else holds; nil: it is not, or that cannot be found out. What it said in an earlier
// life does not count.
func (c *containerStep) portTaken(ctx context.Context, engine *client.Client, which *container.InspectResponse) error {
	started, err := time.Parse(time.RFC3339Nano, which.State.StartedAt)
	if err != nil {
		return nil
	}
	log, err := engine.ContainerLogs(ctx, which.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true,
		Since: started.Add(-startNoted).Format(time.RFC3339Nano), Tail: strconv.Itoa(lastWords)})
	if err != nil {
		return nil
	}
	defer log.Close()
	text := &firstBytes{left: maxWords}
	_ = CopyLog(text, log) // what came of it is looked through
	held := holders(ctx, engine, takenPorts(text.String()))
	if len(held) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Failed, Doing: "waiting for container", Object: c.Name,
		Err: errors.New("it ends because " + strings.Join(held, ", ")), Fix: portFix}
}

// portFix is the way out where a port is taken.
const portFix = "find out what that is and whether it is needed; stop it or move it to another port, then run the command again"

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct {
	bytes.Buffer
	left int
}

func (b *firstBytes) Write(p []byte) (int, error) {
	kept := p[:min(len(p), b.left)]
	b.left -= len(kept)
	b.Buffer.Write(kept)
	return len(p), nil
}

// holders says of each of the ports on which somebody listens who that is. The engine is this
// machine's, so the kernel's tables are too.
func holders(ctx context.Context, engine *client.Client, ports []uint16) []string {
	open, err := sockets.Listening("")
	if err != nil {
		return nil
	}
	open = slices.DeleteFunc(open, func(s sockets.Socket) bool { return !slices.Contains(ports, s.At.Port()) })
	owners, _ := sockets.Owners(ctx, "", open) // who cannot be found is told as such
	var held []string
	for _, s := range open {
		text := fmt.Sprintf("port %d is held by %s", s.At.Port(), holder(ctx, engine, owners[s.Inode]))
		if !slices.Contains(held, text) { // once for IPv4 and IPv6
			held = append(held, text)
		}
	}
	return held
}

// holder names a process as somebody looks for it: by its program and number, and by the
// container or the service that it belongs to.
func holder(ctx context.Context, engine *client.Client, pid int) string {
	if pid == 0 {
		return "a process that cannot be seen"
	}
	text := fmt.Sprintf("%s, process %d", sockets.Program("", pid), pid)
	groups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // gone: it is told without
	group := deepestGroup(string(groups))
	if id := containerGroup.FindStringSubmatch(group); id != nil {
		found, err := engine.ContainerInspect(ctx, id[1])
		if err != nil {
			return text + " of a container that the engine does not know"
		}
		return text + " of container " + strings.TrimPrefix(found.Name, "/")
	}
	if path.Ext(group) == ".service" {
		return text + " of " + group
	}
	return text
}

// containerGroup is what the engine calls the group of a container, by itself or by way of systemd.
var containerGroup = regexp.MustCompile(`^(?:docker-)?([0-9a-f]{64})(?:\.scope)?$`)

// deepestGroup is the name of the group that a process is in, from its lines of cgroups(7): with
// several hierarchies, in the one that tells most.
func deepestGroup(lines string) string {
	var deepest string
	for line := range strings.Lines(lines) {
		_, at, _ := strings.Cut(line, ":") // a hierarchy's number, its controllers, the group
		_, at, _ = strings.Cut(strings.TrimSpace(at), ":")
		if strings.Count(at, "/") > strings.Count(deepest, "/") {
			deepest = at
		}
	}
	return path.Base(deepest)
}
