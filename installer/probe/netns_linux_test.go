package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/testneeds"
)

// roleVar makes the test binary what it says, so that a machine of its own, a network
// namespace, can ask and listen.
const roleVar = "VALTCTL_PROBE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "ask":
		exitOn(child(Run))
	case "listen":
		exitOn(child(Listen))
	default:
		os.Exit(m.Run())
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child reads a request's line from standard input and ends when that does, or by itself.
func child[Req, Thing any](f func(context.Context, Env, Req, func(Thing) error) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var r Req
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	out := json.NewEncoder(os.Stdout)
	return f(ctx, Env{Now: time.Now}, r, func(t Thing) error { return out.Encode(t) })
}

// machines are three: one that asks, a router, and one that is asked.
//
//	src 10.99.1.2 ── 10.99.1.1 way 10.99.2.1 ── 10.99.2.2 dst
type machines struct{ src, way, dst string }

var networks atomic.Int64

func newMachines(t *testing.T) machines {
	t.Helper()
	testneeds.Of(t, testneeds.Root, testneeds.Program("ip", "iproute2"), testneeds.Program("nft", "nftables"), testneeds.Program("setpriv", "util-linux"), testneeds.Program("sysctl", "procps"))
	id := fmt.Sprintf("vp%d-%d", os.Getpid(), networks.Add(1))
	m := machines{src: id + "src", way: id + "way", dst: id + "dst"}
	for _, ns := range []string{m.src, m.way, m.dst} {
		run(t, "", "ip", "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		run(t, "", "ip", "-n", ns, "link", "set", "lo", "up")
		run(t, "", "ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000", "net.ipv4.icmp_msgs_burst=10000", "net.ipv4.ip_forward=1")
	}
	join(t, m.src, "10.99.1.2/24", m.way, "10.99.1.1/24", "one")
	join(t, m.dst, "10.99.2.2/24", m.way, "10.99.2.1/24", "two")
	run(t, "", "ip", "-n", m.src, "route", "add", "default", "via", "10.99.1.1")
	run(t, "", "ip", "-n", m.dst, "route", "add", "default", "via", "10.99.2.1")
	for _, other := range []string{"10.99.2.3/24", "10.99.2.4/24"} {
		run(t, "", "ip", "-n", m.dst, "addr", "add", other, "dev", "two")
	}
	return m
}

func join(t *testing.T, a, addrA, b, addrB, link string) {
	t.Helper()
	run(t, "", "ip", "-n", a, "link", "add", link, "type", "veth", "peer", "name", link, "netns", b)
	for _, end := range [][2]string{{a, addrA}, {b, addrB}} {
		run(t, "", "ip", "-n", end[0], "addr", "add", end[1], "dev", link)
		run(t, "", "ip", "-n", end[0], "link", "set", link, "up")
	}
}

// firewall loads a chain of each hook given.
func firewall(t *testing.T, ns string, chains map[string]string) {
	t.Helper()
	var rules strings.Builder
	for hook, body := range chains {
		fmt.Fprintf(&rules, "table ip test { chain %s { type filter hook %s priority 0\n%s\n}\n}\n", hook, hook, body)
	}
	run(t, rules.String(), "ip", "netns", "exec", ns, "nft", "-f", "-")
}

func run(t *testing.T, stdin string, argv ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// started is a child that has been given its request.
type started struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *json.Decoder
	errs  *bytes.Buffer
}

func start(t *testing.T, ns, role string, request any, before ...string) *started {
	t.Helper()
	argv := append([]string{"netns", "exec", ns}, append(before, os.Args[0])...)
	s := &started{cmd: exec.CommandContext(t.Context(), "ip", argv...), errs: &bytes.Buffer{}}
	s.cmd.Env = append(os.Environ(), roleVar+"="+role)
	s.cmd.Stderr = s.errs
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin, s.lines = in, json.NewDecoder(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(in).Encode(request); err != nil {
		t.Fatal(err)
	}
	return s
}

// outcomes asks from a machine and waits for every answer.
func outcomes(t *testing.T, ns string, r Request, before ...string) map[string]Outcome {
	t.Helper()
	s := start(t, ns, "ask", r, before...)
	all := map[string]Outcome{}
	for range r.Specs {
		var o Outcome
		if err := s.lines.Decode(&o); err != nil {
			t.Fatalf("%v: %s", err, s.errs)
		}
		all[o.ID] = o
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, s.errs)
	}
	return all
}
