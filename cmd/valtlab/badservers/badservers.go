package badservers

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/pki"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// Name is the container's.
const Name = "peers"

// Start makes the container anew, with the certificates and the Date of now, and returns
// when everything in it answers.
func Start(ctx context.Context, l *lab.Lab) (Tunnels, error) {
	var t Tunnels
	image, err := l.Image(ctx, Recipe())
	if err != nil {
		return t, err
	}
	free, err := l.Free(ctx, 4)
	if err != nil {
		return t, err
	}
	t = Tunnels{Answers: free[1], Silent: free[2], Rejected: free[3]}
	files, err := configuration(l)
	if err != nil {
		return t, err
	}
	err = l.StartPeer(ctx, lab.Peer{
		Name: Name, Image: image, Machine: true, Addresses: free, Files: files,
		Ready: func(ctx context.Context) error { return serves(ctx, l) },
	})
	if err != nil {
		return t, err
	}
	if err := t.filter().Begin(ctx, l); err != nil {
		return t, err
	}
	return t, l.SayNames(Name, hosts(free[0]))
}

// Stop removes the container. Its names go too.
func Stop(ctx context.Context, l *lab.Lab) error {
	if err := l.SayNames(Name, nil); err != nil {
		return err
	}
	return l.RemovePeer(ctx, Name)
}

// hosts are the names in the world's DNS.
func hosts(address netip.Addr) map[string]netip.Addr {
	all := map[string]netip.Addr{LoopbackName.Name: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, name := range names() {
		all[name] = address
	}
	return all
}

// filter is the peers' own firewall.
func (t Tunnels) filter() fault.Rules {
	tunnel := "meta l4proto { udp, gre, esp }"
	return fault.Rules{Host: Name, Input: []string{
		fmt.Sprintf("tcp dport %d drop", Dropped.Port),
		fmt.Sprintf("tcp dport %d reject with icmp type admin-prohibited", Prohibited.Port),
		fmt.Sprintf("ip daddr %s %s drop", t.Silent, tunnel),
		fmt.Sprintf("ip daddr %s meta l4proto udp reject with icmp type port-unreachable", t.Rejected),
		fmt.Sprintf("ip daddr %s meta l4proto { gre, esp } reject with icmp type admin-prohibited", t.Rejected),
	}}
}

// serves wants a listener on every port, IKE's two included.
func serves(ctx context.Context, l *lab.Lab) error {
	out, err := l.Output(ctx, Name, "ss", "--no-header", "--listening", "--numeric", "--tcp", "--udp")
	if err != nil {
		return err
	}
	for _, port := range append(listening(), 500, 4500) {
		if !strings.Contains(out, ":"+strconv.Itoa(port)+" ") {
			return fmt.Errorf("nobody listens on %d: systemctl status nginx squid strongswan in the container tells why", port)
		}
	}
	return nil
}

// configuration is every file that is put into the container.
func configuration(l *lab.Lab) ([]containers.File, error) {
	ca, err := l.Authority()
	if err != nil {
		return nil, err
	}
	user, password, err := l.RegistryLogin()
	if err != nil {
		return nil, err
	}
	now := l.Now()
	files := []containers.File{
		{Path: "/etc/nginx/nginx.conf", Content: nginxConfig(now, user+":"+password)},
		{Path: folder + "/squid.conf", Content: squidConfig()},
		{Path: folder + "/nobody", Content: nil}, // of the proxy's accounts there is none
		{Path: folder + "/ca.pem", Content: ca.Certificate},
		{Path: folder + "/meta-release-lts", Content: vendorsim.MetaRelease()},
	}
	pairs, err := certificates(ca, now)
	if err != nil {
		return nil, err
	}
	for name, pair := range pairs {
		files = append(files,
			containers.File{Path: folder + "/" + name + ".pem", Content: pair.Certificate},
			containers.File{Path: folder + "/" + name + ".key", Content: pair.Key})
	}
	indexes, err := indexes(l, now)
	return append(files, indexes...), err
}

// certificates are by the lab's authority, each for every name that a check may want of
// it, so that only what it is called is wrong with it. A pair is valid from a day before
// the time it is issued at, for 390 days.
func certificates(ca pki.Pair, now time.Time) (map[string]pki.Pair, error) {
	const day = 24 * time.Hour
	all := append(names(), vendorsim.Names()...)
	made := map[string]pki.Pair{}
	var err error
	for name, want := range map[string]struct {
		issued time.Time
		names  []string
	}{
		"good":     {now, all},
		"expired":  {now.Add(-400 * day), all},
		"tomorrow": {now.Add(AheadBy + day - 4*time.Hour), all}, // valid from four hours before it is tomorrow there
		"other":    {now, []string{"www.example.com"}},
	} {
		if made[name], err = ca.Issue(want.issued, want.names, nil); err != nil {
			return nil, err
		}
	}
	// The authority of a proxy that reads along is the customer's own, and no host was told of it.
	if made["inspection"], err = pki.NewCA(now, InspectionIssuer); err != nil {
		return nil, err
	}
	made["inspected"], err = made["inspection"].Issue(now, all, nil)
	return made, err
}

// InspectionIssuer is whose certificates ProxyReads shows.
const InspectionIssuer = "Example Hospital Web Inspection"

// indexes are the InRelease files of the world's Ubuntu mirror, once signed by a stranger
// and once changed after they were signed.
func indexes(l *lab.Lab, now time.Time) ([]containers.File, error) {
	stranger, err := pki.NewPGPKey(now, "Somebody Else", "stranger@peers.example")
	if err != nil {
		return nil, err
	}
	dists := l.Path("world", "mirror", lab.VendorUbuntu, "dists")
	suites, err := os.ReadDir(dists)
	if err != nil {
		return nil, fmt.Errorf("reading the world's mirror: %w", err)
	}
	var files []containers.File
	for _, suite := range suites {
		release, err := os.ReadFile(filepath.Join(dists, suite.Name(), "Release"))
		if err != nil {
			return nil, fmt.Errorf("reading the world's mirror: %w", err)
		}
		signed, err := os.ReadFile(filepath.Join(dists, suite.Name(), "InRelease"))
		if err != nil {
			return nil, fmt.Errorf("reading the world's mirror: %w", err)
		}
		strange, err := stranger.ClearSign(now, release)
		if err != nil {
			return nil, err
		}
		tampered := bytes.Replace(signed, []byte("Description: practice site"), []byte("Description: practise site"), 1)
		if bytes.Equal(tampered, signed) {
			return nil, fmt.Errorf("tampering with %s: it is not as expected", suite.Name())
		}
		below := "/dists/" + suite.Name() + "/InRelease"
		files = append(files, containers.File{Path: "/srv/stranger" + below, Content: strange},
			containers.File{Path: "/srv/tampered" + below, Content: tampered})
	}
	return files, nil
}
