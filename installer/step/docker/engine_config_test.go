package docker

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// wantedEngine is a configuration that uses everything.
func wantedEngine() EngineConfigParams {
	return EngineConfigParams{
		Proxy: "http://proxy.example.com:3128", NoProxy: "localhost,127.0.0.1,10.0.4.0/24",
		AddressPool: "192.168.240.0/20", LiveRestore: true,
		RegistryCAs: map[string]string{"docker.ipivs.com": "-----BEGIN CERTIFICATE-----\n", "mirror.example.com:5000": "-----BEGIN CERTIFICATE-----\n"},
	}
}

func TestEngineIsConfiguredBeforeItsFirstStart(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	runs := steptest.RecordedRuns{}
	h.Run = runs
	found := steptest.Settles(t, steptest.MakeStep(t, EngineConfigKind(), wantedEngine()), h)
	if found.Disrupts != step.Nothing || len(runs) != 0 {
		t.Errorf("disrupts %s, ran %v", found.Disrupts, runs)
	}
	want := `{
	"bip": "192.168.240.1/24",
	"default-address-pools": [
		{
			"base": "192.168.240.0/20",
			"size": 24
		}
	],
	"live-restore": true,
	"log-driver": "json-file",
	"log-opts": {
		"max-file": "5",
		"max-size": "50m"
	}
}
`
	if got := steptest.Content(t, h, daemonFile); got != want {
		t.Errorf("daemon.json:\n%s", got)
	}
	if got := steptest.Content(t, h, proxyDropIn); !strings.Contains(got, `Environment="HTTPS_PROXY=http://proxy.example.com:3128"`) {
		t.Error(got)
	}
	for _, host := range []string{"docker.ipivs.com", "mirror.example.com:5000"} {
		if steptest.Mode(t, h, certsDir+"/"+host+"/ca.crt") != 0o644 {
			t.Errorf("the CA of %s cannot be read by all", host)
		}
	}
}

