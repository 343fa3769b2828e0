package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/repos/release/allowed"
)

// mediaRole is a media server: the streaming engine.
func mediaRole() role {
	return role{name: site.Media, disrupts: step.Engine, variables: mediaVariables, siteFiles: diskAndLicence,
		prepare: waitForDisk, adjust: passDongle, watch: licenceFile, recorders: askEngine,
		samples: []string{
			"address: 192.0.2.21, roles: [media], recordings: /mnt/recordings, wowza: { key_file: k }",
			"address: 192.0.2.22, roles: [media], recordings: /mnt/recordings, wowza: { license: physical }",
		}}
}

// varRecordings is the variable of the host's folder of recordings, which containers may have.
const varRecordings = "VALT_RECORDINGS"

func mediaVariables(in Input, h site.Host) map[string]string {
	return map[string]string{
		varRecordings:          h.Recordings,
		"VALT_LICENCE":         in.Manifest.Paths.Licence,
		"VALT_LICENSE":         string(h.Wowza.License),
		"VALT_MEDIA_ADDRESSES": mediaAddresses(in.Site),
		"VALT_CAMERAS":         cameras(h),
	}
}

func mediaAddresses(s *site.Site) string {
	var all []string
	for _, h := range s.Media() {
		all = append(all, string(h.Address))
	}
	return strings.Join(all, ",")
}

// cameras lists host:port; never of IPv6, which site refuses.
func cameras(h site.Host) string {
	var all []string
	for _, c := range h.Cameras {
		all = append(all, string(c.Address)+":"+strconv.Itoa(int(c.RTSP)))
	}
	return strings.Join(all, ",")
}

// diskAndLicence plans what an engine does not start without.
func diskAndLicence(b *builder) {
	b.add(fetched("recordings", "recordings disk "+b.host.Recordings), files.RecordingsKind(), files.RecordingsParams{Path: b.host.Recordings})
	if b.host.Wowza.License == site.Physical {
		d := b.Manifest.Dongle
		b.add(fetched("dongle", "USB licence key"), system.DongleKind(), system.DongleParams{Vendor: d.Vendor, Product: d.Product, Device: d.Device})
		return
	}
	b.add(fetched("licence", "licence key of the media engine"), files.LicenceKind(), files.LicenceParams{Path: b.Manifest.Paths.Licence, Secret: SecretLicence, Release: files.NamedSite})
}

// licenceFile is what an engine with an electronic licence reads when it starts.
func licenceFile(b *builder) []string {
	if b.host.Wowza.License != site.Electronic {
		return nil
	}
	return []string{b.Manifest.Paths.Licence}
}

// askEngine asks the engine itself, where the release says that this is how it is asked.
func askEngine(m *release.Manifest) *docker.LastLook {
	access, ok := EngineAccess(m)
	if !ok || m.Drain.Method != "wowza-rest" {
		return nil
	}
	quiet := time.Duration(max(1, m.Drain.QuietSeconds)) * time.Second
	return &docker.LastLook{Engine: access, Quiet: quiet.String()}
}

// EngineAccess is how a host asks its own streaming engine: with the password that the
// release has made there under this name (docs/assumptions.md). false: there is none.
func EngineAccess(m *release.Manifest) (wowza.Access, bool) {
	for _, p := range m.Roles[string(site.Media)].Passwords {
		if p.Name == "engine" {
			return wowza.Access{PasswordFile: p.Path}, true
		}
	}
	return wowza.Access{}, false
}

// waitForDisk makes Docker start after the recordings disk is mounted, without needing it:
// where the disk is broken the application on the same host still starts, and the engine
// does not, since its folder is not there (systemd.unit(5), After and Wants).
func waitForDisk(b *builder) {
	mount := unitName(b.host.Recordings) + ".mount"
	const name = "docker.service.d/valt-recordings.conf"
	b.add(applied("unit/"+name, "unit "+name), system.UnitKind(), system.UnitParams{Name: name,
		Content: fmt.Sprintf("# Written by valtctl.\n[Unit]\nWants=%s\nAfter=%s\n", mount, mount)})
}

// unitName escapes a path as systemd-escape --path does (systemd.unit(5), "String escaping").
func unitName(p string) string {
	p = strings.Trim(p, "/")
	if p == "" {
		return "-"
	}
	var out strings.Builder
	for i, c := range []byte(p) {
		switch {
		case c == '/':
			out.WriteByte('-')
		case c == '.' && i == 0, !plainInUnit(c):
			fmt.Fprintf(&out, `\x%02x`, c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func plainInUnit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ':' || c == '_' || c == '.'
}

// passDongle gives the engine the USB licence key of a physical licence. A key that comes back after it
// was unplugged has another device node. Nodes that are passed by name are made once, with the
// container, so the folder itself is bound, and the rule lets whatever appears in it be opened.
func passDongle(b *builder, c *docker.ContainerParams) {
	d := b.Manifest.Dongle
	if b.host.Wowza.License != site.Physical || c.Service != d.Service {
		return
	}
	s := &c.Spec
	if !allowed.OnUSB(d.Device) {
		s.Devices = append(s.Devices, docker.ContainerDevice{Source: d.Device, Target: d.Device, Permissions: "rw"})
		return
	}
	s.Devices = slices.DeleteFunc(s.Devices, func(d docker.ContainerDevice) bool { return allowed.OnUSB(d.Source) })
	if !slices.ContainsFunc(s.Mounts, func(m docker.ContainerMount) bool { return m.Target == allowed.USB }) {
		s.Mounts = append(s.Mounts, docker.ContainerMount{Type: "bind", Source: allowed.USB, Target: allowed.USB})
	}
	if !slices.Contains(s.DeviceCgroupRules, anyUSB) {
		s.DeviceCgroupRules = append(s.DeviceCgroupRules, anyUSB)
	}
}

// anyUSB lets a container open any device on USB: 189 is their major number (USB_DEVICE_MAJOR of the
// kernel's include/linux/usb.h).
const anyUSB = "c 189:* rmw"
