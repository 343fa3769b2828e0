package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options is all that the engine is told. Ports are fixed in the real one and free
// only for tests.
type options struct {
	ports       ports
	certificate *tls.Certificate // nil: no TLS
	password    string           // of the REST interface
	allow       []netip.Addr     // who may ask the REST interface
	cameras     []string         // host:port
	recordings  string           // folder
	licence     string           // what it found, for people
	usb         string           // the folder in which a dongle is looked for
	poll        time.Duration    // between two questions to a camera
	writeEvery  time.Duration    // between two writes to a recording
	unwell      string           // a file that makes the engine ill while it is there; empty: none
	now         func() time.Time
}

// ports are listen addresses; streamTLS is used with a certificate alone.
type ports struct {
	stream, streamTLS, web, version, rest, manager string
}

// The places that the Compose file mounts.
const (
	passwordFile = "/run/secrets/engine"
	usbDevices   = "/dev/bus/usb"
	recordingDir = "/recordings"
)

// readOptions reads the container's environment and the files it names. Without a
// licence key or a licence dongle it fails, as the real engine does.
func readOptions(env func(string) string) (options, error) {
	o := options{
		ports:      ports{":1935", ":444", ":8000", ":8086", ":8087", ":8088"},
		recordings: recordingDir, poll: 5 * time.Second, writeEvery: time.Second, now: time.Now,
	}
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	password, err := os.ReadFile(passwordFile)
	note(err)
	o.password = strings.TrimSpace(string(password))
	if err == nil && o.password == "" {
		note(fmt.Errorf("reading %s: it is empty", passwordFile))
	}
	o.licence, err = findLicence(env("VALT_LICENCE"), usbDevices)
	note(err)
	o.usb = usbDevices
	if env("VALT_SSL") == "true" {
		pair, err := tls.LoadX509KeyPair(env("VALT_CERTIFICATE"), env("VALT_KEY"))
		if err != nil {
			note(fmt.Errorf("reading the certificate: %w", err))
		}
		o.certificate = &pair
	}
	o.allow, err = readAddresses(env("ENGINE_ALLOW"))
	note(err)
	if text := env("ENGINE_POLL"); text != "" {
		if o.poll, err = time.ParseDuration(text); err != nil || o.poll <= 0 {
			note(fmt.Errorf("reading ENGINE_POLL: %q is not a duration such as 5s", text))
		}
	}
	o.unwell = env("ENGINE_UNWELL")
	o.cameras, err = readCameras(env("VALT_CAMERAS"))
	note(err)
	return o, errors.Join(errs...)
}

// findLicence says which licence there is: a key file, or else a device below usb.
func findLicence(keyFile, usb string) (string, error) {
	key, err := os.ReadFile(keyFile)
	switch {
	case err == nil && strings.TrimSpace(string(key)) != "":
		return "electronic", nil
	case err != nil && keyFile != "" && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("reading the licence key: %w", err)
	}
	if !plugged(usb) {
		return "", fmt.Errorf("starting: no licence key in %q and no licence dongle below %s", keyFile, usb)
	}
	return physical, nil
}

// physical is the licence of a dongle.
const physical = "physical"

// licenceNow is the licence at this moment: a dongle counts while it is plugged in.
func (o *options) licenceNow() string {
	if o.licence == physical && !plugged(o.usb) {
		return "none"
	}
	return o.licence
}

// plugged says that a device below usb can be opened. That no driver answers for its number is
// so on a practice server, where nothing is plugged in; what may not be opened is no dongle.
func plugged(usb string) bool {
	found := false
	_ = filepath.WalkDir(usb, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what cannot be looked at is no dongle
		}
		device, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			_ = device.Close()
		}
		if err == nil || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// readAddresses reads the REST interface's allow-list; the stock one is loopback.
func readAddresses(list string) ([]netip.Addr, error) {
	allowed := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for _, text := range fields(list) {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("reading ENGINE_ALLOW: %w", err)
		}
		allowed = append(allowed, address)
	}
	return allowed, nil
}

func readCameras(list string) ([]string, error) {
	cameras := fields(list)
	for _, c := range cameras {
		if _, _, err := net.SplitHostPort(c); err != nil {
			return nil, fmt.Errorf("reading VALT_CAMERAS: %w", err)
		}
	}
	return cameras, nil
}

// fields splits at commas and drops what is empty.
func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
