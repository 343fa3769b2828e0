package lab

import (
	"errors"
	"strings"
	"testing"

	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

func TestHostsBearWhatIsAskedForOrWhatSitesHave(t *testing.T) {
	app, media, both := []string{RoleApp}, []string{RoleMedia}, []string{RoleApp, RoleMedia}
	for _, c := range []struct {
		name string
		lab  Bears
		host Host
		want string // Ubuntu, suite and image store
	}{
		{"media server", Bears{}, Host{Roles: media}, "26.04 trixie containerd"},
		{"application server", Bears{}, Host{Roles: app}, "24.04 bookworm graphdriver"},
		{"one server for all", Bears{}, Host{Roles: both}, "24.04 bookworm graphdriver"},
		{"no role", Bears{}, Host{}, "24.04 bookworm graphdriver"},
		{"all of one", Bears{Ubuntu: "22.04"}, Host{Roles: media}, "22.04 bookworm graphdriver"},
		{"all of the newest", Bears{Ubuntu: "26.04"}, Host{Roles: app}, "26.04 trixie containerd"},
		{"a suite for the newest alone", Bears{Suite: "forky"}, Host{Roles: app}, "24.04 bookworm graphdriver"},
		{"a suite", Bears{Suite: "forky"}, Host{Roles: media}, "26.04 forky containerd"},
		{"a store for all", Bears{ImageStore: GraphDriver}, Host{Roles: media}, "26.04 trixie graphdriver"},
		{"a host of its own", Bears{Ubuntu: "24.04", ImageStore: GraphDriver}, Host{Roles: app, Ubuntu: "26.04", ImageStore: Containerd}, "26.04 trixie containerd"},
		{"an upgraded host", Bears{}, Host{Ubuntu: "26.04", ImageStore: GraphDriver}, "26.04 trixie graphdriver"},
	} {
		h := c.lab.host(c.host)
		if got := strings.Join([]string{h.Ubuntu, h.release().Suite, h.ImageStore}, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// An added host is made of the lab's suite, and a second suite of one Ubuntu is refused wherever it comes from.
func TestOneUbuntuIsMadeOfOneSuite(t *testing.T) {
	l := open(t)
	s := state{Name: "test", Subnet: "10.123.0.0/24", Bears: Bears{Suite: "forky"}}
	s.set(l.standardHosts(UpOptions{Media: 1, Bears: s.Bears}))
	if err := errors.Join(s.oneSuite(), l.save(s)); err != nil {
		t.Fatal(err)
	}
	if h := s.Bears.host(Host{Name: "x", Ubuntu: "26.04"}); h.Suite != "forky" {
		t.Errorf("an added host is made of %q", h.Suite)
	}
	if _, err := l.place(s, Bears{}.host(Host{Name: "x", Ubuntu: "26.04"})); err == nil || !strings.Contains(err.Error(), "made of forky") {
		t.Errorf("a host of another suite: %v", err)
	}
	if _, err := l.place(s, Bears{}.host(Host{Name: "x", Ubuntu: "22.04"})); err != nil {
		t.Errorf("a host of another Ubuntu is refused: %v", err)
	}
	s.Hosts = append(s.Hosts, s.Bears.host(Host{Name: "x", Ubuntu: "26.04"}))
	s.set(l.standardHosts(UpOptions{Media: 1}))
	if err := s.oneSuite(); err == nil || !strings.Contains(err.Error(), "valtlab host rm x") {
		t.Errorf("the lab is brought up with a host of another suite: %v", err)
	}
}

func TestUpRefusesWhatNoHostBears(t *testing.T) {
	for name, o := range map[string]UpOptions{
		"no such release":        {Bears: Bears{Ubuntu: "18.04"}},
		"no such suite":          {Bears: Bears{Suite: "sid"}},
		"no such store":          {Bears: Bears{ImageStore: "attic"}},
		"a suite of another one": {Bears: Bears{Ubuntu: "24.04", Suite: "forky"}},
	} {
		if o.validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, b := range []Bears{{}, {Suite: "forky"}, {Ubuntu: "26.04", Suite: "trixie"}, {Ubuntu: "22.04", ImageStore: Containerd}} {
		if err := (UpOptions{Bears: b}).validate(); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

func TestOnlyASuiteThatMovesMayBeLeftOut(t *testing.T) {
	broken := errors.New("libfoo is not installable")
	for suite, moves := range map[string]bool{ubuntu.Trixie: false, ubuntu.Forky: true} {
		u, err := ubuntu.Find(ubuntu.Newest, suite)
		if err != nil {
			t.Fatal(err)
		}
		var moved *NotBuiltError
		if err := built(u, broken); errors.As(err, &moved) != moves || !errors.Is(err, broken) {
			t.Errorf("%s: %v", suite, err)
		}
		if err := built(u, nil); err != nil {
			t.Errorf("%s, built: %v", suite, err)
		}
	}
}

func TestALabIsRememberedAsItWasAskedFor(t *testing.T) {
	l := open(t)
	if o, err := l.Asked(); err != nil || o.Media != 2 || o.Cameras != 4 {
		t.Errorf("a lab that is not up: %+v, %v", o, err)
	}
	s := state{Name: "test", Subnet: "10.123.0.0/24", Cameras: 1, Bears: Bears{Ubuntu: "22.04"}}
	s.set(l.standardHosts(UpOptions{Media: 3, Bears: s.Bears}))
	s.Hosts = append(s.Hosts, s.Bears.host(Host{Name: "x", Roles: []string{RoleMedia}}))
	if err := l.save(s); err != nil {
		t.Fatal(err)
	}
	if o, err := l.Asked(); err != nil || o.Media != 3 || o.Cameras != 1 || o.Bears != s.Bears {
		t.Errorf("got %+v, %v", o, err)
	}
}
