package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/nft"
)

// filterChain is one chain of a packet filter, whichever program made it.
type filterChain struct {
	family, table, name string
	base                bool   // the kernel sends forwarded packets here
	policy              string // of a base chain
	rules               []filterRule
}

// filterRule is one rule: what it does with which packets.
type filterRule struct {
	verdict string // accept, drop, return, jump; empty: it decides nothing
	target  string // of a jump
	any     bool   // it is about every packet
	benign  bool   // it is about packets that belong to no connection
}

// forward finds what stands in the way of packets to and from containers: every chain that forwarded
// packets pass must let them through, whoever made it. nft tells those of today's kernels, those of
// iptables-nft among them; iptables-legacy has tables of its own beside them.
func (h *host) forward(ctx context.Context) (answer, error) {
	chains, err := h.nftChains(ctx)
	blocks := blocksOf(chains, h.runs("docker.service"))
	legacy, legacyErr := h.legacyChains(ctx)
	for _, b := range blocksOf(legacy, true) {
		b.Where, b.Undo = "iptables-legacy, chain FORWARD", "sudo iptables-legacy -P FORWARD ACCEPT && sudo iptables-legacy -F FORWARD"
		blocks = append(blocks, b)
	}
	return func(r *Reply) { r.Forward = blocks }, errors.Join(err, legacyErr)
}

// nftChains are the kernel's own. A host with neither nft nor iptables has nobody who could have made one.
func (h *host) nftChains(ctx context.Context) ([]filterChain, error) {
	out, err := h.Run.Run(ctx, step.Command{Argv: []string{nft.Program, "-j", "list", "ruleset"}})
	if nft.NoProgram(err) {
		if !h.there("/usr/sbin/iptables-nft-save") {
			return nil, nil
		}
		out, err = h.Run.Run(ctx, step.Command{Argv: []string{"/usr/sbin/iptables-nft-save", "-t", "filter"}})
		if err != nil {
			return nil, fmt.Errorf("asking for the packet filter's rules: %w", err)
		}
		return savedChains(string(out.Stdout)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the packet filter's rules: %w", err)
	}
	if len(out.Stdout) == 0 {
		return nil, nil
	}
	return readRuleset(out.Stdout)
}

// legacyChains are those of the older kernel interface, which is in use where the kernel lists its tables.
func (h *host) legacyChains(ctx context.Context) ([]filterChain, error) {
	tables, err := h.read("/proc/net/ip_tables_names")
	if err != nil || !slices.Contains(strings.Fields(tables), "filter") {
		return nil, err
	}
	out, err := h.Run.Run(ctx, step.Command{Argv: []string{"/usr/sbin/iptables-legacy-save", "-t", "filter"}})
	if err != nil {
		return nil, fmt.Errorf("asking for the rules of iptables-legacy, which are in use: %w", err)
	}
	return savedChains(string(out.Stdout)), nil
}

// ruleset is what nft prints as JSON (libnftables-json(5)).
type ruleset struct {
	Nftables []struct {
		Chain *struct{ Family, Table, Name, Type, Hook, Policy string }
		Rule  *struct {
			Family, Table, Chain string
			Expr                 []map[string]json.RawMessage
		}
	}
}

func readRuleset(text []byte) ([]filterChain, error) {
	var all ruleset
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading the packet filter's rules: %w", err)
	}
	var chains []filterChain
	for _, one := range all.Nftables {
		if c := one.Chain; c != nil {
			chains = append(chains, filterChain{family: c.Family, table: c.Table, name: c.Name, policy: c.Policy,
				base: c.Hook == "forward" && c.Type == "filter" && (c.Family == "ip" || c.Family == "inet")})
		}
		if r := one.Rule; r != nil {
			at := slices.IndexFunc(chains, func(c filterChain) bool { return c.family == r.Family && c.table == r.Table && c.name == r.Chain })
			if at >= 0 {
				chains[at].rules = append(chains[at].rules, readRule(r.Expr))
			}
		}
	}
	return chains, nil
}

// readRule reads a rule's expressions: what is neither a verdict nor only notes something is a condition.
func readRule(all []map[string]json.RawMessage) filterRule {
	r := filterRule{any: true}
	for _, e := range all {
		for name, value := range e {
			switch name {
			case "accept", "drop", "return":
				r.verdict = name
			case "reject":
				r.verdict = "drop"
			case "jump", "goto":
				var to struct{ Target string }
				_ = json.Unmarshal(value, &to) // then it jumps nowhere
				r.verdict, r.target = "jump", to.Target
			case "counter", "comment", "log", "limit":
			default:
				r.any = false
				r.benign = r.benign || strings.Contains(string(value), `"invalid"`)
			}
		}
	}
	return r
}

