package plan

import (
	"fmt"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
)

// mediaRole is a media server: the streaming engine.
func mediaRole() role {
	return role{name: site.Media, prepare: waitForDisk, adjust: passDongle}
}

// waitForDisk makes Docker start after the recordings disk is mounted, without needing it:
// where the disk is broken the application on the same host still starts, and the engine
// does not, since its folder is not there (systemd.unit(5), After and Wants).
func waitForDisk(b *builder) {
	mount := unitName(b.host.Recordings) + ".mount"
	const name = "docker.service.d/valt-recordings.conf"
	b.add(applied("unit/"+name, "unit "+name), step.UnitKind(), step.UnitParams{Name: name,
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

// passDongle gives the engine the USB licence key of a physical licence.
func passDongle(b *builder, c *step.ContainerParams) {
	d := b.Manifest.Dongle
	if b.host.Wowza.License == site.Physical && c.Service == d.Service {
		c.Spec.Devices = append(c.Spec.Devices, step.ContainerDevice{Source: d.Device, Target: d.Device, Permissions: "rw"})
	}
}
