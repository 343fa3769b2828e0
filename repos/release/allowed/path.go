package allowed

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Site is what the owner of a site has chosen for a host. It counts beside the lists.
type Site struct {
	// Recordings is the host's folder of recordings, which containers may have too; empty: none.
	Recordings string `json:"recordings,omitempty"`
	// Programs are root's, which the site file names: nothing of a release may take their place.
	Programs []string `json:"programs,omitempty"`
}

// Use is what a path of a host is asked for.
type Use int

// The uses.
const (
	Bind      Use = iota // a container may write there
	ReadBind             // a container may read there
	Secret               // a container is given it as a secret
	File                 // a file of the release is written there
	Directory            // a folder is made there, or its owner and mode are set
	Password             // a password is made there, and kept for good
	SiteFile             // the site's certificate, key or licence, or the Compose files, are written there
)

// Folders of a release's own.
const (
	settings = "/etc/valt"
	data     = "/var/lib/valt"
	logs     = "/var/log/valt"
	runtime  = "/run/valt"
)

// own are the folders that are VALT's on a host.
func own() []string { return []string{settings, data, logs, runtime} }

// closed lie in VALT's folders and are the site's: root runs what is there.
func closed() []string { return []string{settings + "/hooks"} }

// USB is the folder of the devices on USB, licence keys among them. It is bound as a folder where a
// key that is plugged in again must be found again, under another number.
const USB = "/dev/bus/usb"

// OnUSB says that a device is that folder, or lies in it.
func OnUSB(device string) bool { return within(Plain(device), USB) }

// public may be read by containers: the host's time zone, and the authorities that it trusts.
func public() []string {
	return []string{"/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo",
		"/etc/ssl/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"}
}

// places are what a path must be, or lie in.
func (s Site) places(u Use) []string {
	var all []string
	switch u {
	case Bind, ReadBind:
		all = append(own(), USB)
		if s.Recordings != "" && s.Recordings != "/" {
			all = append(all, s.Recordings)
		}
		if u == ReadBind {
			all = append(all, public()...)
		}
	case Password: // what is made once must outlive a reboot
		all = []string{settings, data}
	case SiteFile:
		all = []string{settings}
	default:
		all = own()
	}
	return all
}

// below says that the use is of something in a place, and not of the place itself.
func (u Use) below() bool { return u == File || u == Password || u == Secret || u == SiteFile }

// Path judges a path that a release names. It must be written as the host sees it: what is
// another name for something (/var/run, /proc/1/root, //, ..) is taken for that, and refused.
func (s Site) Path(u Use, p string) error {
	switch {
	case strings.HasPrefix(p, "~"):
		return refuse("write an absolute path", "%s: a home folder is not the same everywhere; write an absolute path", p)
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return refuse("write an absolute path", "%q: a path has no such character", p)
	case !path.IsAbs(p):
		return refuse("write an absolute path", "%s: write an absolute path that does not climb", p)
	}
	plain := Plain(p)
	if err := s.place(u, plain); err != nil {
		return s.say(u, p, plain, "is", err)
	}
	if plain != p {
		return refuse("write "+plain, "%s: write an absolute path that does not climb and is no other name: this is %s", p, plain)
	}
	return nil
}

// Real judges where a path of a host leads once every link is followed.
func (s Site) Real(u Use, p, real string) error {
	if real == p {
		return nil
	}
	if err := s.place(u, Plain(real)); err != nil {
		return s.say(u, p, real, "leads by a link to", err)
	}
	return nil
}

// place judges a plain path; its error is the reason, without the path.
func (s Site) place(u Use, plain string) error {
	if !slices.ContainsFunc(s.places(u), func(place string) bool { return within(plain, place) && (plain != place || !u.below()) }) {
		return u.harm()
	}
	for _, shut := range append(closed(), s.Programs...) {
		if within(plain, shut) || u == Bind && within(shut, plain) {
			return fmt.Errorf("root runs what the site has at %s", shut)
		}
	}
	return nil
}

