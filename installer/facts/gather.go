package facts

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/apt"
)

// Options says what Gather reads and where.
type Options struct {
	Root   string // "" on a real host; a folder in tests, put before every path
	Docker Engine // nil: the engine is not asked
	Now    func() time.Time
	Full   bool // also every installed package
	// EngineWithin is how long the engine may take to answer; 0 means two seconds.
	EngineWithin time.Duration
}

// host reads the files of one host and keeps what went wrong.
type host struct {
	root string
	errs []error
}

// archiveKeyring is what Ubuntu's package ubuntu-keyring brings.
const archiveKeyring = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"

// Gather reads what the host is. It starts no program, changes nothing, and waits for
// nothing but the engine and the file systems, both for two seconds at most. What cannot
// be read is left empty and is in the error, beside the rest; what is not there (no
// engine, no USB, nothing installed) is no error.
func Gather(ctx context.Context, o Options) (Facts, error) {
	h := &host{root: o.Root}
	engine := askEngine(ctx, o)
	mounts := make(chan filesystemsReply, 1)
	go func() { mounts <- h.filesystems(ctx) }()

	f := Facts{
		Hostname:       h.line("/proc/sys/kernel/hostname"),
		MachineID:      h.line("/etc/machine-id"),
		HostKeys:       h.hostKeys(),
		OS:             h.os(),
		Arch:           dpkgArch(runtime.GOARCH),
		Kernel:         h.line("/proc/sys/kernel/osrelease"),
		Virtualization: h.virtualization(),
		CPUs:           h.cpus(),
		MemoryBytes:    h.memory(),
		RebootRequired: h.exists("/run/reboot-required"),
		RebootPackages: h.rebootPackages(),
		GateClosed:     h.exists(GateRules),
		USB:            h.usb(),
		SnapDocker:     h.snapDocker(),
		ScheduleKey:    h.line(ScheduleKey + ".pub"),
		RevokedKeys:    strings.Fields(string(h.read(RevokedKeys))),
		Installed:      h.installed(),
		Clock:          Clock{Now: o.Now().UTC(), Synchronized: h.synchronized(), Service: h.timeService(), NTS: h.nts()},
	}
	f.Addresses = h.addresses()
	f.BootID = h.keepString(BootID(o.Root))
	f.UptimeSeconds = h.uptime()
	if o.Full {
		f.Packages, f.DpkgStatus, f.Keyring = h.packages(), h.dpkgStatus(), h.read(archiveKeyring)
		f.Agents = h.agents()
	}
	var engineErr error
	if f.Engine, engineErr = engine(); o.Full && f.Engine != nil {
		var err error
		f.Engine.Images, err = images(ctx, o.Docker)
		h.keep(err)
	}
	fileSystems := <-mounts
	f.Filesystems = fileSystems.all
	return f, errors.Join(append(h.errs, fileSystems.err, engineErr)...)
}

func (h *host) keep(err error) {
	if err != nil {
		h.errs = append(h.errs, err)
	}
}

func (h *host) keepString(s string, err error) string {
	h.keep(err)
	return s
}

func (h *host) path(p string) string { return filepath.Join(h.root, p) }

// read is a file's content; nil where there is none.
func (h *host) read(path string) []byte {
	content, err := os.ReadFile(h.path(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.keep(fmt.Errorf("reading the host's facts: %w", err))
	}
	return content
}

// line is a file of one line.
func (h *host) line(path string) string { return strings.TrimSpace(string(h.read(path))) }

func (h *host) exists(path string) bool {
	_, err := os.Stat(h.path(path))
	return err == nil
}

// os reads os-release(5), which /usr/lib has where /etc does not.
func (h *host) os() OS {
	content := h.read("/etc/os-release")
	if content == nil {
		content = h.read("/usr/lib/os-release")
	}
	if content == nil {
		h.keep(errors.New("reading the host's facts: it has no os-release, so it cannot be told which system it runs"))
	}
	values := osRelease(string(content))
	return OS{ID: values["ID"], VersionID: values["VERSION_ID"], Codename: values["VERSION_CODENAME"], Pretty: values["PRETTY_NAME"]}
}

// osRelease reads lines of NAME=value, the value perhaps quoted.
func osRelease(content string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(content) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[name] = value
	}
	return values
}

// dpkgArch is dpkg's name of a Go architecture.
func dpkgArch(goarch string) string {
	switch goarch {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	}
	return goarch
}

// cpus counts the processors that are on, from a list such as "0-3,6" (sysfs).
func (h *host) cpus() int {
	n := 0
	for part := range strings.SplitSeq(h.line("/sys/devices/system/cpu/online"), ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err == nil && last >= first {
			n += last - first + 1
		}
	}
	return n
}

// rebootPackages are those that asked for a reboot, each once, as update-notifier-common's
// notify-reboot-required lists them.
func (h *host) rebootPackages() []string {
	return slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(h.read("/run/reboot-required.pkgs"))))))
}

// memory is MemTotal, which proc_meminfo(5) gives in KiB.
func (h *host) memory() int64 {
	scanner := bufio.NewScanner(strings.NewReader(string(h.read("/proc/meminfo"))))
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// addresses are the addresses of every interface but the loopback, in the kernel's order.
func (h *host) addresses() []string {
	all, err := net.InterfaceAddrs()
	h.keep(err)
	var texts []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			texts = append(texts, n.IP.String())
		}
	}
	return texts
}

// usb lists what is plugged in, root hubs included (sysfs bus/usb).
func (h *host) usb() []USBDevice {
	entries, err := os.ReadDir(h.path("/sys/bus/usb/devices"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.keep(fmt.Errorf("reading the USB devices: %w", err))
	}
	var all []USBDevice
	for _, e := range entries {
		at := "/sys/bus/usb/devices/" + e.Name()
		if d := (USBDevice{Vendor: h.line(at + "/idVendor"), Product: h.line(at + "/idProduct")}); d.Vendor != "" {
			d.Name = h.line(at + "/product")
			all = append(all, d)
		}
	}
	return all
}

// installed is what the last finished transaction left.
func (h *host) installed() *Installed {
	content := h.read("/var/lib/valtctl/host.json")
	if content == nil {
		return nil
	}
	var i Installed
	if err := json.Unmarshal(content, &i); err != nil {
		h.keep(fmt.Errorf("reading /var/lib/valtctl/host.json: %w", err))
		return nil
	}
	return &i
}

// packages are those whose files are on the disk.
func (h *host) packages() map[string]string {
	f, err := os.Open(h.path("/var/lib/dpkg/status"))
	if err != nil {
		h.keep(fmt.Errorf("reading the installed packages: %w", err))
		return nil
	}
	defer f.Close()
	all, err := apt.ReadStatus(f)
	h.keep(err)
	packages := make(map[string]string, len(all))
	for _, p := range all {
		if p.Unpacked() {
			packages[p.Name+":"+p.Arch] = p.Version
		}
	}
	return packages
}
