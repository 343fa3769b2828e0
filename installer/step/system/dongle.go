package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// DongleParams is the USB key of a physical licence, by its ids in sysfs.
type DongleParams struct {
	Vendor  string `json:"vendor"`            // idVendor, four hex digits
	Product string `json:"product,omitempty"` // idProduct; empty: any
	Device  string `json:"device"`            // what the engine's container is given
}

// KindDongle names what DongleKind makes.
const KindDongle step.KindName = "dongle"

// DongleKind proves that a physical licence's USB key is plugged in and can be passed
// through. It changes nothing; the container step passes the device.
func DongleKind() step.Kind {
	return step.KindOf(KindDongle, step.Reversible, func(p DongleParams) (step.Step, error) {
		if p.Vendor == "" {
			return nil, errors.New("reading the parameters of a dongle step: vendor is missing")
		}
		return &dongle{p}, step.CleanPath(p.Device)
	})
}

type dongle struct{ DongleParams }

func (d *dongle) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	found, err := d.plugged(h)
	if err != nil {
		return step.Finding{}, err
	}
	if !found {
		return step.Finding{}, &problem.Error{Kind: problem.Check, Doing: "looking for", Object: "the USB licence key " + d.ids(),
			Err: errors.New("no such device is plugged in"),
			Fix: "plug it in (in a virtual machine: pass it through), or set license: electronic"}
	}
	if _, err := os.Stat(h.Path(d.Device)); err != nil {
		return step.Finding{}, fmt.Errorf("looking for the USB licence key's device: %w", err)
	}
	return step.Finding{}, nil
}

// Apply has nothing to do: Inspect fails or finds no change.
func (d *dongle) Apply(ctx context.Context, h *step.Machine) error {
	_, err := d.Inspect(ctx, h)
	return err
}

// Undo has nothing to take back: it only looks.
func (d *dongle) Undo(context.Context, *step.Machine) error { return nil }

func (d *dongle) ids() string {
	if d.Product == "" {
		return d.Vendor
	}
	return d.Vendor + ":" + d.Product
}

func (d *dongle) plugged(h *step.Machine) (bool, error) {
	vendors, err := filepath.Glob(h.Path("/sys/bus/usb/devices/*/idVendor"))
	if err != nil {
		return false, fmt.Errorf("listing the USB devices: %w", err)
	}
	for _, vendor := range vendors {
		if readID(vendor) != d.Vendor {
			continue
		}
		if d.Product == "" || readID(filepath.Join(filepath.Dir(vendor), "idProduct")) == d.Product {
			return true, nil
		}
	}
	return false, nil
}

// readID is one sysfs attribute; a device that has just gone reads as empty.
func readID(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(content))
}
