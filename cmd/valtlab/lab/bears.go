package lab

import (
	"cmp"
	"fmt"
	"slices"

	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// Bears says which Ubuntu a lab's hosts bear, of what it is made, and where their engines keep images, for hosts
// of which nothing else is said. The zero value is a fleet as sites have them today: the newest Ubuntu on media
// servers, with containerd's image store, and the one before it on others, with the engine's own.
type Bears struct {
	Ubuntu string `json:"ubuntu,omitempty"` // VERSION_ID; empty: by the host's roles
	// Suite is the Debian suite that ubuntu.Newest is made of; empty: the stable one.
	Suite string `json:"suite,omitempty"`
	// ImageStore is GraphDriver or Containerd; empty: by the host's Ubuntu.
	ImageStore string `json:"image_store,omitempty"`
}

// host fills what a host's options leave open.
func (b Bears) host(h Host) Host {
	h = h.withDefaults()
	if h.Ubuntu == "" {
		h.Ubuntu = cmp.Or(b.Ubuntu, ubuntuFor(h.Roles))
	}
	store := GraphDriver
	if h.Ubuntu == ubuntu.Newest {
		h.Suite, store = cmp.Or(h.Suite, b.Suite), Containerd
	}
	h.ImageStore = cmp.Or(h.ImageStore, b.ImageStore, store)
	return h
}

// ubuntuFor is what a host of these roles bears: media servers are the first that a site renews.
func ubuntuFor(roles []string) string {
	if slices.Contains(roles, RoleMedia) && !slices.Contains(roles, RoleApp) {
		return ubuntu.Newest
	}
	return ubuntu.Default
}

// validate refuses what no host could bear.
func (b Bears) validate() error {
	if b.Suite != "" && b.Ubuntu != "" && b.Ubuntu != ubuntu.Newest {
		return fmt.Errorf("the suite %s is named for Ubuntu %s, and all hosts bear %s: leave --suite out", b.Suite, ubuntu.Newest, b.Ubuntu)
	}
	return b.host(Host{Name: "media1", Roles: []string{RoleMedia}}).validate()
}

// String is what is asked for in words.
func (b Bears) String() string {
	text := "Ubuntu " + cmp.Or(b.Ubuntu, "by role")
	if b.Suite != "" {
		text += " of " + b.Suite
	}
	if b.ImageStore != "" {
		text += ", images kept by " + b.ImageStore
	}
	return text
}

// Asked is what the lab was brought up with, without Hooks; of one that is not up, what serves scenarios.
func (l *Lab) Asked() (UpOptions, error) {
	s, err := l.load()
	if err != nil || len(s.Hosts) == 0 {
		return UpOptions{Media: 2, Cameras: 4}, err
	}
	o := UpOptions{Cameras: s.Cameras, Bears: s.Bears}
	for _, h := range s.Hosts {
		if h.Standard() && h.HasRole(RoleMedia) {
			o.Media++
		}
	}
	return o, nil
}

// NotBuiltError says that what stands for a release could not be built, and that it is of a suite that moves: on
// another day it may be built.
type NotBuiltError struct {
	Release ubuntu.Release
	Err     error
}

func (e *NotBuiltError) Error() string {
	return fmt.Sprintf("Ubuntu %s cannot be built of %s, which moves from day to day: %v", e.Release.Version, e.Release.Suite, e.Err)
}

func (e *NotBuiltError) Unwrap() error { return e.Err }

// built tells an error in building what stands for a release that moves.
func built(u ubuntu.Release, err error) error {
	if err == nil || !u.Moves {
		return err
	}
	return &NotBuiltError{u, err}
}

// suitsBeside refuses a second suite for one Ubuntu: the world serves one archive of each.
func (h Host) suitsBeside(o Host) error {
	if o.Name == h.Name || o.release().Codename != h.release().Codename || o.release() == h.release() {
		return nil
	}
	return fmt.Errorf("it would be Ubuntu %s made of %s, and host %s is made of %s: all of one release are made of one suite",
		h.Ubuntu, h.release().Suite, o.Name, o.release().Suite)
}

// oneSuite refuses hosts that were added and are made of another suite than those that are asked for now.
func (s state) oneSuite() error {
	for _, h := range s.Hosts {
		for _, o := range s.Hosts {
			if err := h.suitsBeside(o); err != nil && !isStandard(o.Name) {
				return fmt.Errorf("host %s: %w; remove that one first (valtlab host rm %s)", h.Name, err, o.Name)
			}
		}
	}
	return nil
}
