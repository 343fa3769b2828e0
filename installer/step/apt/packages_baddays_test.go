package apt

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// failing is a package whose script fails until /tmp/mended is there.
func failing() deb {
	return deb{name: "fragile", version: "1", postinst: "test -e /tmp/mended || { echo no luck >&2; exit 3; }\n"}
}

func TestPackagesMendsAHalfConfiguredPackage(t *testing.T) {
	t.Parallel()
	r := aptHost(t, failing(), deb{name: "wanted", version: "1"})
	if said := refused(t, r, wanting(t, "fragile")); !strings.Contains(said, "fragile") || !strings.Contains(said, "post-installation script") {
		t.Errorf("a failing script is told as %q", said)
	}
	found, err := wanting(t, "fragile").Inspect(t.Context(), r.Machine)
	if err != nil || !strings.Contains(found.Diff, "- fragile 1 is in dpkg's state iF") {
		t.Errorf("%+v, %v", found, err)
	}
	if said := refused(t, r, wanting(t, "wanted")); !strings.Contains(said, "mending dpkg's state: fragile 1 is in dpkg's state iF") {
		t.Errorf("what cannot be mended is told as %q", said)
	}
	if r.version("wanted") != "" {
		t.Error("a package was installed over a broken state")
	}
	steptest.Place(t, r.Machine, "/tmp/mended", "")
	steptest.Settles(t, wanting(t, "wanted", "fragile"), r.Machine)
}

func TestPackagesBringsAMissingDependencyIfNothingIsRemoved(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "needy", version: "1", fields: "Depends: helper\n"}, deb{name: "helper", version: "1"})
	file := deb{name: "needy", version: "1", fields: "Depends: helper\n"}.build(t)
	steptest.Place(t, r.Machine, "/tmp/needy.deb", readText(t, file))
	r.in("apt-get", "update")
	r.in("dpkg", "--unpack", "/tmp/needy.deb")
	steptest.Settles(t, wanting(t, "needy"), r.Machine)
	if r.version("helper") != "ii 1" {
		t.Errorf("helper is %q", r.version("helper"))
	}
}

func TestPackagesLeavesToAPersonWhatOnlyARemovalMends(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "wanted", version: "1"})
	steptest.Place(t, r.Machine, "/tmp/orphan.deb", readText(t, deb{name: "orphan", version: "1", fields: "Depends: nowhere\n"}.build(t)))
	r.in("dpkg", "--unpack", "/tmp/orphan.deb")
	if said := refused(t, r, wanting(t, "wanted")); !strings.Contains(said, "apt would remove orphan to mend it") {
		t.Errorf("said %q", said)
	}
	if r.version("orphan") != "iU 1" {
		t.Errorf("orphan is %q", r.version("orphan"))
	}
}

func TestPackagesWaitsForTheHolderOfEachLock(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "lock0", version: "1"}, deb{name: "lock1", version: "1"}, deb{name: "lock2", version: "1"}, deb{name: "lock3", version: "1"})
	for i, lock := range packageLocks() {
		release := r.holdLock(lock)
		r.OnReport = func(p step.Progress) {
			if strings.Contains(p.Text, "unattended-upgr (process ") && strings.Contains(p.Text, "holds "+lock) {
				release()
			}
		}
		r.have("lock" + strconv.Itoa(i))
		if !r.ToldOf("holds " + lock) {
			t.Errorf("the holder of %s was not named in %+v", lock, r.Told)
		}
	}
}

func TestPackagesGivesUpOnALockWithoutTouchingItsHolder(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "wanted", version: "1"})
	release := r.holdLock("/var/lib/dpkg/lock-frontend")
	p := wanting(t, "wanted")
	p.wait = waiting{locks: 20 * time.Millisecond, poll: 10 * time.Millisecond}
	if said := refused(t, r, p); !strings.Contains(said, "unattended-upgr") || !strings.Contains(said, "waiting for the package manager") {
		t.Errorf("said %q", said)
	}
	if who, err := lockHolder(r.Machine); err != nil || who == nil {
		t.Errorf("the holder is gone: %v, %v", who, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("a person stopped it"))
	p.wait.locks = time.Hour
	if err := p.Apply(ctx, r.Machine); err == nil || !strings.Contains(err.Error(), "a person stopped it") {
		t.Errorf("cancelled while waiting: %v", err)
	}
	release()
	steptest.Settles(t, p, r.Machine)
}

func TestPackagesTriesAgainIfALockIsTakenJustBefore(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "wanted", version: "1"})
	tries := 0
	r.Machine.Run = steptest.RunFunc(func(ctx context.Context, c step.Command) (step.Output, error) {
		if tries++; tries < 4 {
			return step.Output{Stderr: []byte("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt)\n")}, errors.New("exit status 100")
		}
		return r.Run(ctx, c)
	})
	steptest.Settles(t, wanting(t, "wanted"), r.Machine)
}

// slow is a package whose script waits for /tmp/go, once.
func slow() deb {
	return deb{name: "slow", version: "1", postinst: "test -e /tmp/again && exit 0\ntouch /tmp/again /tmp/started\nwhile ! test -e /tmp/go; do sleep 0.02; done\n"}
}

// killDuring kills apt while the package's script runs.
func killDuring(t *testing.T, r *aptRoot, all bool) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- wanting(t, "slow", "wanted").Apply(t.Context(), r.Machine) }()
	for {
		if _, err := os.Stat(r.Path("/tmp/started")); err == nil {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("it ended before it was killed: %v", err)
		case <-time.After(2 * time.Millisecond):
		}
	}
	r.Kill(all)
	if err := <-done; err == nil {
		t.Error("killing apt was not noticed")
	}
}

