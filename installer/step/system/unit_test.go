package system

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
)

func TestUnitIsEnabledAndSystemdTold(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	s := steptest.MakeStep(t, UnitKind(), UnitParams{Name: "valt-x.service", Content: "[Service]\nExecStart=/bin/true\n", WantedBy: "multi-user.target"})
	steptest.Settles(t, s, h)
	target, err := os.Readlink(h.Path("/etc/systemd/system/multi-user.target.wants/valt-x.service"))
	if err != nil || target != "/etc/systemd/system/valt-x.service" {
		t.Errorf("enabled as %q, %v", target, err)
	}
	if h.Run.(steptest.RecordedRuns)["systemctl daemon-reload"] == 0 {
		t.Error("systemd was not told")
	}
	steptest.Settles(t, steptest.MakeStep(t, UnitKind(), UnitParams{Name: "docker.service.d/valt.conf", Content: "[Unit]\n"}), h)
}

func TestDongleIsFoundBySysfs(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	s := steptest.MakeStep(t, DongleKind(), DongleParams{Vendor: "0529", Product: "0001", Device: "/dev/bus/usb"})
	steptest.Place(t, h, "/sys/bus/usb/devices/1-1/idVendor", "0529\n")
	steptest.Place(t, h, "/sys/bus/usb/devices/1-1/idProduct", "0600\n")
	if _, err := s.Inspect(t.Context(), h); problem.KindOf(err) != problem.Check {
		t.Errorf("another product was taken: %v", err)
	}
	steptest.Place(t, h, "/sys/bus/usb/devices/1-1/idProduct", "0001\n")
	if err := s.Apply(t.Context(), h); err == nil {
		t.Error("a dongle without a device node was taken")
	}
	steptest.Place(t, h, "/dev/bus/usb/001/002", "")
	if found, err := s.Inspect(t.Context(), h); err != nil || found.Change {
		t.Errorf("plugged in: %+v, %v", found, err)
	}
}

func TestBadParametersOfTheSystemAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind   step.Kind
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
