package step

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/problem"
)

func TestUnitIsEnabledAndSystemdTold(t *testing.T) {
	h := rootMachine(t, nil)
	s := makeStep(t, UnitKind(), UnitParams{Name: "valt-x.service", Content: "[Service]\nExecStart=/bin/true\n", WantedBy: "multi-user.target"})
	settles(t, s, h)
	target, err := os.Readlink(h.Path("/etc/systemd/system/multi-user.target.wants/valt-x.service"))
	if err != nil || target != "/etc/systemd/system/valt-x.service" {
		t.Errorf("enabled as %q, %v", target, err)
	}
	if h.Run.(recordedRuns)["systemctl daemon-reload"] == 0 {
		t.Error("systemd was not told")
	}
	settles(t, makeStep(t, UnitKind(), UnitParams{Name: "docker.service.d/valt.conf", Content: "[Unit]\n"}), h)
}

func TestDongleIsFoundBySysfs(t *testing.T) {
	h := rootMachine(t, nil)
	s := makeStep(t, DongleKind(), DongleParams{Vendor: "0529", Product: "0001", Device: "/dev/bus/usb"})
	place(t, h, "/sys/bus/usb/devices/1-1/idVendor", "0529\n")
	place(t, h, "/sys/bus/usb/devices/1-1/idProduct", "0600\n")
	if _, err := s.Inspect(t.Context(), h); problem.KindOf(err) != problem.Check {
		t.Errorf("another product was taken: %v", err)
	}
	place(t, h, "/sys/bus/usb/devices/1-1/idProduct", "0001\n")
	if err := s.Apply(t.Context(), h); err == nil {
		t.Error("a dongle without a device node was taken")
	}
	place(t, h, "/dev/bus/usb/001/002", "")
	if found, err := s.Inspect(t.Context(), h); err != nil || found.Change {
		t.Errorf("plugged in: %+v, %v", found, err)
	}
}

func TestBadParametersOfTheSystemAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind   Kind
		params string
		want   string
	}{
		"unit climbing":         {UnitKind(), `{"name":"a/b/c.service","content":""}`, "neither"},
		"dongle without vendor": {DongleKind(), `{"device":"/dev/bus/usb"}`, "vendor"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.kind.New(json.RawMessage(c.params)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
