package apt

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/installer/sockets"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
)

// carrying is a repository as a run's bundle serves it, and the steps of a plan that take it.
type carrying struct {
	repo   *aptRepo
	mu     sync.Mutex
	served []string // paths, in order
	refuse bool     // the password is another one by now
	asks   int      // how often where it answers was asked since then
	at     step.Carried
}

func (c *carrying) asked(part string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, path := range c.served {
		if strings.Contains(path, part) {
			n++
		}
	}
	return n
}

// bundleHost is a host without any source, to which a bundle with packages is carried.
func bundleHost(t *testing.T, all ...deb) (*aptRoot, *carrying) {
	t.Helper()
	r, c := newAptRoot(t), &carrying{repo: newAptRepo(t)}
	c.repo.add(all...)
	files := http.StripPrefix("/apt/practice/", http.FileServer(http.Dir(c.repo.dir)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if user, password, _ := q.BasicAuth(); user != "bundle" || password != c.password() {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		c.mu.Lock()
		c.served = append(c.served, q.URL.Path)
		c.mu.Unlock()
		files.ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	c.at = step.Carried{Address: strings.TrimPrefix(server.URL, "http://"), User: "bundle", Password: "secret"}
	r.Secret = func(name string) ([]byte, error) {
		if name != "bundle" {
			return nil, errors.New("no such secret")
		}
		return json.Marshal(c.where())
	}
	return r, c
}

// password is what the bundle answers to.
func (c *carrying) password() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse {
		return "another"
	}
	return "secret"
}

// where is what the host was told: of another password only with the second question.
func (c *carrying) where() step.Carried {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	if c.refuse {
		if c.asks++; c.asks > 1 {
			at.Password = "another"
		}
	}
	return at
}

// TestAptGoesOnWithAnotherPassword: the link was lost while apt read, and is back with another one.
func TestAptGoesOnWithAnotherPassword(t *testing.T) {
	t.Parallel()
	r, c := bundleHost(t, deb{name: "valt-host", version: "1"})
	if err := steptest.MakeStep(t, SourceKind(), c.source()).Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.refuse = true
	c.mu.Unlock()
	p := wanting(t, "valt-host")
	p.Bundle = "bundle"
	if err := p.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	if v := r.version("valt-host"); v != "ii 1" {
		t.Errorf("valt-host is %q", v)
	}
}

// TestAStrangersPortIsNotReadByApt: apt cannot look whom it tells a password, so it is looked before.
func TestAStrangersPortIsNotReadByApt(t *testing.T) {
	t.Parallel()
	r, c := bundleHost(t, deb{name: "valt-host", version: "1"})
	c.at.Address = strangersPort(t)
	if _, err := ProveBundle(t.Context(), r.Machine, c.specs(t, []string{"valt-host"})); !errors.Is(err, sockets.ErrStranger) {
		t.Errorf("got %v", err)
	}
	if login, _ := os.ReadFile(r.Path(carriedLogin)); len(login) > 0 {
		t.Error("apt was given the password")
	}
}

// strangersPort is an address of this machine at which another user listens.
func strangersPort(t *testing.T) string {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(51234); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if back := unix.Setfsuid(os.Getuid()); back != nil || err != nil {
		t.Fatal(back, err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// source is the vendor's, which the host of these tests does not reach.
func (c *carrying) source() SourceParams {
	p := c.repo.source()
	p.URI = "http://apt.example/valt/"
	return p
}

// specs are a plan's source and a step of packages for each list of words.
func (c *carrying) specs(t *testing.T, steps ...[]string) []step.Spec {
	t.Helper()
	spec := func(kind step.Kind, params any) step.Spec {
		text, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		return step.Spec{ID: string(kind.Name), Kind: kind.Name, Half: step.Fetch, Params: text}
	}
	all := []step.Spec{spec(SourceKind(), c.source())}
	for _, words := range steps {
		all = append(all, spec(PackagesKind(), PackagesParams{Packages: wanted(words), Bundle: "bundle"}))
	}
	return all
}

func keys(files []apt.Package) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Key())
	}
	slices.Sort(all)
	return all
}

// TestABundleIsProvedOnABareHost: apt says what it will take before anything is the host's,
// and reads the lists only once for both.
func TestABundleIsProvedOnABareHost(t *testing.T) {
	t.Parallel()
	r, c := bundleHost(t, deb{name: "valt-host", version: "6.4.1-1", fields: "Depends: valt-base\n"}, deb{name: "valt-base", version: "2"},
		deb{name: "valt-more", version: "1", fields: "Depends: valt-base\n"}, deb{name: "other", version: "1"})
	files, err := ProveBundle(t.Context(), r.Machine, c.specs(t, []string{"valt-host=6.4.1-1"}, []string{"valt-more"}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"valt-base:" + debArch + "=2", "valt-host:" + debArch + "=6.4.1-1", "valt-more:" + debArch + "=1"}
	if !slices.Equal(keys(files), want) || len(files[0].Hash.SHA256) != 64 || files[0].Hash.Size == 0 {
		t.Errorf("takes %q, want %q", keys(files), want)
	}
	if c.asked("/pool/") != 0 || r.version("valt-host") != "" {
		t.Error("packages were taken")
	}
	for _, path := range []string{"/etc/apt/sources.list.d/practice.sources", "/etc/apt/keyrings/practice.gpg", "/var/lib/apt/lists/partial/*"} {
		if there, _ := filepath.Glob(r.Path(path)); len(there) > 0 {
			t.Errorf("the host has %q", there)
		}
	}
	lists := c.asked("/Packages")
	if err := steptest.MakeStep(t, SourceKind(), c.source()).Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	p := wanting(t, "valt-host=6.4.1-1", "valt-more")
	p.Bundle = "bundle"
	if err := p.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	if v := r.version("valt-host"); v != "ii 6.4.1-1" {
		t.Errorf("valt-host is %q", v)
	}
	if again := c.asked("/Packages"); again != lists {
		t.Errorf("lists were read %d times, then %d", lists, again)
	}
	if files, err = ProveBundle(t.Context(), r.Machine, c.specs(t, []string{"valt-host=6.4.1-1"})); err != nil || len(files) != 0 {
		t.Errorf("what is installed would be taken: %q, %v", keys(files), err)
	}
}

func TestWhatAptHasAlreadyIsNotTaken(t *testing.T) {
	t.Parallel()
	r, c := bundleHost(t, deb{name: "valt-host", version: "1", fields: "Depends: valt-base\n"}, deb{name: "valt-base", version: "1"})
	file := "valt-base_1_" + debArch + ".deb"
	steptest.Place(t, r.Machine, archives+"/"+file, readText(t, filepath.Join(c.repo.dir, "pool", file)))
	files, err := ProveBundle(t.Context(), r.Machine, c.specs(t, []string{"valt-host"}))
	if err != nil || !slices.Equal(keys(files), []string{"valt-host:" + debArch + "=1"}) {
		t.Errorf("takes %q, %v", keys(files), err)
	}
}

func TestAPlanThatAptRefusesIsRefusedBeforeAnyChange(t *testing.T) {
	t.Parallel()
	r, c := bundleHost(t, deb{name: "valt-host", version: "1", fields: "Depends: nowhere\n"}, deb{name: "valt-base", version: "1", fields: "Conflicts: held\n"})
	steptest.Place(t, r.Machine, "/var/lib/dpkg/status", "Package: held\nStatus: install ok installed\nVersion: 1\nArchitecture: "+debArch+"\nMaintainer: a\nDescription: a\n\n")
	for words, want := range map[string]string{"valt-host": "nowhere", "valt-host=9": "9", "valt-base": "remove held"} {
		_, err := ProveBundle(t.Context(), r.Machine, c.specs(t, []string{words}))
		var told *problem.Error
		if !errors.As(err, &told) || !strings.Contains(err.Error(), want) || !strings.Contains(told.Fix, "Nothing was changed") || strings.Contains(told.Fix, "resume") {
			t.Errorf("%s: %v", words, err)
		}
	}
}

func TestListsOfAStrangerAreRefused(t *testing.T) {
	t.Parallel()
	r, c := bundleHost(t, deb{name: "valt-host", version: "1"})
	specs := c.specs(t, []string{"valt-host"})
	c.repo.signer = newAptRepo(t).signer
	c.repo.sign()
	if files, err := ProveBundle(t.Context(), r.Machine, specs); err == nil {
		t.Errorf("takes %q", keys(files))
	}
}

func TestADamagedHostIsMendedFirst(t *testing.T) {
	t.Parallel()
	r, c := bundleHost(t, deb{name: "valt-host", version: "1"})
	steptest.Place(t, r.Machine, "/var/lib/dpkg/status", "Package: half\nStatus: install ok half-configured\nVersion: 1\nArchitecture: "+debArch+"\nMaintainer: a\nDescription: a\n\n")
	if files, err := ProveBundle(t.Context(), r.Machine, c.specs(t, []string{"valt-host"})); err != nil || len(files) != 0 {
		t.Errorf("takes %q, %v", keys(files), err)
	}
}

func TestOnlyABundleIsProved(t *testing.T) {
	r, c := bundleHost(t, deb{name: "valt-host", version: "1"})
	specs := c.specs(t, []string{"valt-host"})
	specs[1].Params = json.RawMessage(`{"packages":[{"name":"valt-host"}]}`)
	if _, err := ProveBundle(t.Context(), r.Machine, specs); err == nil {
		t.Error("a step that takes nothing from a bundle was proved")
	}
	if _, err := os.Stat(r.Path(carriedFolder)); err == nil {
		t.Error("a folder was made for it")
	}
	r.Secret = func(string) ([]byte, error) { return nil, step.ErrSecretGone }
	if _, err := ProveBundle(t.Context(), r.Machine, c.specs(t, []string{"valt-host"})); !errors.Is(err, step.ErrSecretGone) {
		t.Errorf("without a bundle: %v", err)
	}
}
