package survey

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
)

// aptSettings are apt's settings below the given names, as it puts its files together.
func (h *host) aptSettings(ctx context.Context, below ...string) (map[string]string, error) {
	dump, err := h.aptDump(ctx, below...)
	return readAptSettings(dump), err
}

func (h *host) aptDump(ctx context.Context, below ...string) (string, error) {
	out, err := h.Run.Run(ctx, step.Command{Argv: append([]string{"apt-config", "dump"}, below...), Env: apt.Environment()})
	if err != nil {
		return "", fmt.Errorf("reading apt's settings: %w", err)
	}
	return string(out.Stdout), nil
}

// readAptSettings reads lines of Name "value"; (apt-config(8)), names in lower case, as
// apt takes them.
func readAptSettings(dump string) map[string]string {
	settings := map[string]string{}
	for line := range strings.Lines(dump) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if found {
			settings[strings.ToLower(name)] = strings.Trim(value, `";`)
		}
	}
	return settings
}

// enginePackages are those whose upgrade restarts the engine, by their names at Docker and at Ubuntu.
var enginePackages = []string{"docker-ce", "docker.io", "containerd.io", "containerd", "runc"}

// reboot is whether one is due (the files of update-notifier-common) and what
// unattended-upgrades would do of what stops a media engine: that, and to upgrade Docker.
func (h *host) reboot(ctx context.Context) (answer, error) {
	due := Reboot{Required: h.there("/run/reboot-required")}
	packages, err := h.read("/run/reboot-required.pkgs")
	due.Packages = slices.Compact(slices.Sorted(strings.FieldsSeq(packages)))
	fill := func(r *Reply) { r.Reboot = due }
	if err != nil {
		return fill, err
	}
	dump, err := h.aptDump(ctx, "APT::Periodic", "Unattended-Upgrade")
	if err != nil {
		return fill, err
	}
	settings := readAptSettings(dump)
	if yes(settings["apt::periodic::unattended-upgrade"]) {
		due.Engine = slices.DeleteFunc(slices.Clone(enginePackages), func(name string) bool { return apt.Kept(dump, name) })
	}
	if yes(settings["apt::periodic::unattended-upgrade"]) && yes(settings["unattended-upgrade::automatic-reboot"]) {
		due.Automatic, due.At = true, settings["unattended-upgrade::automatic-reboot-time"]
		if due.At == "" {
			due.At = "now"
		}
	}
	return fill, nil
}

// yes reads a setting as apt does (apt.conf(5)); a period is a number of days, or has a
// unit behind it.
func yes(setting string) bool {
	switch strings.ToLower(setting) {
	case "", "0", "no", "false", "without", "off", "disable":
		return false
	}
	return true
}

// firewalls are those that are on: ufw by its own setting, since its unit ends as soon as
// the rules are loaded, firewalld by its unit.
func (h *host) firewalls(context.Context) (answer, error) {
	var on []string
	config, err := h.read("/etc/ufw/ufw.conf")
	if h.there("/usr/sbin/ufw") && strings.EqualFold(assignments(config)["ENABLED"], "yes") {
		on = append(on, "ufw")
	}
	if h.runs("firewalld.service") {
		on = append(on, "firewalld")
	}
	return func(r *Reply) { r.Firewalls = on }, err
}

// assignments reads lines of NAME=value, the value perhaps quoted.
func assignments(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		name, value, found := strings.Cut(line, "=")
		if found && !strings.HasPrefix(name, "#") {
			values[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return values
}

// proxies are those of apt, of logins and of the engine's unit.
func (h *host) proxies(ctx context.Context) (answer, error) {
	var all []Proxy
	settings, err := h.aptSettings(ctx, "Acquire")
	for _, name := range []string{"acquire::http::proxy", "acquire::https::proxy"} {
		all = addProxy(all, "apt", settings[name])
	}
	environment, readErr := h.read("/etc/environment")
	if err == nil {
		err = readErr
	}
	values := assignments(environment)
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		all = addProxy(all, "/etc/environment", values[name])
	}
	for _, file := range h.glob("/etc/systemd/system/docker.service.d/*.conf") {
		text, readErr := h.read(file)
		if err == nil {
			err = readErr
		}
		for _, found := range proxyInUnit.FindAllStringSubmatch(text, -1) {
			all = addProxy(all, file, found[1])
		}
	}
	return func(r *Reply) { r.Proxies = all }, err
}

var proxyInUnit = regexp.MustCompile(`(?im)^Environment=.*?https?_proxy=([^\s"']+)`)

// addProxy adds a proxy once for each place, without its login.
func addProxy(all []Proxy, where, text string) []Proxy {
	if text == "" || strings.EqualFold(text, "DIRECT") {
		return all
	}
	one := Proxy{Where: where, URL: "a proxy whose URL cannot be read"}
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		one.URL = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	}
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// resolvers are the name servers that are really asked: with systemd-resolved
// /etc/resolv.conf names only its own address.
func (h *host) resolvers(context.Context) (answer, error) {
	text, err := h.read("/run/systemd/resolve/resolv.conf")
	if err == nil && text == "" {
		text, err = h.read("/etc/resolv.conf")
	}
	var all []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil && !slices.Contains(all, a.String()) {
			all = append(all, a.String())
		}
	}
	return func(r *Reply) { r.Resolvers = all }, err
}

