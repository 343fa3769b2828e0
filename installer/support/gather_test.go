package support

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
)

// programs answer with what they print; the others are not there.
type programs map[string]func(argv []string) (step.Output, error)

func (p programs) Run(_ context.Context, c step.Command) (step.Output, error) {
	run := p[c.Argv[0]]
	if run == nil {
		return step.Output{Code: -1}, fmt.Errorf("running %s: %w", c.Argv[0], fs.ErrNotExist)
	}
	return run(c.Argv)
}

func prints(text string) func([]string) (step.Output, error) {
	return func([]string) (step.Output, error) { return step.Output{Stdout: []byte(text)}, nil }
}

// computer is a host in a folder.
func computer(t *testing.T, run programs) *step.Machine {
	t.Helper()
	root, err := os.MkdirTemp("", "s") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	now := func() time.Time { return time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC) }
	m := &step.Machine{Root: root, Run: run, Now: now}
	for path, content := range map[string]string{
		"/etc/os-release":                 "ID=ubuntu\nVERSION_ID=24.04\nVERSION_CODENAME=noble\n",
		"/proc/sys/kernel/random/boot_id": "0f0f0f0f-0000-4000-8000-000000000001\n",
		"/proc/self/mountinfo":            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
		"/proc/uptime":                    "100.00 50.00\n",
		"/proc/meminfo":                   "MemTotal: 8000000 kB\n",
		"/sys/devices/system/cpu/online":  "0-3\n",
		"/proc/1/stat":                    "1 (systemd) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 1 1 1\n",
	} {
		put(t, m, path, content)
	}
	return m
}

