package installer_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/repos/problem"
)

// archived runs Support and unpacks what was written.
func archived(t *testing.T, p *practice, hide bool) (files map[string]string, m support.Manifest, err error) {
	t.Helper()
	o := p.options()
	a, made := support.NewArchive(redact.New(inputs.Secrets(o.Site)), 8<<20)
	if made != nil {
		t.Fatal(made)
	}
	defer a.Close()
	_, err = status.Support(t.Context(), o.Options, support.Request{PerFile: 1 << 20, PerHost: 8 << 20}, a)
	var h *redact.Hider
	if hide {
		h = status.Hide(o.Site)
	}
	file := filepath.Join(t.TempDir(), "a.tar.gz")
	if _, err := a.Write(file, support.Manifest{Site: o.Site.ID}, h); err != nil {
		t.Fatal(err)
	}
	files = untar(t, file)
	if err := json.Unmarshal([]byte(files["valtctl-support/MANIFEST.json"]), &m); err != nil {
		t.Fatal(err)
	}
	return files, m, err
}

func untar(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

func TestSupportHasTheJournalsOfWhatWasDoneAndNoSecret(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.write("id", []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nthis-line-is-of-the-key-alone\n-----END OPENSSH PRIVATE KEY-----\n"))
	p.edit("clients:", "ssh: { identity: id }\nclients:")
	p.install()
	// What only the controller knows, and what the host was given, in places of a host.
	p.hosts["app1"].Write("/var/log/dpkg.log", "marker registry-secret this-line-is-of-the-key-alone EDEV4-aaaaa-bbbbb-ccccc-ddddd-eeeee-fffffffffff\n")
	files, m, err := archived(t, p, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		for _, secret := range []string{"registry-secret", "this-line-is-of-the-key", "EDEV4-aaaaa"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %s", name, secret)
			}
		}
	}
	if text := files["valtctl-support/hosts/app1/files/var/log/dpkg.log"]; !strings.HasPrefix(text, "marker [removed:registry-password] [removed:ssh-identity] [removed:licence") {
		t.Errorf("%q", text)
	}
	id := p.hosts["app1"].Transactions()[0].ID
	if text := files["valtctl-support/hosts/app1/transactions/"+id+"/journal.jsonl"]; !strings.Contains(text, `"kind":"begin"`) {
		t.Errorf("the transaction's journal is %q", text)
	}
	if len(m.Hosts) != 2 || !m.Hosts[0].Reached || !m.Hosts[1].Reached {
		t.Errorf("%+v", m.Hosts)
	}
}

func TestAHostOutOfReachIsNamedAndDoesNotFailTheRest(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.down["media1"] = &problem.Error{Doing: "connecting to", Object: "media1", Err: errors.New("dialling 10.0.4.21:22: no route to host"), Fix: "look at the cable"}
	files, m, err := archived(t, p, true)
	if problem.KindOf(err).ExitCode() != 1 || !strings.Contains(err.Error(), "no route") {
		t.Error(err)
	}
	if files["valtctl-support/hosts/host-1/facts.json"] == "" && files["valtctl-support/hosts/host-1/survey.json"] == "" {
		t.Error("what the other has is missing")
	}
	if len(m.Hosts) != 2 || m.Hosts[1].Host != "host-2" || m.Hosts[1].Reached || !strings.Contains(m.Hosts[1].Problem, "dialling addr-2:22: no route") {
		t.Errorf("%+v", m.Hosts)
	}
	for name, text := range files {
		if strings.Contains(name+text, "10.0.4.") || strings.Contains(name+text, "media1") {
			t.Errorf("%s is not hidden", name)
		}
	}
}