func TestEngineConfigurationKeepsWhatIsNotOurs(t *testing.T) {
	p, err := newEngineConfig(wantedEngine())
	if err != nil {
		t.Fatal(err)
	}
	edited, err := p.daemonEdit()([]byte(`{"storage-driver":"overlay2","max-concurrent-downloads":12345678901234567890,"live-restore":false}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"storage-driver": "overlay2"`, `12345678901234567890`, `"live-restore": true`} {
		if !strings.Contains(string(edited), want) {
			t.Errorf("without %s:\n%s", want, edited)
		}
	}
	again, err := p.daemonEdit()(edited)
	if err != nil || string(again) != string(edited) {
		t.Errorf("a second edit changes it:\n%s, %v", again, err)
	}
	// What is right but written otherwise stays as somebody wrote it.
	compact := strings.NewReplacer("\n", "", "\t", "").Replace(string(edited))
	if kept, err := p.daemonEdit()([]byte(compact)); err != nil || string(kept) != compact {
		t.Errorf("rewritten for its looks:\n%s, %v", kept, err)
	}
	for _, broken := range []string{"{", "[]", `{"a":1}}`} {
		if _, err := p.daemonEdit()([]byte(broken)); err == nil {
			t.Errorf("edited the broken %q", broken)
		}
	}
}

func TestEngineWithoutAProxyAnyMore(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	steptest.Settles(t, steptest.MakeStep(t, EngineConfigKind(), wantedEngine()), h)
	p := wantedEngine()
	p.Proxy = ""
	if found := steptest.Settles(t, steptest.MakeStep(t, EngineConfigKind(), p), h); found.Diff != "- "+proxyDropIn+"\n" {
		t.Error(found.Diff)
	}
}

func TestEngineAddressPool(t *testing.T) {
	for pool, want := range map[string]struct {
		bip  string
		size int
	}{"192.168.240.0/20": {"192.168.240.1/24", 24}, "10.8.0.0/16": {"10.8.0.1/24", 24}, "10.8.0.0/24": {"10.8.0.1/28", 28}, "10.8.0.0/22": {"10.8.0.1/26", 26}} {
		bip, size, err := splitPool(pool)
		if err != nil || bip != want.bip || size != want.size {
			t.Errorf("%s: %s, %d, %v", pool, bip, size, err)
		}
	}
	for _, bad := range []string{"", "10.8.0.1/16", "10.8.0.0/25", "fd00::/64", "10.8.0.0"} {
		if _, _, err := splitPool(bad); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}

func TestEngineConfigParametersThatAreRefused(t *testing.T) {
	for name, p := range map[string]EngineConfigParams{
		"password in the proxy": {Proxy: "http://me:secret@proxy:3128"},
		"proxy without scheme":  {Proxy: "proxy"},
		"climbing registry":     {RegistryCAs: map[string]string{"../../etc": "x"}},
		"pool":                  {AddressPool: "everything"},
	} {
		if _, err := newEngineConfig(p); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// runningEngine is a machine with files of its own and this machine's engine with the test's
// own containers, which the recorded commands do not reach.
func runningEngine(t *testing.T) (*step.Machine, *orderedRuns) {
	t.Helper()
	h := steptest.RootMachine(t, nil)
	runs := &orderedRuns{}
	throughOwnEngine(t, h, ownName(t))
	h.Run = runs
	return h, runs
}

// orderedRuns remembers programs in order, and fails from the one whose name it is given.
type orderedRuns struct {
	lines []string
	fail  string
}

func (r *orderedRuns) Run(_ context.Context, c step.Command) (step.Output, error) {
	line := strings.Join(c.Argv, " ")
	if r.fail != "" && strings.Contains(line, r.fail) {
		return step.Output{Code: 1}, errors.New("killed")
	}
	r.lines = append(r.lines, line)
	return step.Output{}, nil
}

func TestRunningEngineIsReloadedBeforeItIsRestarted(t *testing.T) {
	h, runs := runningEngine(t)
	p := containerFor(t, load(t, probeImage(t, "")))
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), engineMachine(nil))
	found := steptest.Settles(t, steptest.MakeStep(t, EngineConfigKind(), wantedEngine()), h)
	if found.Disrupts != step.Engine || !strings.Contains(found.Diff, "+ Docker engine restarted") {
		t.Errorf("disrupts %s with a container running:\n%s", found.Disrupts, found.Diff)
	}
	want := "systemctl daemon-reload,systemctl reload docker.service,systemctl restart docker.service"
	if got := strings.Join(runs.lines, ","); got != want {
		t.Errorf("ran %s", got)
	}

	runs.lines = nil
	var daemon map[string]any
	if err := json.Unmarshal([]byte(steptest.Content(t, h, daemonFile)), &daemon); err != nil {
		t.Fatal(err)
	}
	daemon["live-restore"] = false
	text, err := json.Marshal(daemon)
	if err != nil {
		t.Fatal(err)
	}
	steptest.Place(t, h, daemonFile, string(text))
	if found := steptest.Settles(t, steptest.MakeStep(t, EngineConfigKind(), wantedEngine()), h); found.Disrupts != step.Nothing {
		t.Errorf("what a reload changes disrupts %s", found.Disrupts)
	}
	if got := strings.Join(runs.lines, ","); got != "systemctl daemon-reload,systemctl reload docker.service" {
		t.Errorf("ran %s", got)
	}

	runs.lines = nil
	withCA := wantedEngine()
	withCA.RegistryCAs["third.example.com"] = "-----BEGIN CERTIFICATE-----\n"
	steptest.Settles(t, steptest.MakeStep(t, EngineConfigKind(), withCA), h)
	if len(runs.lines) != 0 {
		t.Errorf("a registry's CA is read at each connection, yet ran %v", runs.lines)
	}
}

// Killed between the files and the restart, the engine still runs with what it read before.
func TestEngineRestartThatWasMissedIsMadeUp(t *testing.T) {
	h, runs := runningEngine(t)
	runs.fail = "restart"
	s := steptest.MakeStep(t, EngineConfigKind(), wantedEngine())
	if err := s.Apply(t.Context(), h); err == nil {
		t.Fatal("the failed restart was not told")
	}
	runs.fail = ""
	runs.lines = nil
	steptest.Settles(t, s, h)
	if got := strings.Join(runs.lines, ","); !strings.Contains(got, "restart docker.service") {
		t.Errorf("ran %s", got)
	}
}

func TestRegistryLoginIsKeptClosed(t *testing.T) {
	h := steptest.RootMachine(t, map[string]string{"registry": "let-me-in\n"})
	steptest.Place(t, h, loginFile, `{"auths":{"other.example.com":{"auth":"b3RoZXI="}},"detachKeys":"ctrl-e,e"}`)
	p := RegistryLoginParams{Registry: "docker.ipivs.com", Username: "st-marys", PasswordSecret: "registry"}
	found := steptest.Settles(t, steptest.MakeStep(t, RegistryLoginKind(), p), h)
	for _, secret := range []string{"let-me-in", "c3QtbWFyeXM6bGV0LW1lLWlu", "b3RoZXI="} {
		if strings.Contains(found.Diff, secret) {
			t.Errorf("the diff shows %s:\n%s", secret, found.Diff)
		}
	}
	got := steptest.Content(t, h, loginFile)
	for _, want := range []string{`"auth": "c3QtbWFyeXM6bGV0LW1lLWlu"`, "b3RoZXI=", "ctrl-e,e"} {
		if !strings.Contains(got, want) {
			t.Errorf("without %s:\n%s", want, got)
		}
	}
	if steptest.Mode(t, h, loginFile) != 0o600 || steptest.Mode(t, h, loginDir) != 0o700 {
		t.Errorf("modes %o and %o", steptest.Mode(t, h, loginFile), steptest.Mode(t, h, loginDir))
	}
}

func TestRegistryLoginRefusesABrokenFile(t *testing.T) {
	h := steptest.RootMachine(t, map[string]string{"registry": "x"})
	steptest.Place(t, h, loginFile, `{"auths":[]}`)
	p := RegistryLoginParams{Registry: "docker.ipivs.com", Username: "st-marys", PasswordSecret: "registry"}
	if _, err := steptest.MakeStep(t, RegistryLoginKind(), p).Inspect(t.Context(), h); err == nil || !strings.Contains(err.Error(), loginFile) {
		t.Error(err)
	}
	if _, err := step.NewRegistry([]step.Kind{RegistryLoginKind()}).Make(step.Spec{Kind: "registry-login", Params: []byte(`{"registry":"x"}`)}); err == nil {
		t.Error("a login without a user was taken")
	}
}

func FuzzDaemonEdit(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"bip":"10.0.0.1/24","log-opts":null}`, `{"a":{"b":[1,2]}}`, "null", "[]"} {
		f.Add([]byte(seed))
	}
	p, err := newEngineConfig(wantedEngine())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, was []byte) {
		edited, err := p.daemonEdit()(was)
		if err != nil {
			return
		}
		if again, err := p.daemonEdit()(edited); err != nil || string(again) != string(edited) {
			t.Errorf("not settled after one edit: %q then %q, %v", edited, again, err)
		}
		var before, after map[string]any
		if len(was) > 0 && json.Unmarshal(was, &before) == nil && json.Unmarshal(edited, &after) == nil {
			for key := range before {
				if _, ok := after[key]; !ok {
					t.Errorf("lost %q", key)
				}
			}
		}
	})
}
