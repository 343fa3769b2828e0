package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"ipivs.com/valtctl/repos/problem"
)

// hop is one SSH server on the way to the host; the last is the host itself.
type hop struct {
	name       string // what people call it
	host       string
	port       int
	user       string
	identities []string // key files, in the order they are tried
	explicit   bool     // the identities were named by somebody: nothing else is tried
}

func (h hop) addr() string { return net.JoinHostPort(h.host, strconv.Itoa(h.port)) }

func (h hop) String() string {
	text := h.addr()
	if h.user != "" {
		text = h.user + "@" + text
	}
	if h.name != h.host {
		text = h.name + " (" + text + ")"
	}
	return text
}

// route is the hops to a host, jump hosts first. What the options leave open is filled
// from ssh_config, then from the defaults of ssh(1).
func route(o Options) ([]hop, error) {
	config, err := readConfig(o.Env.Config)
	if err != nil {
		return nil, err
	}
	jumps := o.Jump
	if len(jumps) == 0 {
		jumps = config.jumps(o.Address)
	}
	hops := make([]hop, 0, len(jumps)+1)
	for _, text := range jumps {
		h, err := parseHop(text)
		if err != nil {
			return nil, err
		}
		hops = append(hops, h)
	}
	hops = append(hops, hop{name: o.Name, host: o.Address, port: o.Port, user: o.User})
	for i := range hops {
		config.fill(&hops[i], o)
	}
	return hops, nil
}

// parseHop reads [ssh://][user@]host[:port], as ProxyJump of ssh_config(5) has it.
func parseHop(text string) (hop, error) {
	bad := func(why string) (hop, error) {
		return hop{}, &problem.Error{Kind: problem.Input, Doing: "reading the jump host", Object: strconv.Quote(text),
			Err: errors.New(why), Fix: "write it as user@host:port; user and port may be left out"}
	}
	var h hop
	rest := strings.TrimPrefix(text, "ssh://")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		h.user, rest = rest[:at], rest[at+1:]
	}
	h.host = rest
	if host, port, found := strings.Cut(rest, ":"); found {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return bad("its port is not a number from 1 to 65535")
		}
		h.host, h.port = host, int(number)
	}
	if h.host == "" || strings.ContainsAny(h.host, " \t/@") {
		return bad("it names no host")
	}
	h.name = h.host
	return h, nil
}

// sshConfig is the person's ssh_config; nil: there is none.
type sshConfig struct{ parsed *ssh_config.Config }

func readConfig(path string) (sshConfig, error) {
	if path == "" {
		return sshConfig{}, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sshConfig{}, nil
	}
	if err != nil {
		return sshConfig{}, fmt.Errorf("reading ssh_config: %w", err)
	}
	defer file.Close()
	parsed, err := ssh_config.Decode(file)
	if err != nil {
		return sshConfig{}, &problem.Error{Kind: problem.Input, Doing: "reading", Object: path, Err: err,
			Fix: "valtctl reads Host, HostName, User, Port, IdentityFile and ProxyJump; state these in the site file and point HOME elsewhere, or simplify the file"}
	}
	return sshConfig{parsed}, nil
}

func (c sshConfig) get(alias, key string) string {
	if c.parsed == nil {
		return ""
	}
	value, err := c.parsed.Get(alias, key)
	if err != nil {
		return ""
	}
	return value
}

func (c sshConfig) jumps(alias string) []string {
	text := c.get(alias, "ProxyJump")
	if text == "" || strings.EqualFold(text, "none") {
		return nil
	}
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		all = append(all, strings.TrimSpace(part))
	}
	return all
}

// fill completes h from ssh_config and the defaults.
func (c sshConfig) fill(h *hop, o Options) {
	alias := h.host
	if real := c.get(alias, "HostName"); real != "" {
		h.host = strings.ReplaceAll(real, "%h", alias)
	}
	if h.port == 0 {
		h.port, _ = strconv.Atoi(c.get(alias, "Port"))
	}
	if h.port == 0 {
		h.port = 22
	}
	if h.user == "" {
		h.user = c.get(alias, "User")
	}
	if h.user == "" {
		h.user = o.Env.User
	}
	h.identities = c.identities(alias, *h, o)
	h.explicit = len(h.identities) > 0
	if !h.explicit {
		h.identities = usualIdentities(o.Env.Home)
	}
}

func (c sshConfig) identities(alias string, h hop, o Options) []string {
	if o.Identity != "" {
		return []string{expandHome(o.Identity, o.Env.Home)}
	}
	if c.parsed == nil {
		return nil
	}
	named, err := c.parsed.GetAll(alias, "IdentityFile")
	if err != nil {
		return nil
	}
	tokens := strings.NewReplacer("%%", "%", "%d", o.Env.Home, "%h", h.host, "%r", h.user, "%u", o.Env.User)
	var all []string
	for _, path := range named {
		if !strings.EqualFold(path, "none") {
			all = append(all, expandHome(tokens.Replace(path), o.Env.Home))
		}
	}
	return all
}

func expandHome(path, home string) string {
	if rest, found := strings.CutPrefix(path, "~/"); found && home != "" {
		return filepath.Join(home, rest)
	}
	return path
}

// usualIdentities are the files ssh(1) tries without being told, where they exist.
func usualIdentities(home string) []string {
	if home == "" {
		return nil
	}
	var all []string
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		path := filepath.Join(home, ".ssh", name)
		if _, err := os.Stat(path); err == nil {
			all = append(all, path)
		}
	}
	return all
}