// keeper is a service that keeps the clock, with where its servers are written.
type keeper struct {
	name  string
	units []string
	files []string
	words []string // that stand before a server
}

func keepers() []keeper {
	usual := []string{"server", "pool", "peer"}
	return []keeper{
		{"systemd-timesyncd", []string{"systemd-timesyncd.service"}, []string{"/etc/systemd/timesyncd.conf", "/etc/systemd/timesyncd.conf.d/*.conf"}, []string{"NTP="}},
		{chrony, []string{"chrony.service", "chronyd.service"}, []string{"/etc/chrony/chrony.conf", "/etc/chrony/conf.d/*.conf", "/etc/chrony/sources.d/*.sources"}, usual},
		{"ntpsec", []string{"ntpsec.service"}, []string{"/etc/ntpsec/ntp.conf", "/etc/ntpsec/ntp.d/*.conf"}, usual},
		{"ntp", []string{"ntp.service"}, []string{"/etc/ntp.conf"}, usual},
		{"openntpd", []string{"openntpd.service"}, []string{"/etc/openntpd/ntpd.conf"}, []string{"server", "servers"}},
	}
}

// timeService is which of the usual services keeps the clock, and by which servers.
func (h *host) timeService(ctx context.Context) (answer, error) {
	for _, k := range keepers() {
		if !slices.ContainsFunc(k.units, h.runs) {
			continue
		}
		found := TimeService{Name: k.name}
		for _, pattern := range k.files {
			for _, file := range h.glob(pattern) {
				text, err := h.read(file)
				if err != nil {
					return nil, fmt.Errorf("reading the settings of %s: %w", k.name, err)
				}
				found.Servers = timeServers(found.Servers, text, k.words)
			}
		}
		var err error
		if found.Name == chrony {
			found.Synchronized, err = h.chronySynchronized(ctx)
		}
		return func(r *Reply) { r.Time = found }, err
	}
	return nil, nil
}

// chrony is its name here, and that of Ubuntu's package.
const chrony = "chrony"

// chronySynchronized asks chrony itself, which tells the kernel only with its directive rtcsync
// (chrony.conf(5)): leap status is the last of what tracking tells (chronyc(1)).
func (h *host) chronySynchronized(ctx context.Context) (*bool, error) {
	out, err := h.Run.Run(ctx, step.Command{Argv: []string{"chronyc", "-n", "-c", "tracking"}})
	if err != nil {
		return nil, fmt.Errorf("asking chrony whether it is synchronised: %w", err)
	}
	told := strings.Split(strings.TrimSpace(string(out.Stdout)), ",")
	if len(told) < 14 {
		return nil, fmt.Errorf("asking chrony whether it is synchronised: %q is not understood", out.Stdout)
	}
	is := told[len(told)-1] != "Not synchronised"
	return &is, nil
}

// timeServers adds the servers of one file. timesyncd lists them behind NTP=, and an empty
// NTP= takes back what came before (timesyncd.conf(5)); the others have one a line.
func timeServers(so []string, text string, words []string) []string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if list, found := strings.CutPrefix(line, words[0]); found && strings.HasSuffix(words[0], "=") {
			if strings.TrimSpace(list) == "" {
				so = nil
			}
			so = append(so, strings.Fields(list)...)
			continue
		}
		if f := strings.Fields(line); len(f) >= 2 && slices.Contains(words, f[0]) {
			so = append(so, f[1])
		}
	}
	return so
}
