package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"ipivs.com/valtctl/installer/txn"
)

// mostMemory is what either side may take of a machine's memory, in bytes, the whole program
// included, whatever the other side sends.
const mostMemory = 100 << 20

// victim in the environment makes this test program one side of a session over its standard
// streams: a controller that calls, or a restricted agent.
const victim = "AGENT_TEST_VICTIM"

func TestMain(m *testing.M) {
	if side := os.Getenv(victim); side != "" {
		os.Exit(beVictim(side))
	}
	os.Exit(m.Run())
}

// beVictim ends with 7 where the other side sent too much, and tells its largest size.
func beVictim(side string) int {
	debug.SetGCPercent(400) // as main does
	debug.SetMemoryLimit(64 << 20)
	conn := Stdio(os.Stdin, os.Stdout)
	err := beController(conn, side)
	if side == "restricted" {
		limits := OfAStranger()
		err = Serve(context.Background(), conn, Handlers{NoCarry: true, Limits: &limits,
			Inspect: func(ctx context.Context, _ InspectRequest) (InspectReply, error) {
				<-ctx.Done()
				return InspectReply{}, ctx.Err()
			}})
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmHWM:") { // in KiB (proc_pid_status(5))
			fmt.Fprint(os.Stderr, line)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, ErrTooMuch) {
		return 7
	}
	return 0
}

func beController(conn io.ReadWriteCloser, side string) error {
	if side == "restricted" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := NewClient(ctx, conn, "media1", map[string]StreamHandler{StreamCarried: func(ctx context.Context, _ net.Conn) { <-ctx.Done() }})
	if err != nil {
		return err
	}
	defer c.Close()
	if side == "following" {
		_, err = c.TxnFollow(ctx, TxnFollowRequest{}, func(txn.Event) error { return nil })
		return err
	}
	_, err = c.Inspect(ctx, InspectRequest{})
	return err
}

// attacker is the other side.
type attacker struct {
	net.Conn // raw, where no session is spoken
	session  *yamux.Session
	calls    net.Conn
}

// speak begins a session as the side that the victim is not.
func (a *attacker) speak(victim string) error {
	c := yamux.DefaultConfig()
	c.LogOutput, c.EnableKeepAlive, c.AcceptBacklog, c.MaxStreamWindowSize = io.Discard, false, 1<<20, 64<<20
	var err error
	if victim == "restricted" {
		if a.session, err = yamux.Client(a.Conn, c); err == nil {
			a.calls, err = a.session.Open()
		}
		return err
	}
	if a.session, err = yamux.Server(a.Conn, c); err == nil {
		a.calls, err = a.session.Accept()
	}
	return err
}

// frame sends a message of the calls.
func (a *attacker) frame(msg []byte) error {
	_, err := a.calls.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...))
	return err
}

// streams opens as many as the victim takes, and says what begin gives on each.
func (a *attacker) streams(n int, begin func(int) []byte) error {
	for i := range n {
		s, err := a.session.Open()
		if err != nil {
			return err
		}
		if text := begin(i); text != nil {
			_ = s.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // what does not fit into its window waits
			_, _ = s.Write(text)
		}
	}
	return nil
}

