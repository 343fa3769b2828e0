package allowed

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// capabilities may be added (capabilities(7)): what Docker gives every container anyway, without
// making device nodes, and those of a media engine and a database that want priority and memory.
func capabilities() []string {
	return []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "IPC_LOCK", "KILL",
		"NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "SYS_NICE"}
}

// Capability judges one that is added. Upper and lower case, and CAP_ before it, are one.
func Capability(name string) error {
	if slices.Contains(capabilities(), strings.TrimPrefix(strings.ToUpper(name), "CAP_")) {
		return nil
	}
	return refuse("add only what it needs of "+strings.Join(capabilities(), ", "), "%s gives the container power over the host", name)
}

// Dropped judges a capability that is taken away: any, so its name alone.
func Dropped(name string) error {
	if matches(`[A-Za-z_]+`, name) {
		return nil
	}
	return refuse("write ALL or the name of a capability", "%q is no capability", name)
}

// devices may be passed through, each with what lies in it: licence keys on USB, the graphics
// processors of a transcoder, and those that hold nothing.
func devices() []string {
	return []string{USB, "/dev/dri", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
}

// Device judges a device of the host, or a folder of them.
func Device(source string) error {
	plain := Plain(source)
	for _, place := range devices() {
		if within(plain, place) {
			if plain != source {
				return refuse("write "+plain, "%s is another name of %s", source, plain)
			}
			return nil
		}
	}
	named := source
	if plain != source {
		named += " is " + plain + ", which"
	}
	return refuse("pass only "+strings.Join(devices(), ", "), "%s gives the container power over the host", named)
}

// RealDevice judges where a device leads once every link is followed.
func RealDevice(source, real string) error {
	if real == source || Device(real) == nil {
		return nil
	}
	return refuse("", "%s leads by a link to %s, which no release may pass to a container", source, real)
}

// DevicePermissions judges what a container may do with a device: r, w and m.
func DevicePermissions(text string) error {
	if matches(`[rwm]{0,3}`, text) {
		return nil
	}
	return refuse("write rw", "%q are no permissions of a device", text)
}

// DeviceRule judges a rule about device numbers: USB devices (189) and graphics processors (226)
// of the kernel's list of allocated devices.
func DeviceRule(rule string) error {
	if matches(`c (189|226):(\*|\d+) [rwm]{1,3}`, rule) {
		return nil
	}
	return refuse(`write a rule for USB devices ("c 189:* rw") or graphics processors ("c 226:* rw")`, "%q opens devices that no release may have", rule)
}

// LogDriver judges where a container's output goes: to this host alone, where it is read.
func LogDriver(driver string) error {
	if slices.Contains([]string{"", "local", "json-file", "journald"}, driver) {
		return nil
	}
	return refuse("write local, json-file or journald, or leave it out", "the log driver %s does not keep what the container says on this host", driver)
}

// LogOption judges one option of a log driver.
func LogOption(name, value string) error {
	options := map[string]string{
		"max-size": `[1-9]\d*[kmgKMG]?[bB]?`, "max-file": `[1-9]\d{0,2}`, "compress": `true|false`,
		"mode": `blocking|non-blocking`, "max-buffer-size": `[1-9]\d*[kmKM]?[bB]?`, "tag": `[A-Za-z0-9_.{}/ -]{0,100}`,
	}
	pattern, known := options[name]
	if known && matches(pattern, value) {
		return nil
	}
	return refuse("of log options write only max-size, max-file, compress, mode, max-buffer-size and tag", "%s: %q cannot be used", name, value)
}

// Sysctl judges a kernel setting: those that the container's own network and memory have
// (docker run --sysctl). With the host's network those of the network are the host's.
func Sysctl(name, value string, hostNetwork bool) error {
	const instead = "leave it out, or have it be one of the container's own: net.core.somaxconn, net.ipv4.tcp_*, kernel.shm*"
	network := matches(`net\.core\.somaxconn|net\.ipv4\.tcp_[a-z0-9_]+|net\.ipv4\.ip_local_port_range|net\.ipv4\.ip_unprivileged_port_start|net\.ipv6\.conf\.(all|default|lo)\.disable_ipv6`, name)
	memory := matches(`kernel\.(shmmax|shmall|shmmni|sem|msgmax|msgmnb|msgmni)`, name)
	switch {
	case !network && !memory:
		return refuse(instead, "%s is a setting of the host", name)
	case network && hostNetwork:
		return refuse(instead, "%s is a setting of the host where the container has the host's network", name)
	case !matches(`[0-9]+([ \t][0-9]+)*|[a-z]+`, value):
		return refuse("write a number", "%s: %q cannot be used", name, value)
	}
	return nil
}

// SecurityOption judges an option of security: only what takes from a container.
func SecurityOption(option string) error {
	if slices.Contains([]string{"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}, option) {
		return nil
	}
	return refuse("write no-new-privileges:true, or leave it out", "%s takes away what keeps the container in", option)
}

// Target judges where something is mounted inside a container. Where the host's USB devices are
// bound is the only place among devices.
func Target(target, source string) error {
	inDevices := within(target, "/dev") && !within(target, "/dev/shm")
	switch {
	case !path.IsAbs(target) || path.Clean(target) != target:
		return refuse("write an absolute path", "%s: write an absolute path inside the container", target)
	case target == "/" || within(target, "/proc") || within(target, "/sys") || inDevices && !within(source, USB):
		return refuse("mount it elsewhere", "%s: that is the container's system", target)
	}
	return nil
}

// Propagation judges whether mounts go on through a bind: never from a container to the host.
func Propagation(text string) error {
	if slices.Contains([]string{"", "private", "rprivate", "slave", "rslave"}, text) {
		return nil
	}
	return refuse("write rslave, or leave it out", "with propagation %s what the container mounts appears on the host", text)
}

// Tmpfs judges a folder in memory and its options (tmpfs(5)).
func Tmpfs(target, options string) error {
	if err := Target(target, ""); err != nil {
		return err
	}
	for _, option := range strings.FieldsFunc(options, func(r rune) bool { return r == ',' }) {
		if !matches(`size=\d+[kmgKMG%]?|nr_inodes=\d+[kmg]?|mode=0?[0-7]{3,4}|[ug]id=\d+|rw|ro|exec|noexec|nosuid|nodev`, option) {
			return refuse("of a tmpfs write only size, nr_inodes, mode, uid, gid, rw, ro, exec, noexec, nosuid and nodev", "%s: the option %s cannot be used", target, option)
		}
	}
	return nil
}

// ExtraHost judges a name that a container is told the address of.
func ExtraHost(name, address string) error {
	if _, err := netip.ParseAddr(address); (err == nil || address == "host-gateway") && matches(`[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?`, name) {
		return nil
	}
	return refuse("write a name and an address", "%s: %s is no address", name, address)
}

// HostAddress judges the address of the host that a port is published at; empty: all.
func HostAddress(text string) error {
	if _, err := netip.ParseAddr(text); text == "" || err == nil {
		return nil
	}
	return refuse("write an address, or leave it out", "%s is no address", text)
}

// User judges whom a container runs as: a number, a name of its own, and the group likewise.
func User(text string) error {
	const one = `(\d{1,10}|[a-z_][a-z0-9_-]{0,31})`
	if text == "" || matches(one+`(:`+one+`)?`, text) {
		return nil
	}
	return refuse("write a number or a name, such as 33:33", "%q is no user", text)
}

// Group judges a further group that a container runs with: a number, or a name that gives it
// nothing of the host's.
func Group(text string) error {
	names := []string{"audio", "mysql", "nginx", "node", "plugdev", "render", "ssl-cert", "users", "valt", "video", "wowza", "www-data"}
	if matches(`\d{1,10}`, text) || slices.Contains(names, text) {
		return nil
	}
	return refuse("write the group's number inside the image", "the group %s may be one that has power over the host", text)
}

// Label judges the name of a label: those of valtctl, Compose and Docker are theirs, and say whose
// a container is.
func Label(name string) error {
	for _, theirs := range []string{"com.ipivs.valtctl", "com.docker", "io.docker", "org.dockerproject"} {
		if low := strings.ToLower(name); low == theirs || strings.HasPrefix(low, theirs+".") {
			return refuse("use a name of your own, such as com.ipivs.valt.part", "the label %s is valtctl's or Docker's own", name)
		}
	}
	if matches(`[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?`, name) {
		return nil
	}
	return refuse("use letters, digits, dots and dashes", "%q is no label", name)
}

// Ulimit judges a limit of a container's processes (getrlimit(2)). Hard and soft count whatever
// the name counts; -1 is none.
func Ulimit(name string, soft, hard int64) error {
	if !slices.Contains([]string{"core", "fsize", "memlock", "msgqueue", "nofile", "nproc", "sigpending", "stack"}, name) {
		return refuse("of ulimits write only core, fsize, memlock, msgqueue, nofile, nproc, sigpending and stack", "%s is no limit that a release may set", name)
	}
	if soft < -1 || hard < -1 || hard != -1 && (soft == -1 || soft > hard) {
		return refuse("write soft no higher than hard", "%s: %d and %d do not go together", name, soft, hard)
	}
	return nil
}

// NetworkMode judges whose network a container has.
func NetworkMode(mode string) error {
	if slices.Contains([]string{"", "host", "none"}, mode) {
		return nil
	}
	return refuse("name networks, or write host or none", "%s is another container's network", mode)
}

// leastSubnet is the shortest prefix of a network that a release may name: 4,096 addresses.
const leastSubnet = 20

// Subnet judges the addresses of a network of containers. The host sends all of them to its
// containers and none to the customer's network, so they are few and private (RFC 1918, 6598).
func Subnet(text string) error {
	const instead = "leave the subnet out: the site says from which addresses Docker may take"
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Masked() != p {
		return refuse(instead, "%q is no subnet", text)
	}
	for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"} {
		if in := netip.MustParsePrefix(private); in.Contains(p.Addr()) && p.Bits() >= leastSubnet {
			return nil
		}
	}
	return refuse(instead, "%s would take addresses from the customer's network or from everybody's", text)
}

// Port judges a port of the host that a container is published at.
func Port(number int) error {
	if number >= 1 && number <= 65535 && number != sshPort {
		return nil
	}
	return refuse("write another port", "%s is not a port that a release may have", strconv.Itoa(number))
}

// sshPort is how people reach a host.
const sshPort = 22

// ControlPort judges a port that is closed while a host drains: never the one that people and
// valtctl come by.
func ControlPort(number int) error {
	if number == sshPort {
		return refuse("name the media engine's own ports", "port %d is how the host is reached", number)
	}
	return nil
}