func TestPackagesRecoversFromAKillInTheMiddleOfAScript(t *testing.T) {
	t.Parallel()
	r := aptHost(t, slow(), deb{name: "wanted", version: "1"})
	killDuring(t, r, true)
	found, err := wanting(t, "slow").Inspect(t.Context(), r.Machine)
	if err != nil || !found.Change {
		t.Errorf("after the kill: %+v, %v", found, err)
	}
	steptest.Settles(t, wanting(t, "slow", "wanted"), r.Machine)
}

func TestPackagesLetsAnOrphanedDpkgFinish(t *testing.T) {
	t.Parallel()
	r := aptHost(t, slow(), deb{name: "wanted", version: "1"})
	killDuring(t, r, false)
	r.OnReport = func(p step.Progress) {
		if strings.Contains(p.Text, "holds /var/lib/dpkg/lock") {
			steptest.Place(t, r.Machine, "/tmp/go", "")
		}
	}
	steptest.Settles(t, wanting(t, "slow", "wanted"), r.Machine)
	if !r.ToldOf("holds /var/lib/dpkg/lock") {
		t.Error("the dpkg that went on alone was not waited for")
	}
}

func TestPackagesReplaysDpkgsJournal(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "wanted", version: "1"})
	steptest.Place(t, r.Machine, "/var/lib/dpkg/updates/0000", "Package: wanted\nStatus: install ok not-installed\nArchitecture: "+debArch+"\n")
	found, err := wanting(t, "wanted").Inspect(t.Context(), r.Machine)
	if err != nil || !strings.Contains(found.Diff, "interrupted while it wrote its status") {
		t.Errorf("%+v, %v", found, err)
	}
	steptest.Settles(t, wanting(t, "wanted"), r.Machine)
}

func TestPackagesStopsAptsTimersAndStartsThemAgain(t *testing.T) {
	t.Parallel()
	r := aptHost(t, failing(), deb{name: "wanted", version: "1"})
	steptest.Place(t, r.Machine, "/run/systemd/system/x", "")
	active := map[string]bool{"apt-daily.timer": true}
	r.Fake["systemctl"] = func(argv []string) (string, error) {
		switch argv[1] {
		case "list-units":
			if active["apt-daily.timer"] {
				return "apt-daily.timer loaded active waiting Daily apt download activities\n", nil
			}
		case "stop", "start":
			for _, timer := range argv[2:] {
				active[timer] = argv[1] == "start"
			}
		}
		return "", nil
	}
	steptest.Settles(t, wanting(t, "wanted"), r.Machine)
	if len(r.Runs("systemctl stop apt-daily.timer")) == 0 || !active["apt-daily.timer"] {
		t.Errorf("stopped by %q, active %v", r.Runs("systemctl"), active)
	}
	refused(t, r, wanting(t, "fragile"))
	if !active["apt-daily.timer"] {
		t.Error("after a failure the timers stay stopped")
	}
	steptest.Place(t, r.Machine, "/tmp/mended", "")
	r.have("fragile")

	// A run killed before it could start them left this.
	active["apt-daily.timer"] = false
	steptest.Place(t, r.Machine, timersMarker, "apt-daily.timer\n")
	found := steptest.Settles(t, wanting(t, "wanted"), r.Machine)
	if !strings.Contains(found.Diff, "apt-daily.timer stopped by a run that did not end") || !active["apt-daily.timer"] {
		t.Errorf("diff %q, active %v", found.Diff, active)
	}
}

func TestPackagesWaitsForCloudInit(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "wanted", version: "1"})
	steptest.Place(t, r.Machine, "/usr/bin/cloud-init", "")
	steptest.Place(t, r.Machine, "/run/cloud-init/status.json", "")
	r.Fake["cloud-init"] = func([]string) (string, error) { return "status: error", errors.New("exit status 1") }
	steptest.Settles(t, wanting(t, "wanted"), r.Machine)
	if len(r.Runs("cloud-init status --wait")) == 0 {
		t.Errorf("ran %q", r.Ran)
	}
}

func TestKernelOutdatedIsNeedrestartsWord(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]bool{
		"NEEDRESTART-VER: 3.6\nNEEDRESTART-KSTA: 3\n": true, "NEEDRESTART-KSTA: 2\n": true,
		"NEEDRESTART-KSTA: 1\n": false, "NEEDRESTART-KSTA: 0\n": false, "": false,
	} {
		if kernelOutdated(out) != want {
			t.Errorf("%q: %v", out, !want)
		}
	}
}

func TestParseStatusLineFindsThePercent(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]statusLine{
		"dlstatus:1:20.5:Retrieving file 1 of 3":          {"dlstatus", 20.5, "Retrieving file 1 of 3"},
		"pmstatus:libc6:amd64:40.0000:Unpacking libc6":    {"pmstatus", 40, "Unpacking libc6"},
		"pmerror:fragile:75.0000:installed post-inst: 3 ": {"pmerror", 75, "installed post-inst: 3"},
	} {
		if got, ok := parseStatusLine(line); !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "Setting up libc6 ...", "pmstatus", "pmstatus:a:b:c", "E: dlstatus:1:2:x"} {
		if got, ok := parseStatusLine(line); ok {
			t.Errorf("%q was read as %+v", line, got)
		}
	}
}

func FuzzParseSimulation(f *testing.F) {
	f.Add([]byte("Inst libssl3:i386 [3.0.1] (3.0.2 Ubuntu:24.04/noble [i386]) []\nRemv old [1]\nConf libssl3 (3.0.2 x [amd64])\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		changes, err := parseSimulation(out)
		for _, c := range changes {
			if err == nil && (c.name == "" || c.new != "" && c.arch == "") {
				t.Errorf("a change that cannot be: %+v", c)
			}
		}
	})
}