// again does something until the victim has had enough of it.
func again(n int, do func(int) error) error {
	for i := range n {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// request reads the victim's request, which is the first that it sends.
func (a *attacker) request() error {
	_, err := readFrame(a.calls, MaxMessage)
	return err
}

// TestNeitherSideTakesTheOthersMemory: of all that the other side may send, as much as is taken
// of it. Each victim is a process of its own, whose largest size the kernel tells.
func TestNeitherSideTakesTheOthersMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it would measure the race detector's memory; make unit runs this without it")
	}
	request := func(id int, params string) []byte {
		return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"inspect","params":%s}`, id, params)
	}
	answer := func(id int, result string) []byte {
		return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"result":%s}`, id, result)
	}
	long := strings.Repeat("x", 2<<20-200)
	for _, test := range []struct {
		victim, name string
		exit         int // 7: the victim ends it
		attack       func(*attacker) error
	}{
		{"restricted", "streams that no call claims", 7, func(a *attacker) error {
			return a.streams(20_000, func(i int) []byte { return fmt.Appendf(nil, "{\"name\":\"s%d\"}\n", i) })
		}},
		{"restricted", "streams without a name", 7, func(a *attacker) error {
			return a.streams(20_000, func(int) []byte { return nil })
		}},
		{"restricted", "streams full to their window", 7, func(a *attacker) error {
			return a.streams(1000, func(i int) []byte {
				return append(fmt.Appendf(nil, "{\"name\":\"s%d\"}\n", i), make([]byte, 300<<10)...)
			})
		}},
		{"restricted", "requests that wait", 7, func(a *attacker) error {
			return again(20_000, func(i int) error { return a.frame(request(i, `{}`)) })
		}},
		{"restricted", "large requests that wait", 7, func(a *attacker) error {
			return again(100, func(i int) error { return a.frame(request(i, `{"release":"`+long+`"}`)) })
		}},
		{"restricted", "a request of small things", 7, func(a *attacker) error {
			return a.frame(request(1, `{"steps":[`+strings.Repeat("{},", 600_000)+`{}]}`))
		}},
		{"restricted", "a list of requests", 7, func(a *attacker) error {
			return a.frame([]byte(`[` + strings.Repeat("{},", 600_000) + `{}]`))
		}},
		{"restricted", "a message that is too long", 7, func(a *attacker) error {
			return a.frame(request(1, `"`+strings.Repeat("x", 64<<20)+`"`))
		}},
		{"restricted", "notifications", 7, func(a *attacker) error {
			return again(100_000, func(int) error { return a.frame([]byte(`{"jsonrpc":"2.0","method":"inspect","params":{}}`)) })
		}},
		{"controller", "streams", 7, func(a *attacker) error {
			return a.streams(1000, func(int) []byte { return append([]byte("{\"name\":\"carried\"}\n"), make([]byte, 600<<10)...) })
		}},
		{"controller", "answers that nobody asked for", 7, func(a *attacker) error {
			return again(1000, func(i int) error { return a.frame(answer(i, `"`+long+`"`)) })
		}},
		{"controller", "an answer of small things", 7, func(a *attacker) error {
			return errors.Join(a.request(), a.frame(answer(1, `{"findings":[`+strings.Repeat("{},", 2_000_000)+`{}]}`)))
		}},
		{"controller", "an answer as large as may be", 0, func(a *attacker) error {
			return errors.Join(a.request(), a.frame(answer(1, `{"findings":[{"id":"`+strings.Repeat("x", MaxMessage-200)+`"}]}`)))
		}},
		{"controller", "an answer that is too long", 7, func(a *attacker) error {
			return errors.Join(a.request(), a.frame(answer(1, `"`+strings.Repeat("x", 64<<20)+`"`)))
		}},
		{"following", "a line without an end", 7, func(a *attacker) error {
			s, err := a.session.Accept()
			if err != nil {
				return err
			}
			return again(100, func(int) error { _, err := s.Write(make([]byte, 1<<20)); return err })
		}},
		{"following", "a line of small things", 7, func(a *attacker) error {
			s, err := a.session.Accept()
			if err != nil {
				return err
			}
			_, err = s.Write([]byte(`{"record":{"data":[` + strings.Repeat("1,", 1_000_000) + "1]}}\n"))
			return err
		}},
	} {
		t.Run(test.victim+"/"+test.name, func(t *testing.T) {
			suffers(t, test.victim, test.exit, func(a *attacker) {
				if err := a.speak(test.victim); err != nil {
					t.Error(err)
					return
				}
				_ = test.attack(a) // it ends with the session
			})
		})
	}
	for _, side := range []string{"restricted", "controller"} {
		t.Run(side+"/pings whose answers are not read", func(t *testing.T) {
			suffers(t, side, 7, func(a *attacker) {
				if side == "controller" {
					_, _ = io.ReadFull(a, make([]byte, 2*headerSize)) // it has opened its calls, and makes one
				}
				_ = again(1<<16, a.ping)
			})
		})
	}
}

// ping sends one of yamux's, and reads nothing.
func (a *attacker) ping(i int) error {
	_, err := a.Write([]byte{0, typePing, 0, flagSYN, 0, 0, 0, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
	return err
}

// suffering is how long a victim may take to end what it has taken whole.
const suffering = 15 * time.Second

// suffers has a victim attacked until it ends.
func suffers(t *testing.T, side string, exit int, attack func(*attacker)) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), victim+"="+side)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	go func() { _, _ = io.Copy(in, there); in.Close() }()
	go func() { _, _ = io.Copy(there, out); there.Close() }()
	attacked := make(chan struct{})
	a := &attacker{Conn: here}
	go func() { defer close(attacked); attack(a) }()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // the exit code is judged below
	select {
	case <-ended:
	case <-attacked:
		select {
		case <-ended:
		case <-time.After(suffering): // it has taken everything
		}
	}
	here.Close()
	<-attacked
	<-ended
	var used int64
	_, err := fmt.Sscanf(said.String(), "VmHWM: %d kB", &used)
	if err != nil || used<<10 > mostMemory {
		t.Errorf("it took %d KiB of memory (%v)", used, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != exit {
		t.Errorf("exit %d, want %d: %s", got, exit, said.String())
	}
	t.Logf("%s", said.String())
}
