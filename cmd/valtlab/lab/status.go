package lab

import (
	"context"
	"sort"
	"strings"
)

// Status is what the lab is made of.
type Status struct {
	Name    string         `json:"name"`
	Dir     string         `json:"dir"`
	Subnet  string         `json:"subnet"`
	Members []MemberStatus `json:"members"`
}

// MemberStatus is one container of the lab, or one that should be there.
type MemberStatus struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Address string `json:"address"`
	State   string `json:"state"` // the engine's word, or "missing"
	Note    string `json:"note,omitempty"`
}

// Status lists what there is and what should be.
func (l *Lab) Status(ctx context.Context) (Status, error) {
	s, err := l.load()
	if err != nil {
		return Status{}, err
	}
	found, err := l.engine.List(ctx, l.Name())
	if err != nil {
		return Status{}, err
	}
	members := map[string]MemberStatus{}
	for _, c := range found {
		name := strings.TrimPrefix(c.Name, l.Name()+"-")
		members[name] = MemberStatus{Name: name, Kind: c.Kind, Address: c.Address.String(), State: c.State}
	}
	for _, h := range s.Hosts {
		m, ok := members[h.Name]
		if !ok {
			m = MemberStatus{Name: h.Name, Kind: kindHost, State: "missing"}
		}
		m.Address, m.Note = h.Address.String(), h.note()
		members[h.Name] = m
	}
	status := Status{Name: l.Name(), Dir: l.options.Dir, Subnet: l.Subnet().String(), Members: []MemberStatus{}}
	for _, m := range members {
		status.Members = append(status.Members, m)
	}
	sort.Slice(status.Members, func(i, j int) bool {
		a, b := status.Members[i], status.Members[j]
		if a.Kind != b.Kind {
			return kindRank(a.Kind) < kindRank(b.Kind)
		}
		return a.Name < b.Name
	})
	return status, nil
}

func kindRank(kind string) int {
	for i, k := range []string{kindHost, kindWorld, kindClient, KindCamera} {
		if k == kind {
			return i
		}
	}
	return 9
}

// note says what is odd about a host.
func (h Host) note() string {
	words := append([]string(nil), h.Roles...)
	for word, is := range map[string]bool{
		"hardened": h.Hardened, "noexec": h.Noexec, "noisy shell": h.NoisyShell, "dropbear": h.SSHD == Dropbear,
		"sudo " + h.Sudo: h.Sudo != SudoNopasswd, "behind " + h.Behind: h.Behind != "", "user " + h.User: h.User != DefaultUser,
	} {
		if is {
			words = append(words, word)
		}
	}
	sort.Strings(words[len(h.Roles):])
	return strings.Join(words, ", ")
}