func put(t *testing.T, m *step.Machine, path, content string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(m.Path(path)), 0o755)
	if err == nil {
		err = os.WriteFile(m.Path(path), []byte(content), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// gathered is what a host sends.
type gathered struct {
	order []string
	files map[string]string
	ends  map[string]End
}

func gather(t *testing.T, m *step.Machine, r Request) gathered {
	t.Helper()
	if r.PerFile == 0 {
		r.PerFile, r.PerHost = 1<<20, 16<<20
	}
	g := gathered{files: map[string]string{}, ends: map[string]End{}}
	err := Gather(t.Context(), Env{Machine: m}, r, func(p Part) error {
		g.files[p.Path] += string(p.Data)
		if p.End != nil {
			g.order, g.ends[p.Path] = append(g.order, p.Path), *p.End
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// has says whether any file, or what is said of one, has a text.
func (g gathered) has(text string) string {
	for _, name := range g.order {
		if strings.Contains(g.files[name], text) || strings.Contains(g.ends[name].Problem, text) {
			return name
		}
	}
	return ""
}

func TestWhatAHostKnowsToBeSecretDoesNotLeaveIt(t *testing.T) {
	journal := "innocent KomponentPw9 LicenceKey-77 keyline0123456789abcdef RunSecret42 RegistryPw-5 zuD0pw pr0xyPass aptRepoPw99 elsewhere-Pw1 scheduleKeyLine99 hooks.example/T0/B1 mailPw-3\n"
	m := computer(t, programs{"journalctl": prints(journal)})
	put(t, m, "/etc/valt/secrets/db", "KomponentPw9\n")
	put(t, m, "/etc/valt/licence/wowza.key", "LicenceKey-77\n")
	put(t, m, "/etc/valt/tls/key.pem", "-----BEGIN PRIVATE KEY-----\nkeyline0123456789abcdef\n-----END PRIVATE KEY-----\n")
	put(t, m, "/run/valtctl/txn/t1/secrets/registry-password", "RunSecret42")
	put(t, m, "/root/.docker/config.json", `{"auths":{"docker.ipivs.com":{"auth":"c3QtbWFyeXM6UmVnaXN0cnlQdy01"}}}`)
	put(t, m, "/etc/apt/apt.conf.d/proxy", `Acquire::http::Proxy "http://squid:pr0xyPass@10.0.0.9:3128/";`+"\n")
	put(t, m, "/etc/apt/auth.conf.d/valt.conf", "machine apt.ipivs.com login a password aptRepoPw99\n")
	put(t, m, "/srv/own/db", "elsewhere-Pw1\n")
	put(t, m, "/var/lib/valtctl/schedule/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nscheduleKeyLine99\n-----END OPENSSH PRIVATE KEY-----\n")
	put(t, m, "/var/lib/valtctl/site/st-marys/schedule/webhook", "https://hooks.example/T0/B1\n")
	put(t, m, "/var/lib/valtctl/restricted/mail", "mailPw-3\n")
	put(t, m, "/var/lib/valtctl/site/st-marys/schedule.json", `{"skipped":3}`)
	put(t, m, "/var/lib/valtctl/site/st-marys/runs/20261122T020000Z-a.jsonl", `{"kind":"begin"}`)
	put(t, m, "/var/lib/valtctl/txn/20261122T020000Z-1/request.json", `{"steps":[{"id":"p","kind":"password","params":{"path":"/srv/own/db"}}]}`)
	g := gather(t, m, Request{Secrets: map[string][]byte{"sudo-password": []byte("zuD0pw\n")}})
	for _, secret := range []string{"KomponentPw9", "LicenceKey-77", "keyline0123456789", "RunSecret42", "RegistryPw-5", "zuD0pw", "pr0xyPass", "aptRepoPw99", "elsewhere-Pw1", "scheduleKeyLine99", "mailPw-3"} {
		if where := g.has(secret); where != "" {
			t.Errorf("%s is left in %s: %s", secret, where, g.files[where])
		}
	}
	const log = "journal/valtctl.log"
	if !strings.HasPrefix(g.files[log], "innocent [removed:component-password] ") {
		t.Errorf("%s", g.files[log])
	}
	if n := g.ends[log].Removed; n["component-password"] != 2 || n["sudo-password"] != 1 || n["licence"] != 1 {
		t.Errorf("what was removed is not told: %v", n)
	}
	if text := g.files["files/etc/apt/apt.conf.d/proxy"]; text != `Acquire::http::Proxy "http://[removed:url-login]@10.0.0.9:3128/";`+"\n" {
		t.Errorf("%s", text)
	}
	if g.files["files/var/lib/valtctl/site/st-marys/schedule.json"] == "" || g.files["files/var/lib/valtctl/site/st-marys/runs/20261122T020000Z-a.jsonl"] == "" {
		t.Errorf("what unattended runs remember is missing: %v", g.order)
	}
	for _, path := range g.order {
		if strings.Contains(path, "secrets") || strings.Contains(path, "auth.conf") || strings.Contains(path, ".docker") {
			t.Errorf("%s is in it", path)
		}
	}
}

func TestTheNewestTransactionsComeFirstAndOldOnesAreLeftOut(t *testing.T) {
	m := computer(t, programs{})
	line := strings.Repeat("x", 99) + "\n"
	for _, id := range []string{"20261101T020000Z-a", "20261108T020000Z-b", "20261115T020000Z-c"} {
		put(t, m, "/var/lib/valtctl/txn/"+id+"/journal.jsonl", strings.Repeat(line, 200)+"last of "+id+"\n")
	}
	g := gather(t, m, Request{PerFile: 10 << 10, PerHost: 16 << 10})
	newest, next, oldest := "transactions/20261115T020000Z-c/journal.jsonl", "transactions/20261108T020000Z-b/journal.jsonl", "transactions/20261101T020000Z-a/journal.jsonl"
	if text := g.files[newest]; len(text) > 10<<10 || len(text) < 9<<10 || !strings.HasSuffix(text, "last of 20261115T020000Z-c\n") || !strings.HasPrefix(text, "xxx") || len(text)%100 != 27 {
		t.Errorf("the newest: %d bytes, %.20q", len(text), text)
	}
	if cut := g.ends[newest].Cut; cut+int64(len(g.files[newest])) != 200*100+27 {
		t.Errorf("%d bytes are said to be cut of it", cut)
	}
	if text := g.files[next]; len(text) >= 10<<10 || !strings.HasSuffix(text, "last of 20261108T020000Z-b\n") {
		t.Errorf("the next has what is left of the host's limit, not %d bytes", len(text))
	}
	if e := g.ends[oldest]; !e.LeftOut || !strings.Contains(e.Problem, "limit") {
		t.Errorf("the oldest: %+v", e)
	}
	if slices.Index(g.order, newest) > slices.Index(g.order, next) {
		t.Errorf("%v", g.order)
	}
}

func TestWhatCannotBeReadIsSaidAndHoldsUpNothing(t *testing.T) {
	failing := errors.New("exit status 1: Failed to connect to bus: password=hunter2")
	m := computer(t, programs{
		"systemctl":  func([]string) (step.Output, error) { return step.Output{Code: 1, Stdout: []byte("half\n")}, failing },
		"nft":        func([]string) (step.Output, error) { return step.Output{Code: 1}, failing },
		"journalctl": prints("a line\n"),
	})
	put(t, m, "/etc/valt/secrets/short", "ab")
	g := gather(t, m, Request{})
	if e := g.ends["systemd/failed.txt"]; g.files["systemd/failed.txt"] != "half\n" || !strings.Contains(e.Problem, "Failed to connect") || e.LeftOut {
		t.Errorf("%+v", e)
	}
	if e := g.ends["nftables.txt"]; !e.LeftOut || strings.Contains(e.Problem, "hunter2") {
		t.Errorf("%+v", e)
	}
	if g.files["journal/docker.log"] != "a line\n" {
		t.Error("the journal is missing")
	}
	if e := g.ends["secrets"]; !e.LeftOut || !strings.Contains(e.Problem, "component-password") {
		t.Errorf("a secret that is too short to look for is not told: %+v", e)
	}
	var facts struct{ OS struct{ Codename string } }
	if err := json.Unmarshal([]byte(g.files["facts.json"]), &facts); err != nil || facts.OS.Codename != "noble" {
		t.Errorf("%s, %v, %+v", g.files["facts.json"], err, g.ends["facts.json"])
	}
}

func TestAJournalThatIsTooLongIsAskedForLess(t *testing.T) {
	var asked []string
	m := computer(t, programs{"journalctl": func(argv []string) (step.Output, error) {
		asked = append(asked, argv[4])
		if argv[4] != "--lines=200" {
			return step.Output{Stdout: []byte("old\n")}, errors.New("it printed more than 16777216 bytes")
		}
		return step.Output{Stdout: []byte("new\n")}, nil
	}})
	if g := gather(t, m, Request{}); g.files["journal/valtctl.log"] != "new\n" || !slices.Equal(asked[:3], []string{"--lines=20000", "--lines=2000", "--lines=200"}) {
		t.Errorf("%q, %v", g.files["journal/valtctl.log"], asked)
	}
}

// engine answers for two containers, ours and another's, on the host's own socket.
func engine(t *testing.T, m *step.Machine, log string) {
	t.Helper()
	socket := m.Path("/var/run/docker.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Api-Version", "1.41")
			w.Header().Set("Server", "Docker/27.3.1 (linux)")
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, text)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", answer("OK"))
	mux.HandleFunc("/v1.41/containers/json", answer(`[{"Id":"b"},{"Id":"a"},{"Id":"gone"}]`))
	mux.HandleFunc("/v1.41/containers/a/json", answer(`{"Id":"a","Name":"/valt-web","State":{"Status":"running"},"Config":{"Image":"web",
		"Labels":{"`+docker.LabelSite+`":"st-marys"},"Env":["VALT_DB_PASSWORD=env-Secret-1","LINES=20"]}}`))
	mux.HandleFunc("/v1.41/containers/b/json", answer(`{"Id":"b","Name":"/customers-own","State":{"Status":"exited","ExitCode":3},"Config":{"Image":"own","Env":["ANYTHING=their business","API_TOKEN=their-Token-2"]}}`))
	mux.HandleFunc("/v1.41/containers/gone/json", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"message":"no such container"}`, 404) })
	mux.HandleFunc("/v1.41/containers/a/logs", func(w http.ResponseWriter, _ *http.Request) {
		var frame bytes.Buffer
		frame.Write([]byte{1, 0, 0, 0})
		_ = binary.Write(&frame, binary.BigEndian, uint32(len(log)))
		frame.WriteString(log)
		_, _ = w.Write(frame.Bytes())
	})
	mux.HandleFunc("/v1.41/info", answer(`{"HttpProxy":"http://u:engineProxyPw@10.0.0.9:3128"}`))
	mux.HandleFunc("/v1.41/version", answer(`{"Version":"27.3.1"}`))
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
}

func TestContainersAreToldWithoutWhatTheyAreToldInConfidence(t *testing.T) {
	m := computer(t, programs{"journalctl": prints("their-Token-2 leaked here\n")})
	engine(t, m, "2026-11-22T02:00:00.000000001Z starting with env-Secret-1\n")
	g := gather(t, m, Request{})
	for _, secret := range []string{"env-Secret-1", "their business", "their-Token-2", "engineProxyPw"} {
		if where := g.has(secret); where != "" {
			t.Errorf("%s is left in %s: %s", secret, where, g.files[where])
		}
	}
	if got := g.files["containers/valt-web.log"]; got != "2026-11-22T02:00:00.000000001Z starting with [removed:container-variable]\n" {
		t.Errorf("%q, %+v", got, g.ends["containers/valt-web.log"])
	}
	if text := g.files["containers.json"]; !strings.Contains(text, "LINES=20") || !strings.Contains(text, `"ANYTHING"`) || !strings.Contains(text, `"ExitCode": 3`) {
		t.Errorf("%s, %+v", text, g.ends["containers.json"])
	}
	if _, there := g.files["containers/customers-own.log"]; there {
		t.Error("the log of another's container is in it")
	}
}

func TestLimitsThatAreTooSmallAreRefused(t *testing.T) {
	err := Gather(t.Context(), Env{Machine: computer(t, programs{})}, Request{PerFile: 10, PerHost: 1 << 20}, func(Part) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "too small") {
		t.Error(err)
	}
}
