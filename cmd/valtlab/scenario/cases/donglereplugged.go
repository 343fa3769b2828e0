package cases

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// unplug and plugBack are what becomes of a USB key's traces (plugIn) when it is pulled out and put
// back: the kernel counts on, so its device has another number and another name.
const (
	unplug   = `set -e; rm /dev/bus/usb/001/002; rm -r /sys/bus/usb/devices/1-1`
	plugBack = `set -e
mknod /dev/bus/usb/001/007 c 189 6
mkdir -p /sys/bus/usb/devices/1-1
echo 0529 >/sys/bus/usb/devices/1-1/idVendor
echo 0001 >/sys/bus/usb/devices/1-1/idProduct`
)

// kernelWithUSB has a server's kernel say that it has USB, as all do that have a slot for it. Where it does
// not, runc has no name for the devices to give to systemd (systemd.resource-control(5), DeviceAllow=),
// and whenever that is reloaded they are closed to containers.
const kernelWithUSB = `set -e
grep -q '^189 ' /proc/devices && exit 0
sed '/^Character devices:/a 189 usb_device' /proc/devices >/run/valtlab-devices
mount --bind /run/valtlab-devices /proc/devices`

// dongleReplugged pulls the USB licence key of a media server out while it records, and puts it
// back: the engine that runs sees it again. Containers have no USB, so the key is a device node of
// the kernel's number for USB that no driver answers for; whether the container may open it is real.
func dongleReplugged(ctx context.Context, e *Env) (err error) {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	host := media[e.Random.IntN(len(media))]
	defer func() {
		err = errors.Join(err, e.Lab.Reset(context.WithoutCancel(ctx), host.Name), os.RemoveAll(e.Lab.Path("dongle.yaml")))
	}()
	site, err := e.physical(ctx, host.Name)
	if err != nil {
		return err
	}
	if err := e.Timed("install with a key on USB", func() error {
		_, err := e.Expect(ctx, 0, "install", "--yes", "--site", site, "--host", host.Name)
		return err
	}); err != nil {
		return err
	}
	d, err := e.desk(ctx, "app1", host)
	if err != nil {
		return err
	}
	streams, err := d.streams(ctx)
	if err == nil {
		err = d.record(ctx, streams[0])
	}
	if err != nil {
		return err
	}
	if err := e.replugged(ctx, site, host, d); err != nil {
		return err
	}
	if err := d.stop(ctx, streams[0]); err != nil {
		return err
	}
	again, err := e.Expect(ctx, 0, "install", "--yes", "--site", site, "--host", host.Name)
	if err == nil {
		err = says(again.Stdout+again.Stderr, "nothing to change")
	}
	return errors.Join(err, e.noneLost(ctx, []lab.Host{host}))
}

// physical makes a host bare, with a key on USB, and writes a site file that says so.
func (e *Env) physical(ctx context.Context, host string) (string, error) {
	if err := e.Lab.Reset(ctx, host); err != nil {
		return "", err
	}
	for _, script := range []string{kernelWithUSB, plugIn} {
		if _, err := e.Lab.Output(ctx, host, "sh", "-c", script); err != nil {
			return "", err
		}
	}
	return e.deriveSite("dongle", func(site map[string]any) {
		withHost(site, host, map[string]any{"wowza": map[string]any{"license": "physical"}})
	})
}

// replugged wants one and the same process to lose the key and to have it again.
func (e *Env) replugged(ctx context.Context, site string, host lab.Host, d *desk) error {
	was, err := e.engineProcess(ctx, host.Name)
	if err != nil {
		return err
	}
	for _, now := range []struct{ what, script, licence string }{
		{"plugged in", "true", "physical"}, {"unplugged", unplug, "none"}, {"plugged in again", plugBack, "physical"},
	} {
		if _, err := e.Lab.Output(ctx, host.Name, "sh", "-c", now.script); err != nil {
			return err
		}
		licence, err := d.licence(ctx)
		if err != nil {
			return err
		}
		if licence != now.licence {
			return fmt.Errorf("with the key %s the engine of %s has the licence %q and not %q", now.what, host.Name, licence, now.licence)
		}
		e.Measure("key "+now.what, "licence %s", licence)
		check, err := e.Run(ctx, "check", "hosts", "--site", site, "--host", host.Name)
		if err != nil {
			return err
		}
		const misses = "no device of vendor 0529 is plugged in"
		if err := says(check.Stdout+check.Stderr, misses); (err == nil) != (now.licence == "none") {
			return fmt.Errorf("with the key %s a check says: %s%s", now.what, check.Stdout, check.Stderr)
		}
	}
	if is, err := e.engineProcess(ctx, host.Name); err != nil || is != was {
		return fmt.Errorf("the engine was started anew: process %s instead of %s (%w)", is, was, err)
	}
	return nil
}