// harm is what would become of a host.
func (u Use) harm() error {
	switch u {
	case Bind, ReadBind, Secret:
		return fmt.Errorf("this gives the container power over the host")
	case Password:
		return fmt.Errorf("that is no place for a release's password")
	case SiteFile:
		return fmt.Errorf("that is no place for the site's files")
	}
	return fmt.Errorf("that is the host's and not VALT's")
}

// say is the refusal of a path that is, or leads to, another.
func (s Site) say(u Use, p, other, is string, why error) error {
	if other != p {
		p += " " + is + " " + other
	}
	return refuse(s.instead(u), "%s: %v", p, why)
}

// instead is where to put it.
func (s Site) instead(u Use) string {
	switch u {
	case Bind:
		return "keep it below " + data + ", in the site's recordings (${VALT_RECORDINGS}) or in another folder of VALT's: " + strings.Join(own(), ", ")
	case ReadBind:
		return "keep it below " + settings + " or in another folder of VALT's (" + strings.Join(own()[1:], ", ") +
			"); of the host itself only its time zone and the authorities it trusts may be read"
	case Secret, SiteFile:
		return "write a path below " + settings
	case Password:
		return "write a path below " + settings + "/secrets"
	}
	return "write a path below " + strings.Join(own(), ", ")
}

// within says that p is the folder or lies in it.
func within(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

// alias is another name of a path on every Ubuntu host (hier(7), file-hierarchy(7)).
type alias struct{ name, of string }

func aliases() []alias {
	return []alias{
		{"/var/run", "/run"}, {"/var/lock", "/run/lock"},
		{"/bin", "/usr/bin"}, {"/sbin", "/usr/sbin"}, {"/lib", "/usr/lib"}, {"/lib32", "/usr/lib32"}, {"/lib64", "/usr/lib64"},
		{"/etc/mtab", "/proc/self/mounts"}, {"/dev/fd", "/proc/self/fd"},
	}
}

// maxAliases is how often one name may stand for another.
const maxAliases = 40

// Plain is an absolute path by its one name: without .., // and /./, and without the names that
// are another's on every host. Links that somebody made on one host only that host can follow.
func Plain(p string) string {
	p = path.Clean("/" + p)
	for range maxAliases {
		next := path.Clean("/" + unalias(p))
		if next == p {
			break
		}
		p = next
	}
	return p
}

func unalias(p string) string {
	for _, a := range aliases() {
		if within(p, a.name) {
			return a.of + strings.TrimPrefix(p, a.name)
		}
	}
	// A process's root and folder lead out of /proc (proc_pid_root(5)). Whose they are does not
	// matter: the root of process 1 is the host's.
	parts := strings.Split(p, "/")
	if len(parts) < 4 || parts[1] != "proc" {
		return p
	}
	at := 3
	if parts[3] == "task" && len(parts) > 5 {
		at = 5
	}
	if parts[at] == "root" || parts[at] == "cwd" {
		return "/" + strings.Join(parts[at+1:], "/")
	}
	return p
}

// Mode judges the mode of a file or folder, in octal: nobody but its owner and group may write.
func Mode(text string) error {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return refuse("write permissions in octal, such as 0640", "%q is no mode between 0001 and 0777", text)
	}
	if n&0o002 != 0 {
		return refuse("leave the last digit's 2 out, such as 0755", "%s lets everybody on the host write", text)
	}
	return nil
}

// Owner judges who a folder is to belong to: those that hold all of VALT's others are root's, or
// whoever owns one could put anything in the place of what root reads there.
func Owner(p string, uid, gid int, mode string) error {
	if !slices.Contains(own(), Plain(p)) {
		return nil
	}
	n, err := strconv.ParseUint(mode, 8, 32)
	if err == nil && uid == 0 && (gid == 0 || n&0o020 == 0) {
		return nil
	}
	return refuse("leave uid and gid out here, and give them to a folder below", "%s holds what root reads and must be root's alone to write", p)
}
