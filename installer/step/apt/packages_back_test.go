package apt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// downloading makes the fetch half of wanting.
func downloading(t *testing.T, words ...string) *download { return &download{wanting(t, words...)} }

// updated is a host with an installed package and a newer one fetched.
func updated(t *testing.T) *aptRoot {
	t.Helper()
	r := aptHost(t, deb{name: "valt-host", version: "6.4.1-1"}, deb{name: "valt-host", version: "6.4.2-1"}, deb{name: "valt-more", version: "1"})
	r.have("valt-host=6.4.1-1")
	if err := downloading(t, "valt-host=6.4.2-1", "valt-more").Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	r.Keep = filepath.Join(t.TempDir(), "keep")
	return r
}

// switchOff takes the repository away, and with it the network.
func (r *aptRoot) switchOff() {
	r.T.Helper()
	if err := os.Rename(r.repo.dir, r.repo.dir+".off"); err != nil {
		r.T.Fatal(err)
	}
}

func TestDownloadChangesNoPackage(t *testing.T) {
	r := updated(t)
	if v := r.version("valt-host"); v != "ii 6.4.1-1" {
		t.Errorf("valt-host is %q", v)
	}
	if found, err := downloading(t, "valt-host=6.4.2-1", "valt-more").Inspect(t.Context(), r.Machine); err != nil || found.Change {
		t.Errorf("it would be fetched again: %+v, %v", found, err)
	}
	if found, err := downloading(t, "valt-host=6.4.1-1").Inspect(t.Context(), r.Machine); err != nil || found.Change {
		t.Errorf("what is installed would be fetched: %+v, %v", found, err)
	}
}

func TestPackagesThatWereDownloadedNeedNoNetwork(t *testing.T) {
	r := updated(t)
	r.switchOff()
	p := wanting(t, "valt-host=6.4.2-1", "valt-more")
	if room, err := p.Room(r.Machine); err != nil || room <= notedRoom {
		t.Errorf("room for the way back: %d bytes, %v", room, err)
	}
	if err := p.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	if v := r.version("valt-host"); v != "ii 6.4.2-1" {
		t.Errorf("valt-host is %q", v)
	}
	for range 2 {
		if err := p.Undo(t.Context(), r.Machine); err != nil {
			t.Fatal(err)
		}
	}
	if v := r.version("valt-host"); v != "ii 6.4.1-1" {
		t.Errorf("valt-host came back as %q", v)
	}
}

// What apt remembers is no older than what is installed, however quickly a package came and went.
func TestPackagesThatWentWithinASecondComeAgain(t *testing.T) {
	r := updated(t)
	p := wanting(t, "valt-host=6.4.2-1", "valt-more")
	status := r.Path("/var/lib/dpkg/status")
	changed := func() time.Time {
		info, err := os.Stat(status)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	if err := p.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	came := changed()
	if out, err := newTransaction(r.Machine, p.wait).run(t.Context(), aptGet("check")); err != nil { // which it remembers
		t.Fatalf("%v: %s", err, out.Stderr)
	}
	if err := p.Undo(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(status, came, came); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), r.Machine); err != nil {
		t.Error(err)
	}
	if v := r.version("valt-host"); v != "ii 6.4.2-1" {
		t.Errorf("valt-host is %q", v)
	}
}

func TestDamagedDownloadIsFetchedAgain(t *testing.T) {
	r := updated(t)
	files, err := filepath.Glob(r.Path(archives) + "/valt-host_6.4.2*")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := downloading(t, "valt-host=6.4.2-1", "valt-more")
	if found, err := d.Inspect(t.Context(), r.Machine); err != nil || !found.Change {
		t.Errorf("%+v, %v", found, err)
	}
	if err := d.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	if found, err := d.Inspect(t.Context(), r.Machine); err != nil || found.Change {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestAVersionThatNoSourceHasIsOneWay(t *testing.T) {
	r := aptHost(t, deb{name: "valt-host", version: "6.4.1-1"})
	r.have("valt-host")
	r.repo = newAptRepo(t) // the vendor has taken the old one away
	r.repo.add(deb{name: "valt-host", version: "6.4.2-1"})
	if err := steptest.MakeStep(t, SourceKind(), r.repo.source()).Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.Path(archives)); err != nil { // and somebody has cleaned up
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.Path(archives)+"/partial", 0o755); err != nil {
		t.Fatal(err)
	}
	d := downloading(t, "valt-host=6.4.2-1")
	if err := d.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	found, err := d.Inspect(t.Context(), r.Machine)
	if err != nil || len(found.Notes) == 0 || !strings.Contains(found.Notes[0], "valt-host") {
		t.Errorf("nobody is told: %+v, %v", found, err)
	}
	p := wanting(t, "valt-host=6.4.2-1")
	if found, err := p.Inspect(t.Context(), r.Machine); err != nil || step.WayBack(PackagesKind(), found) != step.OneWay {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestOnlyWhatIsAskedForGoesBack(t *testing.T) {
	r := aptHost(t, deb{name: "valt-host", version: "6.4.1-1"}, deb{name: "valt-host", version: "6.4.2-1"})
	r.have("valt-host=6.4.2-1")
	p := wanting(t, "valt-host=6.4.1-1")
	if said := refused(t, r, p); !strings.Contains(said, "take valt-host back") {
		t.Error(said)
	}
	p.Downgrade = true
	if err := p.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	if v := r.version("valt-host"); v != "ii 6.4.1-1" {
		t.Errorf("valt-host is %q", v)
	}
}
