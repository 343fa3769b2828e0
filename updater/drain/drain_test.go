package drain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/nft"
	"ipivs.com/valtctl/installer/wowza/wowzatest"
	"ipivs.com/valtctl/repos/durable/durabletest"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// namespace is a host of a network namespace of its own, where nft is the real one and
// systemd is only told things.
type namespace struct {
	t    *testing.T
	name string
	told []string
	real bool // programs of the site's run for real
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	testneeds.Of(t, testneeds.Root, testneeds.Program("ip", "iproute2"), testneeds.Program("nft", "nftables"))
	n := &namespace{t: t, name: fmt.Sprintf("valt-gate-%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)}
	n.must("ip", "netns", "add", n.name)
	t.Cleanup(func() { n.must("ip", "netns", "del", n.name) })
	n.must("ip", "-n", n.name, "link", "set", "lo", "up")
	return n
}

func (n *namespace) must(argv ...string) {
	n.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%v: %v: %s", argv, err, out)
	}
}

// Run runs nft in the namespace; systemctl is noted.
func (n *namespace) Run(ctx context.Context, c step.Command) (step.Output, error) {
	if n.real && strings.Contains(c.Argv[0], "/hooks/") {
		return step.Exec{}.Run(ctx, c)
	}
	if c.Argv[0] != nft.Program {
		n.told = append(n.told, strings.Join(c.Argv, " "))
		return step.Output{}, nil
	}
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.name}, c.Argv...)...)
	cmd.Stdin = bytes.NewReader(c.Stdin)
	out, err := cmd.CombinedOutput()
	return step.Output{Stdout: out}, err
}

