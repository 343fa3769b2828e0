package cases

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// bigSize is how large the site is.
type bigSize struct{ media, cameras, flows int }

// The vendor's largest site, and a smaller one for a sample. What is wanted of both is the
// same.
var (
	bigWhole  = bigSize{media: 8, cameras: 200, flows: 600}
	bigSample = bigSize{media: 3, cameras: 60, flows: 200}
)

const (
	probeDeadline = 3 * time.Second // of each question (contracts.md: network details)
	bigFactor     = 1.3             // of it, all flows together
	bigCameras    = "many-cameras"
	bigSite       = "big-check"
)

// bigCheck checks a large site, a tenth of whose flows are filtered, and wants it to take
// hardly longer than one question that is never answered.
func bigCheck(ctx context.Context, e *Env) (err error) {
	size := bigWhole
	if e.Sample {
		size = bigSample
	}
	b := &big{Env: e, size: size}
	defer func() { err = errors.Join(err, b.remove(context.WithoutCancel(ctx))) }()
	if err := e.Timed("bringing the site up", func() error { return b.raise(ctx) }); err != nil {
		return err
	}
	flows, err := b.flows(ctx)
	if err != nil {
		return err
	}
	filtered, err := b.filter(ctx, flows)
	if err != nil {
		return err
	}
	return atItsBest(func() error { return b.measure(ctx, len(flows), filtered) })
}

// big is the large site.
type big struct {
	*Env
	size    bigSize
	added   []lab.Host   // media hosts beside the lab's own
	cameras []netip.Addr // all in one container
	media   []string     // names, the lab's own first
}

// raise adds media hosts and cameras to the lab, and writes the site file.
func (b *big) raise(ctx context.Context) error {
	own, err := b.Lab.Hosts()
	if err != nil {
		return err
	}
	bare := []string{"app1"}
	for _, h := range own {
		if h.Standard() && h.HasRole(lab.RoleMedia) && len(b.media) < b.size.media {
			b.media = append(b.media, h.Name)
		}
	}
	bare = append(bare, b.media...)
	for n := len(b.media) + 1; n <= b.size.media; n++ {
		b.added = append(b.added, lab.Host{Name: fmt.Sprintf("big-media%d", n), Roles: []string{lab.RoleMedia}})
		b.media = append(b.media, b.added[len(b.added)-1].Name)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Lab.Reset(groupCtx, bare...) }) // they may be full of what was installed
	group.Go(func() (err error) { b.added, err = b.Lab.AddHosts(groupCtx, b.added...); return err })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := b.raiseCameras(ctx); err != nil {
		return err
	}
	return b.writeSite()
}

// raiseCameras starts one container that is all cameras, as a real one's RTSP and page on
// each of its addresses.
func (b *big) raiseCameras(ctx context.Context) error {
	image, err := b.Lab.CameraImage(ctx)
	if err != nil {
		return err
	}
	if b.cameras, err = b.Lab.Free(ctx, b.size.cameras); err != nil {
		return err
	}
	return b.Lab.StartPeer(ctx, lab.Peer{Name: bigCameras, Image: image, Addresses: b.cameras})
}

// writeSite derives the site file: the lab's hosts and the added ones, the cameras
// assigned in turn.
func (b *big) writeSite() error {
	entries := map[string][]any{}
	for _, h := range b.added {
		text, err := b.Lab.Fragment(h)
		if err != nil {
			return err
		}
		var entry []any
		if err := yaml.Unmarshal([]byte(text), &entry); err != nil {
			return fmt.Errorf("reading the entry of %s: %w", h.Name, err)
		}
		entries[h.Name] = entry
	}
	_, err := b.deriveSite(bigSite, func(site map[string]any) {
		onlyHosts(site, append([]string{"app1"}, b.media...)...)
		hosts, _ := site["hosts"].([]any)
		for _, h := range b.added {
			hosts = append(hosts, entries[h.Name]...)
		}
		site["hosts"] = hosts
		for i, name := range b.media {
			var mine []any
			for n := i; n < len(b.cameras); n += len(b.media) {
				mine = append(mine, b.cameras[n].String())
			}
			withHost(site, name, map[string]any{"cameras": mine})
		}
	})
	return err
}

// bigFlow is a flow as valtctl network -o csv lists it: its header is the contract's.
type bigFlow struct {
	id, source, sourceAddress, destination, destinationAddress, protocol, port string
}

