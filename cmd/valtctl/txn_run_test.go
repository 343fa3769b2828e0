package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/txn"
)

// bareHost is a folder that stands for a host, with what names its boot.
func bareHost(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range map[string]string{
		"/proc/sys/kernel/random/boot_id": "5f0c2f4e-95a5-4b8d-8f0a-0c0d9be6a1aa\n",
		"/proc/1/stat":                    "1 (systemd) S 0 1 1 0 -1 4194560 2 5 5 4 6 14 1 8 20 0 1 0 1 42 2 3\n",
	} {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// directoryTxn creates a transaction that makes one folder.
func directoryTxn(t *testing.T, root, path string) string {
	t.Helper()
	params, err := json.Marshal(files.DirectoryParams{Path: path, Mode: "0750", UID: os.Getuid(), GID: os.Getgid()})
	if err != nil {
		t.Fatal(err)
	}
	id, err := txn.NewStore(root, time.Now).Create(txn.Request{
		Schema: txn.Schema, Site: "st-marys", Host: "app1", Roles: []string{"app"}, Release: "6.4.2",
		PlanDigest: "abc", RunID: "run-1", Who: "pat\nforged line", Policy: txn.Allow,
		Steps: []step.Spec{{ID: "directory", Kind: "directory", Title: "folder " + path, Half: step.Apply, Disrupts: step.Nothing, Params: params}},
	}, nil, step.NewRegistry(stepKinds()))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// onHost runs a command line on the host below root.
func onHost(t *testing.T, root string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, hostRoot: root}
	return a.main(t.Context(), args), out.String(), errs.String()
}

func TestTheUnitRunsItsTransactionAndLogsTwoLines(t *testing.T) {
	root := bareHost(t)
	id := directoryTxn(t, root, "/srv/x")
	code, out, errs := onHost(t, root, "txn-run", id)
	if code != 0 {
		t.Fatal(code, errs)
	}
	if info, err := os.Stat(filepath.Join(root, "/srv/x")); err != nil || !info.IsDir() {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `by "pat\nforged line"`) || !strings.Contains(lines[1], id+" done: 1 steps changed") {
		t.Errorf("%q", lines)
	}
}

func TestTheUnitOfAFailedTransactionSaysWhy(t *testing.T) {
	root := bareHost(t)
	if err := os.WriteFile(filepath.Join(root, "srv"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := onHost(t, root, "txn-run", directoryTxn(t, root, "/srv/x"))
	if code != 1 || !strings.Contains(out, " failed: ") || !strings.Contains(errs, "/srv/x") {
		t.Error(code, out, errs)
	}
	if code, _, errs := onHost(t, root, "txn-run", "../../etc"); code != 2 || !strings.Contains(errs, "is not an id") {
		t.Error(code, errs)
	}
}

func TestTheBootUnitHasNothingToSayWhereNothingIsUnfinished(t *testing.T) {
	root := bareHost(t)
	if code, out, errs := onHost(t, root, "txn-resume"); code != 0 || out+errs != "" {
		t.Error(code, out, errs)
	}
	directoryTxn(t, root, "/srv/x")
	if code, out, errs := onHost(t, root, "txn-resume"); code != 0 || !strings.Contains(out, " done: ") {
		t.Error(code, out, errs)
	}
}