func (n *namespace) table() string {
	out, err := exec.Command("ip", "netns", "exec", n.name, nft.Program, "list", "table", "inet", "valtctl_drain").Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// practice is a host with an engine and the drain of it.
type practice struct {
	*step.Machine
	net    *namespace
	engine *wowzatest.Engine
	params Params
	clock  time.Time
}

func newPractice(t *testing.T) *practice {
	t.Helper()
	p := &practice{net: newNamespace(t), clock: time.Unix(0, 0)}
	p.Machine = &step.Machine{Root: t.TempDir(), Run: p.net, Keep: t.TempDir(), Now: func() time.Time {
		p.clock = p.clock.Add(time.Second)
		return p.clock
	}}
	if err := os.MkdirAll(filepath.Join(p.Root, filepath.Dir(nft.Program)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Path(nft.Program), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	p.engine = wowzatest.New(t, p.Root)
	p.params = Params{ControlPorts: []int{8087, 8086}, SessionPorts: []int{444, 8000}, From: []string{"10.0.4.10"},
		Engine: &p.engine.Access, Quiet: "1ms", Within: "30s"}
	return p
}

func (p *practice) step(t *testing.T) *drain {
	t.Helper()
	raw, err := json.Marshal(p.params)
	if err != nil {
		t.Fatal(err)
	}
	made, err := DrainKind().New(raw)
	if err != nil {
		t.Fatal(err)
	}
	return made.(*drain)
}

// isOpen wants nothing to be left of a gate.
func (p *practice) isOpen(t *testing.T) {
	t.Helper()
	if table := p.net.table(); table != "" {
		t.Errorf("the gate is closed: %s", table)
	}
	for _, file := range gateFiles() {
		if _, err := os.Lstat(p.Path(file)); err == nil {
			t.Errorf("%s is left", file)
		}
	}
}

func TestADrainClosesTheGateAndItsEndsOpenIt(t *testing.T) {
	for name, end := range map[string]func(d *drain, p *practice) error{
		"taken back": func(d *drain, p *practice) error { return d.Undo(t.Context(), p.Machine) },
		"confirmed":  func(d *drain, p *practice) error { return d.Admit(t.Context(), p.Machine) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPractice(t)
			d := p.step(t)
			if found, err := d.Inspect(t.Context(), p.Machine); err != nil || !found.Change || found.Disrupts != step.Nothing {
				t.Fatalf("%+v, %v", found, err)
			}
			for range 2 { // again, as after a cut
				if err := d.Apply(t.Context(), p.Machine); err != nil {
					t.Fatal(err)
				}
				if found, err := d.Inspect(t.Context(), p.Machine); err != nil || found.Change {
					t.Fatalf("%+v, %v", found, err)
				}
			}
			for _, part := range []string{"8086, 8087", "reject with tcp reset", "10.0.4.10", "444, 8000", "syn"} {
				if !strings.Contains(p.net.table(), part) {
					t.Errorf("%q is not in force: %s", part, p.net.table())
				}
			}
			for range 2 {
				if err := end(d, p); err != nil {
					t.Fatal(err)
				}
				p.isOpen(t)
			}
		})
	}
}

func TestARebootKeepsTheGateClosed(t *testing.T) {
	testneeds.Of(t, testneeds.Program("systemd-analyze", "systemd"))
	p := newPractice(t)
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile(p.Path("/etc/systemd/system/" + unitName))
	if err != nil || !strings.Contains(string(unit), "Before=network-pre.target docker.service") || !strings.Contains(string(unit), rulesFile) {
		t.Errorf("%s, %v", unit, err)
	}
	if target, err := os.Readlink(p.Path("/etc/systemd/system/sysinit.target.wants/" + unitName)); err != nil || target == "" {
		t.Error("the unit is not enabled:", err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", p.Path("/etc/systemd/system/"+unitName)).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAGateThatAPersonClosedStaysClosed(t *testing.T) {
	p := newPractice(t)
	keep := p.Keep
	p.Keep = ""
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil { // valtctl drain
		t.Fatal(err)
	}
	p.Keep = keep
	d := p.step(t)
	if err := d.Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	if err := d.Admit(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	if p.net.table() == "" {
		t.Fatal("an update opened it")
	}
	opened, err := OpenKind().New(json.RawMessage("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := opened.Inspect(t.Context(), p.Machine); err != nil || !found.Change {
		t.Errorf("%+v, %v", found, err)
	}
	if err := opened.Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	p.isOpen(t)
	if found, err := opened.Inspect(t.Context(), p.Machine); err != nil || found.Change {
		t.Errorf("%+v, %v", found, err)
	}
}

// A transaction that ended in quarantine has left the gate closed and its own folder is gone. The
// one that repairs the host opens it, and does not take it for a person's.
func TestWhoRepairsAHostOpensTheGateThatAnotherTransactionClosed(t *testing.T) {
	p := newPractice(t)
	p.Keep = filepath.Join(t.TempDir(), "quarantined")
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	p.Keep = filepath.Join(t.TempDir(), "repair")
	d := p.step(t)
	if found, err := d.Inspect(t.Context(), p.Machine); err != nil || found.Change {
		t.Fatalf("it is closed already: %+v, %v", found, err)
	}
	if err := d.Admit(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	p.isOpen(t)
}

// killed is the panic that stands for the end of the program in a drain's middle.
type killed struct{}

// cutOff has a person's drain killed while it waits for a recording that goes on.
func (p *practice) cutOff(t *testing.T) {
	t.Helper()
	p.Keep = ""
	p.engine.Record("lobby", "Recording in Progress")
	p.Progress = func(step.Progress) { panic(killed{}) }
	defer func() {
		if r := recover(); r != (killed{}) {
			t.Fatalf("it was not killed: %v", r)
		}
		p.Progress = nil
		if p.net.table() == "" {
			t.Fatal("the gate was not closed yet")
		}
	}()
	_ = p.step(t).Apply(t.Context(), p.Machine)
}

// A person's drain that was killed in its middle has closed a gate of which nobody was told: whoever comes
// next takes it over, and only a drain that comes to its end leaves it closed.
func TestAGateOfADrainThatWasKilledIsTakenOver(t *testing.T) {
	closed := func(t *testing.T, p *practice) {
		t.Helper()
		p.Keep = t.TempDir()
		d := p.step(t)
		if err := errors.Join(d.Apply(t.Context(), p.Machine), d.Admit(t.Context(), p.Machine), d.Undo(t.Context(), p.Machine)); err != nil {
			t.Fatal(err)
		}
		if p.net.table() == "" {
			t.Error("an update opens it")
		}
	}
	for name, next := range map[string]func(*testing.T, *practice){
		"by a drain that fails": func(t *testing.T, p *practice) {
			p.params.Within = "3s"
			if err := p.step(t).Apply(t.Context(), p.Machine); !errors.Is(err, step.ErrNotDrained) {
				t.Fatal(err)
			}
			p.isOpen(t)
		},
		"by a drain": func(t *testing.T, p *practice) {
			p.engine.Record("lobby", "")
			d := p.step(t)
			if err := d.Apply(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			if found, err := d.Inspect(t.Context(), p.Machine); err != nil || found.Change {
				t.Errorf("afterwards: %+v, %v", found, err)
			}
			closed(t, p)
		},
		"by a drain that finds the gate as it is to be": func(t *testing.T, p *practice) {
			p.engine.Record("lobby", "")
			if err := p.step(t).shut(t.Context(), p.Machine, p.params.rules()); err != nil { // killed a moment later
				t.Fatal(err)
			}
			if found, err := p.step(t).Inspect(t.Context(), p.Machine); err != nil || !found.Change {
				t.Fatalf("there is something to do: %+v, %v", found, err)
			}
			if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			closed(t, p)
		},
		"by undrain": func(t *testing.T, p *practice) {
			opened, err := OpenKind().New(json.RawMessage("{}"))
			if err == nil {
				err = opened.Apply(t.Context(), p.Machine)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.isOpen(t)
		},
		"by an update that is confirmed": func(t *testing.T, p *practice) {
			p.engine.Record("lobby", "")
			p.Keep = t.TempDir()
			d := p.step(t)
			if err := errors.Join(d.Apply(t.Context(), p.Machine), d.Admit(t.Context(), p.Machine)); err != nil {
				t.Fatal(err)
			}
			p.isOpen(t)
		},
		"by an update that finds the gate as it is to be": func(t *testing.T, p *practice) {
			p.engine.Record("lobby", "")
			if err := p.step(t).shut(t.Context(), p.Machine, p.params.rules()); err != nil {
				t.Fatal(err)
			}
			p.Keep = t.TempDir()
			if found, err := p.step(t).Inspect(t.Context(), p.Machine); err != nil || !found.Change {
				t.Fatalf("there is something to take back: %+v, %v", found, err)
			}
			d := p.step(t)
			if err := errors.Join(d.Apply(t.Context(), p.Machine), d.Undo(t.Context(), p.Machine)); err != nil {
				t.Fatal(err)
			}
			p.isOpen(t)
		},
		"by an update that ends in quarantine, and then a drain that fails": func(t *testing.T, p *practice) {
			p.engine.Record("lobby", "")
			p.Keep, p.params.Within = t.TempDir(), "3s"
			if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			p.Keep = ""
			p.engine.Record("lobby", "Recording in Progress")
			if err := p.step(t).Apply(t.Context(), p.Machine); !errors.Is(err, step.ErrNotDrained) {
				t.Fatal(err)
			}
			if p.net.table() == "" {
				t.Error("the gate of a host in quarantine is open")
			}
		},
		"by the end of its own transaction": func(t *testing.T, p *practice) {
			if err := p.step(t).Leave(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			p.isOpen(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPractice(t)
			p.cutOff(t)
			next(t, p)
		})
	}
}

// Who drains a host in quarantine has its gate: the repair leaves it closed, and a drain that fails leaves it
// to the repair.
func TestADrainTakesTheGateOfAHostInQuarantineOver(t *testing.T) {
	for _, drained := range []bool{true, false} {
		t.Run(fmt.Sprintf("drained to its end: %v", drained), func(t *testing.T) {
			p := newPractice(t)
			p.params.Within = "3s"
			if err := p.step(t).Apply(t.Context(), p.Machine); err != nil { // and then it is stuck
				t.Fatal(err)
			}
			p.Keep = ""
			d := p.step(t)
			if found, err := d.Inspect(t.Context(), p.Machine); err != nil || !found.Change || !strings.Contains(found.Diff, "until: valtctl undrain") {
				t.Fatalf("there is something to take over: %+v, %v", found, err)
			}
			if !drained {
				p.engine.Record("lobby", "Recording in Progress")
			}
			if err := d.Apply(t.Context(), p.Machine); (err == nil) != drained {
				t.Fatal(err)
			}
			if err := d.Leave(t.Context(), p.Machine); err != nil { // as the transaction ends
				t.Fatal(err)
			}
			if p.net.table() == "" {
				t.Fatal("the gate of a host in quarantine is open")
			}
			p.engine.Record("lobby", "")
			p.Keep = t.TempDir()
			repair := p.step(t)
			if err := errors.Join(repair.Apply(t.Context(), p.Machine), repair.Admit(t.Context(), p.Machine)); err != nil {
				t.Fatal(err)
			}
			if open := p.net.table() == ""; open == drained {
				t.Errorf("after the repair the gate is open: %v", open)
			}
		})
	}
}

func TestWhileItIsRecordedItsOwnerIsLetIn(t *testing.T) {
	p := newPractice(t)
	p.engine.Record("lobby", "Recording in Progress")
	var said []string
	p.Progress = func(pr step.Progress) {
		said = append(said, pr.Text)
		if strings.Contains(p.net.table(), "8087") {
			t.Error("whoever records cannot end it: ", p.net.table())
		}
		if !strings.Contains(p.net.table(), "syn") {
			t.Error("new sessions are let in: ", p.net.table())
		}
		p.engine.Record("lobby", "")
	}
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	if len(said) == 0 || !strings.Contains(said[0], "lobby (Recording in Progress)") {
		t.Errorf("%q", said)
	}
	if !strings.Contains(p.net.table(), "8087") {
		t.Error("the control ports are open at the end")
	}
}

func TestARecordingThatSlipsInIsWaitedFor(t *testing.T) {
	p := newPractice(t)
	looks := 0
	p.engine.OnLook(func(n int) {
		looks = n
		switch n {
		case 3: // after the gate was closed and read once
			p.engine.Record("lobby", "Recording in Progress")
		case 6:
			p.engine.Record("lobby", "")
		}
	})
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	if looks < 8 { // the last two found nothing, behind the closed gate
		t.Errorf("it was over after %d looks", looks)
	}
	if found, err := p.step(t).Inspect(t.Context(), p.Machine); err != nil || found.Change {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestAtTheDeadlineTheHostIsLeftAlone(t *testing.T) {
	p := newPractice(t)
	p.params.Within = "3s"
	p.engine.Record("lobby", "Recording in Progress")
	d := p.step(t)
	err := d.Apply(t.Context(), p.Machine)
	if !errors.Is(err, step.ErrNotDrained) || !strings.Contains(err.Error(), "lobby") {
		t.Fatalf("%v", err)
	}
	if err := d.Undo(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	p.isOpen(t)
}

// A person's own drain has no way back: where recordings go on for too long, the server takes
// sessions again all the same.
func TestADrainByHandThatFailsOpensTheGateAgain(t *testing.T) {
	p := newPractice(t)
	p.Keep, p.params.Within = "", "3s"
	p.engine.Record("lobby", "Recording in Progress")
	if err := p.step(t).Apply(t.Context(), p.Machine); !errors.Is(err, step.ErrNotDrained) {
		t.Fatalf("%v", err)
	}
	p.isOpen(t)
	p.engine.Record("lobby", "")
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	p.engine.Answer("<html>")
	if err := p.step(t).Apply(t.Context(), p.Machine); err == nil {
		t.Fatal("it is drained by an engine that says nothing")
	}
	if p.net.table() == "" {
		t.Error("a gate that was closed before is open")
	}
}

func TestWhatIsRecordedMustBeKnown(t *testing.T) {
	p := newPractice(t)
	p.engine.Answer("<html>")
	err := p.step(t).Apply(t.Context(), p.Machine)
	if err == nil || errors.Is(err, step.ErrNotDrained) || !strings.Contains(err.Error(), "looking for recordings") {
		t.Errorf("%v", err)
	}
	p.isOpen(t) // nothing was begun
}

// An engine that says nothing any more once the gate is closed may be recording.
func TestWhatIsRecordedBehindTheGateMustBeKnown(t *testing.T) {
	p := newPractice(t)
	p.engine.OnLook(func(n int) {
		if n == 2 { // the first behind the gate
			p.engine.Answer("<html>")
		}
	})
	err := p.step(t).Apply(t.Context(), p.Machine)
	if err == nil || errors.Is(err, step.ErrNotDrained) || !strings.Contains(err.Error(), "looking for recordings") {
		t.Errorf("%v", err)
	}
}

func TestOnlyAPersonMayInterrupt(t *testing.T) {
	p := newPractice(t)
	p.engine.Record("lobby", "Recording in Progress")
	p.params.Interrupt = true
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.net.table(), "8087") {
		t.Error("the gate is open")
	}
}

func TestWithoutNftNothingIsBegun(t *testing.T) {
	p := newPractice(t)
	if err := os.Remove(p.Path(nft.Program)); err != nil {
		t.Fatal(err)
	}
	if err := p.step(t).Apply(t.Context(), p.Machine); err == nil || !strings.Contains(err.Error(), "gate") {
		t.Errorf("%v", err)
	}
	p.isOpen(t)
}

func TestParametersAreJudged(t *testing.T) {
	for name, raw := range map[string]string{
		"no port":       `{}`,
		"a wild port":   `{"session_ports":[70000]}`,
		"no address":    `{"session_ports":[444],"from":["10.0.0.1 } accept; drop"]}`,
		"a name":        `{"session_ports":[444],"from":["app1"]}`,
		"unknown":       `{"session_ports":[444],"force":true}`,
		"no duration":   `{"session_ports":[444],"quiet":"soon"}`,
		"another time":  `{"session_ports":[444],"within":"1"}`,
		"not an object": `[]`,
	} {
		if made, err := DrainKind().New(json.RawMessage(raw)); err == nil {
			t.Errorf("%s: %+v", name, made)
		}
	}
}

// TestPacketsMeetTheGate sends real ones: from a neighbour of the site and from a stranger,
// over new connections and over ones that were there before.
func TestPacketsMeetTheGate(t *testing.T) {
	p := newPractice(t)
	p.params.From = []string{"10.213.0.2"}
	w := newWire(t, p.net)
	before := map[int]net.Conn{}
	for _, port := range []int{8087, 444} {
		before[port] = w.dial("10.213.0.3", port, letIn)
	}
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from string
		port int
		in   bool
	}{
		{"10.213.0.2", 444, true}, {"10.213.0.2", 8087, false}, {"10.213.0.3", 444, false}, {"10.213.0.3", 8087, false}, {"10.213.0.3", 22, true},
	} {
		if in := w.dial(c.from, c.port, patience(c.in)) != nil; in != c.in {
			t.Errorf("from %s to %d: let in %t", c.from, c.port, in)
		}
	}
	if !echoes(before[444], letIn) {
		t.Error("a running session was cut")
	}
	if echoes(before[8087], turnedAway) {
		t.Error("a control connection that was there goes on")
	}
}

// wire joins a host's namespace to this one, with echo servers in the host.
type wire struct {
	t    *testing.T
	host string
}

func newWire(t *testing.T, n *namespace) *wire {
	t.Helper()
	near := fmt.Sprintf("vg%d", time.Now().UnixNano()%1e9)
	n.must("ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", n.name)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", near).Run() })
	n.must("ip", "addr", "add", "10.213.0.2/24", "dev", near)
	n.must("ip", "addr", "add", "10.213.0.3/24", "dev", near)
	n.must("ip", "link", "set", near, "up")
	n.must("ip", "-n", n.name, "addr", "add", "10.213.0.1/24", "dev", "eth0")
	n.must("ip", "-n", n.name, "link", "set", "eth0", "up")
	for _, port := range []int{22, 444, 8087} {
		n.echo(port)
	}
	return &wire{t, "10.213.0.1"}
}

// echo serves a port in the namespace with what it is sent.
func (n *namespace) echo(port int) {
	n.t.Helper()
	there, err := os.Open("/var/run/netns/" + n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	defer there.Close()
	listening := make(chan net.Listener, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		defer close(listening)
		if unix.Setns(int(there.Fd()), unix.CLONE_NEWNET) != nil {
			return
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("10.213.0.1:%d", port)); err == nil {
			listening <- l
		}
	}()
	l := <-listening
	if l == nil {
		n.t.Fatal("cannot listen on", port)
	}
	n.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
}

// How long an answer is waited for: one that is to come may take its time on a busy machine.
const (
	letIn      = 5 * time.Minute
	turnedAway = time.Second
)

func patience(in bool) time.Duration {
	if in {
		return letIn
	}
	return turnedAway
}

// dial connects from an address; nil: it was not let in.
func (w *wire) dial(from string, port int, within time.Duration) net.Conn {
	d := net.Dialer{Timeout: within, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", net.JoinHostPort(w.host, strconv.Itoa(port)))
	if err != nil {
		return nil
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

func echoes(conn net.Conn, within time.Duration) bool {
	if conn == nil {
		return false
	}
	_ = conn.SetDeadline(time.Now().Add(within))
	if _, err := conn.Write([]byte("x")); err != nil {
		return false
	}
	got := make([]byte, 1)
	_, err := conn.Read(got)
	return err == nil && slices.Equal(got, []byte("x"))
}

// failing is a host on which nft fails a few times.
type failing struct {
	*namespace
	what string
	left int
}

func (f *failing) Run(ctx context.Context, c step.Command) (step.Output, error) {
	if c.Argv[0] == nft.Program && slices.Contains(c.Argv, f.what) && f.left > 0 {
		f.left--
		return step.Output{Code: 1}, errors.New("netlink: Error: cache initialization failed: Resource temporarily unavailable")
	}
	return f.namespace.Run(ctx, c)
}

// What nft could not say or do is an error, and the gate's files stay: they tell that it may be
// closed.
func TestAGateThatCouldNotBeOpenedIsNotForgotten(t *testing.T) {
	for name, f := range map[string]failing{
		"a look that fails":    {what: "tables", left: 1},
		"a removal that fails": {what: "-f", left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPractice(t)
			d := p.step(t)
			if err := d.Apply(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			f.namespace = p.net
			p.Run = &f
			if err := d.Admit(t.Context(), p.Machine); err == nil {
				t.Error("it was taken for open")
			}
			p.Run = p.net
			open, err := OpenKind().New([]byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if found, err := open.Inspect(t.Context(), p.Machine); err != nil || !found.Change {
				t.Errorf("nothing is left to open: %+v, %v", found, err)
			}
			if err := d.Admit(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			p.isOpen(t)
		})
	}
}

// Another table whose name begins alike is another table.
func TestATableIsKnownByItsWholeName(t *testing.T) {
	p := newPractice(t)
	if err := p.step(t).Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[nft.Table]bool{table: true, "inet valtctl": false, "ip valtctl_drain": false} {
		if loaded, err := name.Loaded(t.Context(), p.Machine); err != nil || loaded != want {
			t.Errorf("%s is loaded: %v, %v", name, loaded, err)
		}
	}
}

// A look that fails is no gate that is closed either.
func TestAGateOfWhichNothingIsKnownIsNotClosed(t *testing.T) {
	p := newPractice(t)
	d := p.step(t)
	if err := d.Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	p.Run = &failing{p.net, "tables", 1}
	if found, err := d.Inspect(t.Context(), p.Machine); err == nil {
		t.Errorf("%+v", found)
	}
}

// A power cut at any point of the opening leaves a gate that is open, or one whose files tell
// that it is not.
func TestAPowerCutWhileAGateOpens(t *testing.T) {
	for at := 1; ; at++ {
		p := newPractice(t)
		d := p.step(t)
		if err := d.Apply(t.Context(), p.Machine); err != nil {
			t.Fatal(err)
		}
		disk := durabletest.New(t, p.Root)
		cut := false
		disk.Fail(func(c durabletest.Call) error {
			if c.N == at {
				cut = true
				return syscall.EIO
			}
			return nil
		})
		err := d.Admit(t.Context(), p.Machine)
		if !cut {
			if err != nil || at == 1 {
				t.Fatal("no call to the disk can be cut: ", err)
			}
			disk.PowerCut(uint64(at))
			p.isOpen(t)
			return
		}
		if err == nil {
			t.Errorf("call %d failed, and nobody was told", at)
		}
	}
}

// The host that drives the recordings of others asks about them once its own gate is closed,
// and opens it again where something is recorded.
func TestWhatIsRecordedElsewhereKeepsTheGateOpen(t *testing.T) {
	for name, byHand := range map[string]bool{"in an update": false, "by hand": true} {
		t.Run(name, func(t *testing.T) { recordedElsewhere(t, byHand) })
	}
}

func recordedElsewhere(t *testing.T, byHand bool) {
	p := newPractice(t)
	if byHand {
		p.Keep = ""
	}
	p.params.Engine, p.params.AskElsewhere, p.params.Within = nil, true, "10m"
	d := p.step(t)
	asked := 0
	p.Progress = func(pr step.Progress) {
		if strings.HasPrefix(pr.Text, "waiting for media1") && p.net.table() != "" {
			t.Error("whoever watches the recording could not end it")
		}
		if pr.Question != step.Quiet {
			return
		}
		asked++
		if p.net.table() == "" {
			t.Error("it was asked while sessions could begin still")
		}
		answer := step.Answer{Nonce: pr.Confirm}
		if asked < 3 {
			answer.Refused = "media1 lobby"
		}
		if err := step.HandAnswer(p.Machine, answer); err != nil {
			t.Error(err)
		}
	}
	if err := d.Apply(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	if asked != 3 || p.net.table() == "" {
		t.Errorf("asked %d times, and the gate is %q", asked, p.net.table())
	}
}

func TestWhatNobodyAnswersIsNotQuiet(t *testing.T) {
	p := newPractice(t)
	p.params.Engine, p.params.AskElsewhere = nil, true
	d := p.step(t)
	d.answered = time.Millisecond
	if err := d.Apply(t.Context(), p.Machine); !errors.Is(err, step.ErrNoAnswer) || !strings.Contains(fmt.Sprint(problem.All(err)[0].Fix), "nothing was stopped") {
		t.Errorf("nobody said that nothing is recorded elsewhere, and it went on: %v", err)
	}
	if err := d.Undo(t.Context(), p.Machine); err != nil {
		t.Fatal(err)
	}
	p.isOpen(t)
}

// hook puts a program of the site's on the host, which writes down that it was run.
func (p *practice) hook(t *testing.T, name, text string) string {
	t.Helper()
	path := "/etc/valt/hooks/" + name
	if err := os.MkdirAll(filepath.Dir(p.Path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Path(path), []byte("#!/bin/sh\necho "+name+" >> "+p.Path("/ran")+"\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// ran is what was run, in order.
func (p *practice) ran(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.Path("/ran"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// The site is told once before its host is drained, and once when that is over, however it ends.
func TestTheSiteIsToldOfADrainAndOfItsEnd(t *testing.T) {
	for name, end := range map[string]func(d *drain, p *practice) error{
		"taken back": func(d *drain, p *practice) error { return d.Undo(t.Context(), p.Machine) },
		"confirmed":  func(d *drain, p *practice) error { return d.Admit(t.Context(), p.Machine) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPractice(t)
			p.net.real = true
			p.params.Before, p.params.After, p.params.HookWithin = p.hook(t, "page-off", ""), p.hook(t, "page-on", ""), "10s"
			d := p.step(t)
			for range 2 { // again, as after a cut
				if err := d.Apply(t.Context(), p.Machine); err != nil {
					t.Fatal(err)
				}
			}
			if got := p.ran(t); got != "page-off" {
				t.Errorf("while it is drained: %s", got)
			}
			for range 2 {
				if err := end(d, p); err != nil {
					t.Fatal(err)
				}
			}
			if got := p.ran(t); got != "page-off page-on" {
				t.Errorf("afterwards: %s", got)
			}
			p.isOpen(t)
		})
	}
}

// A hook decides nothing: one that fails or hangs is ended and told.
func TestAHookThatFailsOrHangsStopsNothing(t *testing.T) {
	for name, text := range map[string]string{"fails": "exit 1", "hangs": "exec sleep 1000"} {
		t.Run(name, func(t *testing.T) {
			p := newPractice(t)
			p.net.real = true
			p.params.Before, p.params.After, p.params.HookWithin = p.hook(t, "page-off", text), p.hook(t, "page-on", text), "200ms"
			var told []string
			p.Tell = func(text string) { told = append(told, text) }
			d := p.step(t)
			if err := d.Apply(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			if err := d.Admit(t.Context(), p.Machine); err != nil {
				t.Fatal(err)
			}
			p.isOpen(t)
			if len(told) != 2 || !strings.Contains(told[0], "page-off") || !strings.Contains(told[1], "page-on") {
				t.Errorf("told %q", told)
			}
		})
	}
}
