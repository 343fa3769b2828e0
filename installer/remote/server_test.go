package remote_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/remote"
)

// server is a real SSH server on the loopback.
type server struct {
	port       int
	knownHosts string // a file that knows it
	identity   string // a key that every test login accepts
	log        *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startSSHD starts OpenSSH's server with further lines of sshd_config.
func startSSHD(t testing.TB, lines ...string) *server {
	t.Helper()
	furnished(t)
	dir, s := t.TempDir(), &server{port: freePort(t), log: &syncBuffer{}}
	hostKey := newKey(t, filepath.Join(dir, "host"))
	s.authorize(t, dir)
	if !strings.Contains(strings.Join(lines, "\n"), "Subsystem") {
		lines = append(lines, "Subsystem sftp /usr/lib/openssh/sftp-server")
	}
	config := append(lines, "SetEnv "+endsAtOnce, "Port "+strconv.Itoa(s.port), "ListenAddress 127.0.0.1", "HostKey "+filepath.Join(dir, "host"),
		"PidFile none", "UsePAM yes", "PermitRootLogin yes", "StrictModes no", "AuthorizedKeysFile "+filepath.Join(dir, "keys"))
	path := filepath.Join(dir, "sshd_config")
	write(t, path, strings.Join(config, "\n")+"\n")
	s.run(t, "/usr/sbin/sshd", "-D", "-e", "-f", path)
	s.knownHosts = filepath.Join(dir, "known_hosts")
	write(t, s.knownHosts, knownhosts.Line([]string{s.addr()}, hostKey)+"\n")
	return s
}

// startDropbear starts dropbear; its logins' keys stand in their homes.
func startDropbear(t testing.TB) *server {
	t.Helper()
	furnished(t)
	dir, s := t.TempDir(), &server{port: freePort(t), log: &syncBuffer{}}
	s.authorize(t, dir)
	keys, err := os.ReadFile(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logins {
		path := "/home/" + l[0] + "/.ssh/authorized_keys"
		write(t, path, string(keys))
	}
	key := filepath.Join(dir, "host")
	out, err := exec.Command("dropbearkey", "-t", "ed25519", "-f", key).CombinedOutput()
	if err != nil {
		t.Fatalf("dropbearkey: %v\n%s", err, out)
	}
	s.run(t, "/usr/sbin/dropbear", "-F", "-E", "-r", key, "-p", s.addr())
	public := ""
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "ssh-ed25519 ") {
			public = line
		}
	}
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil {
		t.Fatalf("dropbearkey said %q: %v", out, err)
	}
	s.knownHosts = filepath.Join(dir, "known_hosts")
	write(t, s.knownHosts, knownhosts.Line([]string{s.addr()}, parsed)+"\n")
	return s
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// authorize has the file of authorized keys in dir hold the tests' one identity.
func (s *server) authorize(t testing.TB, dir string) {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.identity = filepath.Join(os.Getenv(inNamespace), "id")
	text, err := os.ReadFile(s.identity)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "keys"), string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

func (s *server) run(t testing.TB, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", argv[0], err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", argv[0], s.log)
		}
	})
	for range 200 {
		conn, err := net.Dial("tcp", s.addr())
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not listen:\n%s", argv[0], s.log)
}

// options log in as user with the server's own identity.
func (s *server) options(user string) remote.Options {
	return remote.Options{
		Name: "app1", Address: "127.0.0.1", Port: s.port, User: user,
		Identity: s.identity, KnownHosts: []string{s.knownHosts},
	}
}

// newKey writes a private key to path and returns its public half.
func newKey(t testing.TB, path string) ssh.PublicKey {
	t.Helper()
	public, err := writeKey(path, "")
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// writeKey makes a private key, with a passphrase unless it is empty.
func writeKey(path, passphrase string) (ssh.PublicKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(private.Public())
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// bare removes every agent from the machine.
func bare(t testing.TB) {
	t.Helper()
	furnished(t)
	parts, _ := filepath.Glob("/home/*/.valtctl-*")
	for _, path := range append(parts, "/var/lib/valtctl") {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

// dial connects, and closes the connection with the test.
func dial(t testing.TB, o remote.Options) *remote.Conn {
	t.Helper()
	c, err := remote.Dial(t.Context(), o)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// client starts the agent and speaks to it.
func client(t testing.TB, c *remote.Conn, a remote.Agent) *agent.Client {
	t.Helper()
	p, err := c.StartAgent(t.Context(), a)
	if err != nil {
		t.Fatalf("starting the agent: %v", err)
	}
	cl, err := agent.NewClient(t.Context(), p, "app1", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

func password(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

// running counts the agents that run on the machine from the tests' agent folder.
func running(t testing.TB) int {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, p := range processes {
		path, err := os.Readlink(p + "/exe")
		// Agents in containers of this machine have file systems of their own.
		if there, gone := os.Readlink(p + "/ns/mnt"); err != nil || gone != nil || there != here {
			continue
		}
		if strings.HasPrefix(path, remote.AgentRoot) {
			count++
		}
	}
	return count
}
