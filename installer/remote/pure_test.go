package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"ipivs.com/valtctl/repos/problem"
)

func TestQuoteSurvivesShells(t *testing.T) {
	script, once := strings.ReplaceAll(installScript, "\n", " "), strings.ReplaceAll(onceScript, "\n", " ")
	argv := []string{"printf", "%s,", "", "a b", `$HOME "x" ~ * ;|&`, script, once}
	line, err := quote(argv)
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"sh", "bash"} {
		out, err := exec.Command(shell, "-c", line).Output()
		if err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		if want := strings.Join(argv[2:], ",") + ","; string(out) != want {
			t.Errorf("%s made %q of %q", shell, out, want)
		}
	}
}

func TestQuoteRefusesWhatShellsReadDifferently(t *testing.T) {
	for _, word := range []string{"it's", `back\slash`, "two\nlines", "wow!", "nul\x00"} {
		if line, err := quote([]string{"echo", word}); err == nil {
			t.Errorf("%q was passed on as %s", word, line)
		}
	}
}

func TestAskedIgnoresTracedCommands(t *testing.T) {
	cases := map[string]struct {
		stderr string
		want   int
	}{
		"nothing":           {"Welcome\n", 0},
		"the question":      {"lecture\nNONCE:", 1},
		"after bare noise":  {"no newlineNONCE:", 1},
		"a second question": {"NONCE:\nSorry, try again.\nNONCE:", 2},
		"set -x":            {"+ env LC_ALL=C sudo --stdin -p NONCE: -- /agent NONCE\n", 0},
		"set -x, question":  {"+ sudo --stdin -p NONCE: -- x\nNONCE:", 1},
	}
	for name, c := range cases {
		if got := asked(c.stderr, "NONCE"); got != c.want {
			t.Errorf("%s: heard %d questions, want %d", name, got, c.want)
		}
	}
}

