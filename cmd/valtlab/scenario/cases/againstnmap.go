package cases

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// How many host/port pairs are asked. Each address is a camera with two ports, so the
// pairs come in twos; addresses that share their ports are one run of nmap.
const (
	nmapPairs       = 240
	nmapPairsSample = 80
	nmapGroup       = 10 // addresses
)

// pair is one port of one address, and what was made of it.
type pair struct {
	address netip.Addr
	port    int
	listens string // a listener's manner; empty: nobody does
	filter  string // nft's verdict; empty: none
}

func (p pair) String() string {
	words := "closed"
	if p.listens != "" {
		words = "open, " + p.listens
	}
	if p.filter != "" {
		words += ", " + p.filter
	}
	return fmt.Sprintf("%s:%d (%s)", p.address, p.port, words)
}

// filters are what a firewall does, in nft's words; two in five packets pass.
var filters = []string{
	"", "", "", "", "drop", "drop", "reject with tcp reset", "reject with icmp type host-unreachable",
	"reject with icmp type port-unreachable", "reject with icmp type admin-prohibited",
}

// againstNmap asks the product and nmap about the same pairs from the same host.
func againstNmap(ctx context.Context, e *Env) error {
	const from, to = "media1", "media2"
	for round := range e.Count {
		if err := e.againstNmapOnce(ctx, from, to); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

func (e *Env) againstNmapOnce(ctx context.Context, from, to string) (err error) {
	pairs, err := e.drawPairs(ctx)
	if err != nil {
		return err
	}
	restore, err := e.makePairs(ctx, to, pairs)
	defer func() { err = errors.Join(err, restore(context.WithoutCancel(ctx))) }()
	if err != nil {
		return err
	}
	var theirs, ours map[string]string
	if err := e.Timed("nmap", func() (err error) { theirs, err = e.askNmap(ctx, from, pairs); return err }); err != nil {
		return err
	}
	if err := e.Timed("valtctl check", func() (err error) { ours, err = e.askPairs(ctx, from, pairs); return err }); err != nil {
		return err
	}
	return e.compare(pairs, theirs, ours)
}

// drawPairs draws ports and what is done to them.
func (e *Env) drawPairs(ctx context.Context) ([]pair, error) {
	n := nmapPairs
	if e.Sample {
		n = nmapPairsSample
	}
	addresses, err := e.Lab.Free(ctx, n/2)
	if err != nil {
		return nil, err
	}
	var pairs []pair
	for group := range slices.Chunk(addresses, nmapGroup) {
		// Above VALT's own ports and below those that connections start from.
		first := 10000 + e.Random.IntN(10000)
		ports := []int{first, first + 1 + e.Random.IntN(10000)}
		for _, a := range group {
			for _, port := range ports {
				pairs = append(pairs, pair{a, port, []string{"", silent, answers, answers}[e.Random.IntN(4)], filters[e.Random.IntN(len(filters))]})
			}
		}
	}
	return pairs, nil
}

// makePairs puts the addresses, the listeners and the rules on the host.
func (e *Env) makePairs(ctx context.Context, host string, pairs []pair) (restore func(context.Context) error, err error) {
	var listeners []listener
	addresses := addressesOf(pairs)
	rules := fault.Rules{Host: host}
	for _, p := range pairs {
		if p.listens != "" {
			listeners = append(listeners, listener{p.address, p.port, p.listens})
		}
		if p.filter != "" {
			rules.Input = append(rules.Input, fmt.Sprintf("ip daddr %s tcp dport %d %s", p.address, p.port, p.filter))
		}
	}
	restore = func(ctx context.Context) error {
		return errors.Join(rules.End(ctx, e.Lab), e.stopListening(ctx, host), e.Lab.RemoveAddresses(ctx, host, addresses...))
	}
	if err := e.Lab.AddAddresses(ctx, host, addresses...); err != nil {
		return restore, err
	}
	if err := e.listenOn(ctx, host, listeners...); err != nil {
		return restore, err
	}
	return restore, rules.Begin(ctx, e.Lab)
}

func addressesOf(pairs []pair) []netip.Addr {
	var all []netip.Addr
	for _, p := range pairs {
		all = append(all, p.address)
	}
	return slices.Compact(all)
}

// scanner is a container in the network of the host that asks: nmap is not on it.
const scanner = "scanner"

// askNmap is nmap's word for every pair: open, closed or filtered.
func (e *Env) askNmap(ctx context.Context, from string, pairs []pair) (_ map[string]string, err error) {
	image, err := e.Lab.WorldImage(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Lab.RemovePeer(context.WithoutCancel(ctx), scanner)) }()
	if err := e.Lab.StartPeer(ctx, lab.Peer{Name: scanner, Image: image, Command: []string{"sleep", "infinity"}, Inside: from}); err != nil {
		return nil, err
	}
	groups := slices.Collect(slices.Chunk(pairs, 2*nmapGroup))
	found := make([]map[string]string, len(groups))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, g := range groups {
		group.Go(func() (err error) { found[i], err = e.scan(ctx, g); return err })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, f := range found {
		maps.Copy(all, f)
	}
	return all, nil
}

// scan runs nmap for pairs that share their ports. Left alone nmap waits a tenth of a
// second where answers are quick, and on a busy machine calls an open port filtered.
func (e *Env) scan(ctx context.Context, pairs []pair) (map[string]string, error) {
	argv := []string{"nmap", "-sS", "-Pn", "-n", "--min-rtt-timeout", "1s", "--max-retries", "3", "-oX", "-",
		"-p", fmt.Sprintf("%d,%d", pairs[0].port, pairs[1].port)}
	for _, a := range addressesOf(pairs) {
		argv = append(argv, a.String())
	}
	out, err := e.Lab.Output(ctx, scanner, argv...)
	if err != nil {
		return nil, err
	}
	return nmapStates([]byte(out))
}

// nmapStates reads nmap's report in XML: what it says of each address:port.
func nmapStates(text []byte) (map[string]string, error) {
	var run struct {
		Hosts []struct {
			Addresses []struct { // the Ethernet one too
				Addr string `xml:"addr,attr"`
				Kind string `xml:"addrtype,attr"`
			} `xml:"address"`
			Ports []struct {
				Number string `xml:"portid,attr"`
				State  struct {
					State string `xml:"state,attr"`
				} `xml:"state"`
			} `xml:"ports>port"`
		} `xml:"host"`
	}
	if err := xml.Unmarshal(text, &run); err != nil {
		return nil, fmt.Errorf("reading nmap's report: %w", err)
	}
	states := map[string]string{}
	for _, h := range run.Hosts {
		for _, a := range h.Addresses {
			for _, p := range h.Ports {
				if a.Kind == "ipv4" {
					states[a.Addr+":"+p.Number] = p.State.State
				}
			}
		}
	}
	return states, nil
}

// askPairs is the product's word for every pair. Cameras may be anywhere and have ports
// of their own, so a site file makes the host try them.
func (e *Env) askPairs(ctx context.Context, from string, pairs []pair) (map[string]string, error) {
	var cameras []any
	for two := range slices.Chunk(pairs, 2) {
		cameras = append(cameras, map[string]any{"address": two[0].address.String(), "http": two[0].port, "rtsp": two[1].port})
	}
	site, err := e.deriveSite("against-nmap", func(site map[string]any) {
		onlyHosts(site, "app1", from)
		withHost(site, from, map[string]any{"cameras": cameras})
	})
	if err != nil {
		return nil, err
	}
	r, _, err := e.check(ctx, "network", site, "--host", from)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, a := range r.Result.Results {
		if a.Flow != nil && strings.HasPrefix(a.ID, "camera.") {
			states[a.Flow.Destination.Address+":"+strconv.Itoa(int(a.Flow.Port))] = nmapWord(a.Verdict)
		}
	}
	return states, nil
}

// nmapWord is nmap's for a verdict. An open port says nothing good about what answers
// there, so wrong content is open too.
func nmapWord(verdict string) string {
	switch verdict {
	case "works", "wrong-content":
		return "open"
	case "refused":
		return "closed"
	}
	return verdict
}

// compare wants one word for each pair, and tells both where they are two.
func (e *Env) compare(pairs []pair, theirs, ours map[string]string) error {
	words := map[string]int{}
	var differ []error
	for _, p := range pairs {
		key := fmt.Sprintf("%s:%d", p.address, p.port)
		words[theirs[key]]++
		if theirs[key] != ours[key] || theirs[key] == "" {
			differ = append(differ, fmt.Errorf("%s: nmap says %q, valtctl %q", p, theirs[key], ours[key]))
		}
	}
	e.Measure("pairs", "%d: %d open, %d closed, %d filtered; %d differ", len(pairs), words["open"], words["closed"], words["filtered"], len(differ))
	return errors.Join(differ...)
}