// savedChains reads what iptables-save prints: ":CHAIN POLICY [packets:bytes]" and "-A CHAIN … -j TARGET".
func savedChains(text string) []filterChain {
	var chains []filterChain
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 2 && strings.HasPrefix(f[0], ":") {
			name := f[0][1:]
			chains = append(chains, filterChain{family: "ip", table: "filter", name: name, policy: strings.ToLower(f[1]), base: name == "FORWARD"})
		}
		if len(f) < 2 || f[0] != "-A" {
			continue
		}
		if at := slices.IndexFunc(chains, func(c filterChain) bool { return c.name == f[1] }); at >= 0 {
			chains[at].rules = append(chains[at].rules, savedRule(f[2:]))
		}
	}
	return chains
}

func savedRule(words []string) filterRule {
	r := filterRule{any: true}
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "-j", "-g":
			if i++; i < len(words) {
				r.verdict, r.target = strings.ToLower(words[i]), words[i]
			}
		case "--comment", "--reject-with", "--log-prefix":
			i++
		case "-m":
			if i++; i < len(words) && words[i] != "comment" {
				r.any = false
			}
		default:
			r.any = false
			r.benign = r.benign || strings.Contains(words[i], "INVALID")
		}
	}
	switch r.verdict {
	case "accept", "drop", "return", "":
	case "reject":
		r.verdict = "drop"
	case "log":
		r.verdict = ""
	default:
		r.verdict = "jump"
	}
	return r
}

// blocksOf judges the chains that forwarded packets pass. Where the engine runs it has jumps of its own
// first, and accepts what is its containers'.
func blocksOf(chains []filterChain, engine bool) []ForwardBlock {
	var all []ForwardBlock
	for _, c := range chains {
		ours := strings.HasPrefix(c.table, "valtctl") || strings.HasPrefix(c.table, "docker")
		// The engine, once it runs, puts its own rules before all others of this chain.
		engineMade := c.family == "ip" && c.table == "filter" && c.name == "FORWARD" && !engine
		if !c.base || ours || engineMade {
			continue
		}
		w := walk{chains: chains, of: c}
		w.through(c, true, 0)
		if b, blocked := w.verdict(); blocked {
			all = append(all, b)
		}
	}
	return all
}

// walk follows a new connection's packet of a container through a chain, as far as can be told without it.
type walk struct {
	chains  []filterChain
	of      filterChain
	drops   int  // rules that drop some packets
	all     bool // one that drops every packet
	accepts bool // rules that accept some packets
	over    bool // every packet is decided
	docker  bool // the engine's own rules are reached
}

// maxJumps bounds how deep chains call one another; the kernel's bound is 16.
const maxJumps = 16

// through walks a chain; sure says that every packet comes here.
func (w *walk) through(c filterChain, sure bool, depth int) {
	for _, r := range c.rules {
		if w.over || w.docker {
			return
		}
		every := sure && r.any
		switch r.verdict {
		case "accept":
			w.accepts, w.over = true, every
		case "drop":
			if !r.benign {
				w.drops++
				w.all, w.over = every, every
			}
		case "return":
			if r.any {
				return
			}
		case "jump":
			w.jump(r.target, every, depth)
		}
	}
}

func (w *walk) jump(target string, sure bool, depth int) {
	if strings.HasPrefix(target, "DOCKER") && target != "DOCKER-USER" {
		w.docker = true
		return
	}
	for _, c := range w.chains {
		if c.family == w.of.family && c.table == w.of.table && c.name == target && depth < maxJumps {
			w.through(c, sure, depth+1)
		}
	}
}

// verdict is what the walk found.
func (w *walk) verdict() (ForwardBlock, bool) {
	b := ForwardBlock{Where: fmt.Sprintf("table %s %s, chain %s", w.of.family, w.of.table, w.of.name),
		Undo: fmt.Sprintf("sudo nft delete table %s %s", w.of.family, w.of.table)}
	if w.of.table == "filter" && w.of.family == "ip" {
		b.Undo = "sudo iptables -P FORWARD ACCEPT && sudo iptables -F DOCKER-USER && sudo systemctl restart docker"
	}
	dropped := w.of.policy == "drop" && !w.over && !w.docker
	switch {
	case w.all && !w.accepts:
		b.Why, b.Sure = "a rule drops everything", true
	case dropped && !w.accepts:
		b.Why, b.Sure = "its policy is drop, and it accepts nothing new", true
	case dropped:
		b.Why = "its policy is drop, and it accepts only what it names"
	case w.drops > 0:
		b.Why = fmt.Sprintf("it has %d rules that drop packets", w.drops)
		if w.drops == 1 {
			b.Why = "it has a rule that drops packets"
		}
	default:
		return b, false
	}
	return b, true
}