// flows are all of the site's, of which there must be enough.
func (b *big) flows(ctx context.Context) ([]bigFlow, error) {
	result, err := b.Expect(ctx, 0, "network", "--site", bigSite+".yaml", "-o", "csv")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(result.Stdout)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading the flows: %w", err)
	}
	var flows []bigFlow
	for _, r := range rows[1:] {
		flows = append(flows, bigFlow{r[0], r[1], r[2], r[3], r[4], r[5], r[6]})
	}
	if len(flows) <= b.size.flows {
		return nil, fmt.Errorf("the site has %d flows, not over %d", len(flows), b.size.flows)
	}
	return flows, nil
}

// filter drops a tenth of all flows, drawn from those to cameras and between hosts: half
// of them where they start and half where they end. The vendor's names share an address
// here, so one of them cannot be dropped alone. It returns where each is dropped.
func (b *big) filter(ctx context.Context, flows []bigFlow) (map[string]string, error) {
	ours := append([]string{"app1"}, b.media...)
	toCamera := func(f bigFlow) bool { return strings.HasPrefix(f.id, "camera.") }
	candidates := slices.DeleteFunc(slices.Clone(flows), func(f bigFlow) bool {
		return !slices.Contains(ours, f.source) || !slices.Contains(ours, f.destination) && !toCamera(f)
	})
	b.Random.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	dropped, rules := map[string]string{}, map[string]*fault.Rules{}
	at := func(host string) *fault.Rules {
		if rules[host] == nil {
			rules[host] = &fault.Rules{Host: host}
		}
		return rules[host]
	}
	for i, f := range candidates[:len(flows)/10] {
		rule := fmt.Sprintf("ip saddr %s ip daddr %s tcp dport %s drop", f.sourceAddress, f.destinationAddress, f.port)
		switch {
		case i%2 == 0:
			r := at(f.source)
			r.Output, dropped[f.id] = append(r.Output, rule), "source"
		case toCamera(f):
			r := at(bigCameras)
			r.Input, dropped[f.id] = append(r.Input, rule), "way" // it left, and no agent of ours is on a camera to tell more
		default:
			r := at(f.destination)
			r.Input, dropped[f.id] = append(r.Input, rule), "destination"
		}
	}
	for _, r := range rules {
		if err := r.Begin(ctx, b.Lab); err != nil {
			return nil, err
		}
	}
	return dropped, nil
}

// measure checks the site and wants it to be done in time, and to be right.
func (b *big) measure(ctx context.Context, flows int, filtered map[string]string) error {
	r, result, err := b.check(ctx, "network", bigSite+".yaml")
	if err != nil {
		return err
	}
	most := time.Duration(bigFactor*float64(probeDeadline)) + r.Result.Connecting
	b.Measure("flows", "%d of %d hosts and %d cameras, %d dropped", flows, 1+len(b.media), len(b.cameras), len(filtered))
	b.Measure("check", "%.2f s, of which %.2f s connecting and %.2f s trying; at most %.2f s", result.Took.Seconds(),
		r.Result.Connecting.Seconds(), r.Result.Probing.Seconds(), most.Seconds())
	if err := b.judge(r, filtered); err != nil {
		return err
	}
	if r.Result.Connecting <= 0 || result.Took > most {
		return slow("it took %s, and may take %s", result.Took.Round(time.Millisecond), most.Round(time.Millisecond))
	}
	return nil
}

// judge wants what was dropped to be filtered, and nothing else that was tried.
func (b *big) judge(r report, filtered map[string]string) error {
	var wrong []error
	for _, a := range r.Result.Results {
		lost, dropped := filtered[a.ID]
		if (a.Verdict == "filtered") != dropped || dropped && a.Lost != lost {
			wrong = append(wrong, fmt.Errorf("%s: %s, lost at %q; dropped: %t, at %q: %s", a.ID, a.Verdict, a.Lost, dropped, lost, a.Cause))
		}
		if !dropped && a.Flow != nil && a.Flow.Basis == "vendor" && a.Status != "pass" {
			wrong = append(wrong, fmt.Errorf("%s: %s, %s: %s", a.ID, a.Status, a.Verdict, a.Cause))
		}
	}
	return errors.Join(wrong...)
}

// remove takes the cameras and the added hosts away. The lab's own hosts are made bare,
// which ends what filters them.
func (b *big) remove(ctx context.Context) error {
	errs := []error{b.Lab.RemovePeer(ctx, bigCameras)}
	for _, name := range append([]string{"app1"}, b.media...) {
		if h, err := b.Lab.Host(name); err == nil && h.Standard() {
			errs = append(errs, fault.Rules{Host: name}.End(ctx, b.Lab))
		}
	}
	var added []string
	for _, h := range b.added {
		if _, err := b.Lab.Host(h.Name); err == nil {
			added = append(added, h.Name)
		}
	}
	return errors.Join(append(errs, b.Lab.RemoveHosts(ctx, added...))...)
}