// A second question is the first again, or another one: a second factor is no wrong password.
func TestASecondQuestionOfSudos(t *testing.T) {
	for text, want := range map[string]string{
		"NONCE:\nSorry, try again.\nNONCE:": "wrong password",
		"[sudo: NONCE:] Password: \nsudo: Authentication failed, try again.\n[sudo: NONCE:] Password: ": "wrong password",
		"[sudo: NONCE:] Password: \n[sudo: NONCE:] Verification code: ":                                 `asks: "Verification code"`,
	} {
		if err := asksOther(text, "NONCE"); !errors.Is(err, ErrSudo) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := explainFailure("", "sudo: maximum 3 incorrect authentication attempts", 1); err.Error() != wrongPassword().Error() {
		t.Error(err)
	}
}

// One that punishes this address is asked again for a minute, and one that hangs up four times.
func TestServersThatDoNotListenAreAskedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		pauses []time.Duration
	}{
		"hangs up": {errHungUp, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}},
		"punishes": {errPunished, []time.Duration{15 * time.Second, 15 * time.Second, 15 * time.Second, 15 * time.Second}},
		"refuses":  {ErrLogin, nil},
		"lets in":  {nil, nil},
	} {
		var got []time.Duration
		for pause, again := askAgain(c.err, 0); again; pause, again = askAgain(c.err, len(got)) {
			got = append(got, pause)
		}
		if !slices.Equal(got, c.pauses) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestExplainFailure(t *testing.T) {
	path := AgentPath("abc")
	cases := map[string]struct {
		stderr string
		want   error
	}{
		"sudo, missing":         {"sudo: " + path + ": command not found", errMissing},
		"env, missing":          {"env: '" + path + "': No such file or directory", errMissing},
		"dash, missing":         {"sh: 1: " + path + ": not found", errMissing},
		"sudo, noexec":          {"sudo: unable to execute " + path + ": Permission denied", ErrNoExec},
		"env, noexec":           {"env: '" + path + "': Permission denied", ErrNoExec},
		"noise is not the file": {"bash: /etc/motd: Permission denied\nsudo: " + path + ": command not found", errMissing},
		"not in sudoers":        {"valt is not in the sudoers file.", ErrSudo},
		"not allowed":           {"Sorry, user valt is not allowed to execute '" + path + "' as root on app1.", ErrSudo},
		"requiretty":            {"sudo: sorry, you must have a tty to run sudo", ErrSudo},
		"wrong password":        {"sudo: 1 incorrect password attempt", ErrSudo},
		"sudo-rs, not allowed":  {"sudo: I'm sorry valt. I'm afraid I can't do that", ErrSudo},
		"sudo-rs, may not ask":  {"sudo: interaction is required", ErrSudo},
		"no sudo":               {"env: 'sudo': No such file or directory", ErrSudo},
		"full":                  {"cat: write error: No space left on device", ErrDiskFull},
		"another machine":       {path + ": cannot execute binary file: Exec format error", ErrArch},
	}
	for name, c := range cases {
		err := explainFailure(path, c.stderr, 1)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if !strings.Contains(err.Error(), "exit code 1") && name != "wrong password" {
			t.Errorf("%s: %v does not say how it ended", name, err)
		}
	}
	other := explainFailure(path, "panic: boom", 2)
	if got := other.Error(); got != "exit code 2: panic: boom" {
		t.Errorf("an unknown end reads %q", got)
	}
}

func TestParseHop(t *testing.T) {
	cases := map[string]hop{
		"bastion":                {name: "bastion", host: "bastion"},
		"ops@bastion:2222":       {name: "bastion", host: "bastion", user: "ops", port: 2222},
		"ssh://ops@10.0.0.1:22":  {name: "10.0.0.1", host: "10.0.0.1", user: "ops", port: 22},
		"a@corp.example@bastion": {name: "bastion", host: "bastion", user: "a@corp.example"},
	}
	for text, want := range cases {
		got, err := parseHop(text)
		if err != nil || !cmp.Equal(got, want, cmp.AllowUnexported(hop{})) {
			t.Errorf("%q became %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "ops@", "bastion:0", "bastion:99999", "bastion:ssh", "a b"} {
		if _, err := parseHop(text); problem.KindOf(err) != problem.Input || err == nil {
			t.Errorf("%q gave %v", text, err)
		}
	}
}

func TestRouteFillsInFromSSHConfig(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	text := "Host media1\n  HostName 10.0.4.21\n  User deploy\n  Port 2200\n  IdentityFile ~/.ssh/%h\n  ProxyJump ops@bastion:2222,inner\nHost inner\n  User hop\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := Environment{Home: "/home/me", User: "me", Config: config}
	cases := map[string]struct {
		options Options
		want    []string
	}{
		"all from ssh_config":   {Options{Address: "media1", Env: env}, []string{"ops@bastion:2222", "hop@inner:22", "media1 (deploy@10.0.4.21:2200)"}},
		"the site goes first":   {Options{Address: "media1", User: "valt", Port: 23, Jump: []string{"gate"}, Env: env}, []string{"me@gate:22", "media1 (valt@10.0.4.21:23)"}},
		"a host it has not":     {Options{Address: "10.9.9.9", Env: env}, []string{"me@10.9.9.9:22"}},
		"no ssh_config at all":  {Options{Address: "media1", Env: Environment{User: "me", Config: "/nonexistent"}}, []string{"me@media1:22"}},
		"named in the site":     {Options{Name: "app1", Address: "10.9.9.9", Env: env}, []string{"app1 (me@10.9.9.9:22)"}},
		"an empty surroundings": {Options{Address: "x"}, []string{"x:22"}},
	}
	for name, c := range cases {
		hops, err := route(c.options.withDefaults())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, h := range hops {
			got = append(got, h.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	hops, err := route(Options{Address: "media1", Env: env}.withDefaults())
	if err != nil || !cmp.Equal(hops[2].identities, []string{"/home/me/.ssh/10.0.4.21"}) {
		t.Errorf("the identity is %v, %v", hops[2].identities, err)
	}
}

func TestRouteNamesAnSSHConfigItCannotRead(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("Host [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := route(Options{Address: "x", Env: Environment{Config: config}})
	if err != nil && (problem.KindOf(err) != problem.Input || !strings.Contains(err.Error(), config)) {
		t.Errorf("got %v", err)
	}
}

func TestRememberReplacesOneHostOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state", "known_hosts")
	old, fresh := someKey(t), someKey(t)
	encoded := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(old)))
	kept := "# a comment\n*.example " + encoded + "\n@revoked 10.0.4.10 " + encoded + "\n10.0.4.11 " + encoded + "\n"
	before := kept + xknownhosts.HashHostname("10.0.4.10") + " " + encoded + "\n10.0.4.10,app1 " + encoded + "\n10.0.4.10 " + encoded
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time finds its own line and leaves one
		if err := Remember(path, "10.0.4.10:22", []ssh.PublicKey{fresh}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := kept + "app1 " + encoded + "\n10.0.4.10 " + string(ssh.MarshalAuthorizedKey(fresh))
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func someKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func FuzzForget(f *testing.F) {
	f.Add("10.0.4.10,app1 ssh-ed25519 AAAA", "10.0.4.10")
	f.Add("|1|c2FsdA==|aGFzaA== ssh-ed25519 AAAA", "10.0.4.10")
	f.Add("@cert-authority * ssh-ed25519 AAAA", "*")
	f.Fuzz(func(t *testing.T, line, host string) {
		if strings.ContainsAny(line+host, "\n\r") {
			return
		}
		kept := forget(line, host)
		if again := forget(kept, host); again != kept {
			t.Errorf("forgetting %q twice in %q gave %q, then %q", host, line, kept, again)
		}
	})
}

func FuzzParseHop(f *testing.F) {
	f.Add("ops@bastion:22")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHop(text)
		if err == nil && (h.host == "" || h.port < 0 || h.port > 65535) {
			t.Errorf("%q became %+v", text, h)
		}
	})
}
