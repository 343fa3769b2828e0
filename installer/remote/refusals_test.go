package remote_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/repos/problem"
)

// want is what a refusal must say.
type want struct {
	is   error
	kind problem.Kind
	says []string
	fix  string
}

func (w want) check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("it was let through")
	}
	if !errors.Is(err, w.is) {
		t.Errorf("%v is not %v", err, w.is)
	}
	if got := problem.KindOf(err); got != w.kind {
		t.Errorf("%v is of kind %d, want %d", err, got, w.kind)
	}
	for _, text := range w.says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %q", err, text)
		}
	}
	if fix := problem.All(err)[0].Fix; !strings.Contains(fix, w.fix) {
		t.Errorf("the hint %q does not say %q", fix, w.fix)
	}
}

func TestHostKeys(t *testing.T) {
	s := startSSHD(t)
	scanned, err := remote.Scan(t.Context(), s.options("root"))
	if err != nil {
		t.Fatal(err)
	}
	if len(scanned.Keys) != 1 || !scanned.Known || scanned.Addr != s.addr() {
		t.Fatalf("scanning found %+v", scanned)
	}
	shown := ssh.FingerprintSHA256(scanned.Keys[0])
	other := newKey(t, filepath.Join(t.TempDir(), "other"))
	ecdsa := ecdsaKey(t)
	cases := map[string]struct {
		knownHosts string
		want       want
	}{
		"unknown": {"", want{remote.ErrHostKey, problem.Trust, []string{shown, "none is known"}, "valtctl trust app1"}},
		"changed": {knownhosts.Line([]string{s.addr()}, other),
			want{remote.ErrHostKey, problem.Trust, []string{shown, ssh.FingerprintSHA256(other), "changed"}, "valtctl trust app1"}},
		"of a kind that is gone": {knownhosts.Line([]string{s.addr()}, ecdsa),
			want{remote.ErrHostKey, problem.Trust, []string{"changed", "ssh-ed25519", "ecdsa-sha2-nistp256"}, "valtctl trust app1"}},
		"revoked": {"@revoked * " + string(ssh.MarshalAuthorizedKey(scanned.Keys[0])),
			want{remote.ErrHostKey, problem.Trust, []string{shown, "revokes"}, "do not go on"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := s.options("root")
			o.KnownHosts = []string{filepath.Join(t.TempDir(), "known_hosts"), filepath.Join(t.TempDir(), "absent")}
			write(t, o.KnownHosts[0], c.knownHosts+"\n")
			_, err := remote.Dial(t.Context(), o)
			c.want.check(t, err)
		})
	}
	t.Run("trusted after that", func(t *testing.T) {
		o := s.options("root")
		o.KnownHosts = []string{filepath.Join(t.TempDir(), "new", "known_hosts")}
		if err := remote.Remember(o.KnownHosts[0], scanned.Addr, scanned.Keys); err != nil {
			t.Fatal(err)
		}
		dial(t, o)
	})
}

// TestKnownKeyDecidesTheAlgorithm: a server with several keys shows the one that is known.
func TestKnownKeyDecidesTheAlgorithm(t *testing.T) {
	dir := t.TempDir()
	key := ecdsaFile(t, filepath.Join(dir, "ecdsa"))
	s := startSSHD(t, "HostKey "+filepath.Join(dir, "ecdsa"))
	o := s.options("root")
	o.KnownHosts = []string{filepath.Join(dir, "known_hosts")}
	write(t, o.KnownHosts[0], knownhosts.Line([]string{s.addr()}, key)+"\n")
	dial(t, o)
}

func TestNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	fails := func(err error) remote.DialFunc {
		return func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}
	hangs := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	cases := map[string]struct {
		options remote.Options
		want    want
	}{
		"refused":      {remote.Options{Address: "127.0.0.1", Port: freePort(t)}, want{is: remote.ErrRefused, fix: "ssh.port"}},
		"unreachable":  {remote.Options{Dial: fails(syscall.EHOSTUNREACH)}, want{is: remote.ErrUnreachable, fix: "route"}},
		"timed out":    {remote.Options{Dial: hangs, ConnectTimeout: time.Millisecond}, want{is: remote.ErrTimeout, fix: "firewall"}},
		"no such name": {remote.Options{Dial: fails(&net.DNSError{Err: "no such host", Name: "app1"})}, want{is: remote.ErrUnresolved, fix: "DNS"}},
		"not sshd": {remote.Options{Address: "127.0.0.1", Port: silent.Addr().(*net.TCPAddr).Port, LoginTimeout: 50 * time.Millisecond},
			want{is: remote.ErrTimeout, says: []string{"took the connection"}, fix: "not sshd"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.options.Name = "app1"
			_, err := remote.Dial(t.Context(), c.options)
			c.want.says = append(c.want.says, "app1")
			c.want.check(t, err)
		})
	}
}

