package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// state is what the lab remembers of itself in lab.json.
type state struct {
	Name    string `json:"name"`
	Subnet  string `json:"subnet"`
	Hosts   []Host `json:"hosts"`
	Cameras int    `json:"cameras"`
	// Bears is what hosts bear that are added.
	Bears Bears `json:"bears"`
}

func (l *Lab) statePath() string { return l.Path("lab.json") }

// load reads lab.json. A folder without one belongs to a lab that is not up.
func (l *Lab) load() (state, error) {
	var s state
	text, err := os.ReadFile(l.statePath())
	if os.IsNotExist(err) {
		return state{Name: l.Name(), Subnet: l.Subnet().String()}, nil
	}
	if err != nil {
		return s, fmt.Errorf("reading the lab's state: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", l.statePath(), err)
	}
	if s.Name != l.Name() || s.Subnet != l.Subnet().String() {
		return s, fmt.Errorf("%s is of the lab %s on %s: give --name %s --subnet %s, or another --dir",
			l.options.Dir, s.Name, s.Subnet, s.Name, s.Subnet)
	}
	return s, nil
}

func (l *Lab) save(s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the lab's state: %w", err)
	}
	return writeFile(l.statePath(), append(text, '\n'), 0o644)
}

// Hosts are the lab's hosts in the order they were made.
func (l *Lab) Hosts() ([]Host, error) {
	s, err := l.load()
	return s.Hosts, err
}

// Host is the host of that name.
func (l *Lab) Host(name string) (Host, error) {
	hosts, err := l.Hosts()
	if err != nil {
		return Host{}, err
	}
	var names []string
	for _, h := range hosts {
		if h.Name == name {
			return h, nil
		}
		names = append(names, h.Name)
	}
	if len(names) == 0 {
		return Host{}, fmt.Errorf("there is no host %s: the lab is not up (valtlab up)", name)
	}
	return Host{}, fmt.Errorf("there is no host %s; there are %s", name, strings.Join(names, ", "))
}

// Codename is that of the Ubuntu which a host bears.
func (l *Lab) Codename(name string) (string, error) {
	h, err := l.Host(name)
	if err != nil {
		return "", err
	}
	return h.release().Codename, nil
}

// set puts the hosts a lab always has first and keeps those that were added.
func (s *state) set(standard []Host) {
	kept := slices.DeleteFunc(slices.Clone(s.Hosts), func(h Host) bool { return isStandard(h.Name) })
	s.Hosts = append(slices.Clone(standard), kept...)
}

// standardHosts are the hosts of a lab as it is asked for.
func (l *Lab) standardHosts(o UpOptions) []Host {
	hosts := []Host{o.Bears.host(Host{Name: "app1", Address: l.Address(numApp), Roles: []string{RoleApp}})}
	for n := 1; n <= o.Media; n++ {
		hosts = append(hosts, o.Bears.host(Host{Name: fmt.Sprintf("media%d", n), Address: l.Address(numMedia + n), Roles: []string{RoleMedia}}))
	}
	return hosts
}

// isStandard tells the hosts that up makes from those of host add.
func isStandard(name string) bool {
	var n int
	if name == "app1" {
		return true
	}
	got, err := fmt.Sscanf(name, "media%d", &n)
	return err == nil && got == 1 && name == fmt.Sprintf("media%d", n) && n >= 1 && n <= maxMedia
}

// maxMedia and maxCameras are what fits between the fixed addresses.
const (
	maxMedia   = numClient - numMedia - 1
	maxCameras = numFurther - numCamera - 1
)
