package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/testneeds"
	"ipivs.com/valtctl/updater"
)

// illHosts updates hosts but those whose containers do not come up.
type illHosts map[string]bool

func (illHosts) Stage(context.Context, string) error { return nil }

func (ill illHosts) Update(_ context.Context, host string) updater.HostRecord {
	r := updater.HostRecord{Outcome: updater.Updated, Downtime: 2600 * time.Millisecond, Transaction: "of-" + host, From: "6.4.1", To: "6.4.2"}
	if ill[host] {
		r.Outcome, r.Reason = updater.RolledBack, "its health check answered 500"
		r.Gates = []updater.Gate{{Name: "health", Text: "500 from app1"}}
	}
	return r
}

// rolledOut is a controller's folder after a rollout that media2 stopped, with a key to
// sign with and those who may sign.
func rolledOut(t *testing.T) (dir string) {
	t.Helper()
	testneeds.Of(t, testneeds.Program("ssh-keygen", "openssh-client"))
	dir = t.TempDir()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pat@example.com", "-f", dir+"/key").CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	public, err := os.ReadFile(dir + "/key.pub")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"signers": "pat@example.com " + string(public),
		"site.yaml": "site: st-marys\nname: valt.example\nssl: false\nclients: [10.0.0.0/16]\nssh: { user: valt, identity: key }\n" +
			"hosts: [{ name: app1, address: 10.0.0.1, roles: [app] }]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const run = "20261123T120000Z-abcdef"
	record, err := updater.OpenRecorder(dir+"/valtctl/st-marys", run, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := updater.Rollout{About: updater.About{Run: run, Kind: updater.KindUpdate, Site: "st-marys", From: "6.4.1", To: "6.4.2", Who: "pat@laptop"},
		Driver: illHosts{"media2": true}, Now: time.Now, Record: record, MediaFirst: true}
	for _, name := range []string{"media1", "media2", "media3"} {
		r.Hosts = append(r.Hosts, updater.Host{Name: name, Roles: []site.Role{site.Media}, Serves: true})
	}
	r.Policy = updater.Policy{Wave: site.Wave{Hosts: 1}, MinMediaServing: 1}
	if _, err := r.Run(t.Context()); err == nil {
		t.Fatal("the rollout was not halted")
	}
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// told runs a command in a folder and wants its exit code.
func told(t *testing.T, dir string, code int, args ...string) string {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", dir)
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs, now: time.Now}
	if got := a.main(t.Context(), append(args, "--site", dir+"/site.yaml")); got != code {
		t.Fatalf("valtctl %v: exit %d, want %d: %s", args, got, code, errs.String())
	}
	return out.String() + errs.String()
}

func TestAReportSaysWhyARolloutStopped(t *testing.T) {
	dir := rolledOut(t)
	said := told(t, dir, 0, "report")
	for _, want := range []string{"6.4.1 → 6.4.2", "by pat@laptop", "media1     updated, containers away for 2.6s", "media2     rolled-back", "answered 500", "media3     not-started", "records stand behind this"} {
		if !strings.Contains(said, want) {
			t.Errorf("the report lacks %q:\n%s", want, said)
		}
	}
	if html := told(t, dir, 0, "report", "-o", "html"); !strings.Contains(html, "its health check answered 500") {
		t.Error("the page does not say why")
	}
}

func TestASignedReportIsCheckedWithSSHsOwnTool(t *testing.T) {
	dir := rolledOut(t)
	file := filepath.Join(dir, "report.json")
	told(t, dir, 0, "report", "--sign", file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r updater.Report
	if err := json.Unmarshal(content, &r); err != nil || len(r.Hosts) != 3 {
		t.Fatalf("the report's file: %v, %d hosts", err, len(r.Hosts))
	}
	verify := func(content []byte) error {
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", dir+"/signers", "-I", "pat@example.com", "-n", reportNamespace, "-s", file+".sig")
		cmd.Stdin = bytes.NewReader(content)
		return cmd.Run()
	}
	if err := verify(content); err != nil {
		t.Errorf("ssh-keygen does not accept the signature: %v", err)
	}
	if verify(bytes.Replace(content, []byte("rolled-back"), []byte("updated"), 1)) == nil {
		t.Error("ssh-keygen accepts a report that was changed")
	}
}

func TestAChangedRecordIsNoReportToSign(t *testing.T) {
	dir := rolledOut(t)
	journals, err := filepath.Glob(dir + "/valtctl/st-marys/runs/*.jsonl")
	if err != nil || len(journals) != 1 {
		t.Fatal(journals, err)
	}
	content, err := os.ReadFile(journals[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journals[0], bytes.Replace(content, []byte("rolled-back"), []byte("updated"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := told(t, dir, 6, "report", "--sign", dir+"/report.json"); !strings.Contains(said, "jsonl") {
		t.Errorf("it does not say what was changed: %s", said)
	}
	if _, err := os.Stat(dir + "/report.json"); err == nil {
		t.Error("it was signed all the same")
	}
}