func TestCancelledWhileDialling(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := remote.Options{Address: "app1", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	if _, err := remote.Dial(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestServerHangsUpAtFirst: sshd drops connections at random while many log in at once.
func TestServerHangsUpAtFirst(t *testing.T) {
	s := startSSHD(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	go func() {
		if conn, err := busy.Accept(); err == nil {
			conn.Close()
		}
	}()
	o, calls := s.options("root"), 0
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if calls++; calls == 1 {
			addr = busy.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	dial(t, o)
	if calls != 2 {
		t.Errorf("it dialled %d times", calls)
	}
}

// What OpenSSH 10 says to an address that it punishes is no other protocol.
func TestAPenaltyIsNamed(t *testing.T) {
	for name, ask := range map[string]func(context.Context, remote.Options) error{
		"by who logs in":        func(ctx context.Context, o remote.Options) error { _, err := remote.Dial(ctx, o); return err },
		"by who looks at a key": func(ctx context.Context, o remote.Options) error { _, err := remote.Scan(ctx, o); return err },
	} {
		t.Run(name, func(t *testing.T) { punishes(t, ask) })
	}
}

// punishes asks a server that has had enough of this address, until a person has had enough of it.
func punishes(t *testing.T, ask func(context.Context, remote.Options) error) {
	t.Helper()
	strict, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer strict.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		if conn, err := strict.Accept(); err == nil {
			_, _ = conn.Write([]byte("Not allowed at this time\r\n"))
			conn.Close()
			time.Sleep(100 * time.Millisecond) // until the client waits
			cancel(errors.New("a person has waited enough"))
		}
	}()
	s := startSSHD(t)
	o := s.options("root")
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strict.Addr().String())
	}
	var told []string
	o.Waiting = func(text string) { told = append(told, text) }
	err = ask(ctx, o)
	if err == nil || !strings.Contains(err.Error(), "PerSourcePenalties") || !strings.Contains(err.Error(), "waited enough") {
		t.Errorf("%v", err)
	}
	if !slices.ContainsFunc(problem.All(err), func(p *problem.Error) bool { return strings.Contains(p.Fix, "PerSourcePenaltyExemptList") }) {
		t.Errorf("nobody is told what to do: %v", err)
	}
	if len(told) != 1 || !strings.Contains(told[0], "takes no connections from this address for a while") || !strings.Contains(told[0], "15s") {
		t.Errorf("while it waits it says %q", told)
	}
}

func TestLoginRefused(t *testing.T) {
	s := startSSHD(t)
	locked := filepath.Join(t.TempDir(), "locked")
	if _, err := writeKey(locked, "a passphrase"); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(t.TempDir(), "stranger")
	fingerprint := ssh.FingerprintSHA256(newKey(t, stranger))
	cases := map[string]struct {
		change func(o *remote.Options)
		want   want
	}{
		"a key it does not take": {func(o *remote.Options) { o.Identity = stranger },
			want{is: remote.ErrLogin, says: []string{"publickey", stranger, fingerprint}, fix: "authorized_keys"}},
		"nothing to log in with": {func(o *remote.Options) { o.Identity = "" },
			want{is: remote.ErrLogin, says: []string{"there is no key"}, fix: "ssh.identity"}},
		"a wrong password": {func(o *remote.Options) { o.Identity, o.Password = stranger, password("wrong") },
			want{is: remote.ErrLogin, says: []string{"publickey", "keyboard-interactive", "password"}, fix: "authorized_keys"}},
		"a key that is not there": {func(o *remote.Options) { o.Identity = "/nonexistent" },
			want{is: os.ErrNotExist, kind: problem.Input, says: []string{"/nonexistent"}, fix: "ssh.identity"}},
		"a locked key and nobody to ask": {func(o *remote.Options) { o.Identity = locked },
			want{is: nil, kind: problem.Input, says: []string{locked, "passphrase"}, fix: "ssh-add"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := s.options("free")
			c.change(&o)
			_, err := remote.Dial(t.Context(), o)
			if c.want.is == nil {
				c.want.is = err
			}
			c.want.check(t, err)
		})
	}
}

func TestSudoRefused(t *testing.T) {
	s := startSSHD(t)
	cases := map[string]struct {
		user     string
		password func(context.Context) ([]byte, error)
		want     want
	}{
		"not allowed":       {"barred", password(loginPassword), want{is: remote.ErrSudo, says: []string{"not allowed"}, fix: "sudoers"}},
		"wrong password":    {"asked", password("wrong"), want{is: remote.ErrSudo, says: []string{"wrong password"}, fix: "sudo_password_file"}},
		"none given":        {"asked", nil, want{is: remote.ErrSudo, says: []string{"none is given"}, fix: "sudo_password_file"}},
		"an empty password": {"asked", password(""), want{is: remote.ErrSudo, says: []string{"empty"}}},
		"a shell that never stops printing": {"flooded", nil,
			want{is: remote.ErrNoise, says: []string{"64 KiB"}, fix: "rc file"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := s.options(c.user)
			o.Password = c.password
			_, err := dial(t, o).StartAgent(t.Context(), theAgent(t))
			c.want.says = append(c.want.says, "starting the agent on app1")
			c.want.check(t, err)
		})
	}
}

func TestJumpHostForbids(t *testing.T) {
	jump, s := startSSHD(t, "AllowTcpForwarding no"), startSSHD(t)
	_, err := remote.Dial(t.Context(), behind(jump, s))
	if err == nil || !strings.Contains(err.Error(), "the jump host does not let") {
		t.Errorf("got %v", err)
	}
	open := startSSHD(t)
	gone := behind(open, s)
	gone.Port = freePort(t)
	_, err = remote.Dial(t.Context(), gone)
	want{is: remote.ErrRefused, says: []string{"the jump host cannot reach it"}, fix: "jump host"}.check(t, err)
}

func TestJumpHostMustBeTrustedToo(t *testing.T) {
	jump, s := startSSHD(t), startSSHD(t)
	o := behind(jump, s)
	o.KnownHosts = []string{s.knownHosts}
	_, err := remote.Dial(t.Context(), o)
	want{is: remote.ErrHostKey, kind: problem.Trust, says: []string{jump.addr()}, fix: "valtctl trust " + jump.addr()}.check(t, err)
}

func TestLocalNeedsRoot(t *testing.T) {
	_, err := remote.Local(1000, remote.Options{})
	if problem.KindOf(err) != problem.Input || !strings.Contains(problem.All(err)[0].Fix, "sudo") {
		t.Errorf("got %v", err)
	}
}
