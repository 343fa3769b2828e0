package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/bundler"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

func (a *app) bundleCommand() *cobra.Command {
	return group("bundle", "Make and check the one file that sites without internet install from",
		a.bundleCreateCommand(), a.bundleInspectCommand(), a.bundleVerifyCommand(), a.bundleSplitCommand())
}

// bundling are the flags of bundle create.
type bundling struct {
	release, out, keyring, agent, on string
	have, ubuntu                     []string
}

func (a *app) bundleCreateCommand() *cobra.Command {
	var f bundling
	cmd := &cobra.Command{
		Use: "create", Short: "Write a release, and all that installing it takes, into one file", Args: cobra.NoArgs,
		Long: `Write a release, and all that installing it takes, into one file: images, packages with what they
depend on, lists of packages with their publishers' signatures, the signed release metadata, and
this program as servers run it. The file is an OCI image layout that skopeo reads, signed with the site's SSH key
(ssh.identity), or by an ssh-agent that holds it; ssh-keygen checks it.

With --have, the facts of servers, packages are solved for what those servers have, and image
layers that they have are left out: only what is missing is carried. Without it the bundle is for
bare servers of each Ubuntu named, and much larger.

A run that is cut off goes on where it was.`,
		Example: "  valtctl facts --full -o json >facts.json\n  valtctl bundle create --release 6.4.2 --have facts.json -o site.bundle\n" +
			"  valtctl bundle create --ubuntu noble --keyring ubuntu-archive-keyring.gpg -o site.bundle",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) { return a.bundleCreate(ctx, f) }),
	}
	cmd.Flags().StringVar(&f.release, "release", "", "the release's version; without it what the site file asks for")
	cmd.Flags().StringSliceVar(&f.have, "have", nil, "facts of servers, a `file` of: valtctl facts --full -o json (repeatable)")
	cmd.Flags().StringSliceVar(&f.ubuntu, "ubuntu", []string{"jammy", "noble"}, "without --have: the `codename` of an Ubuntu that servers have (repeatable)")
	cmd.Flags().StringVar(&f.keyring, "keyring", "", "keyring `file` of Ubuntu's archive, where neither the facts nor this machine have it")
	cmd.Flags().StringVar(&f.on, "on", "", "the `host` of the site whose apt says what is needed, where this machine has none")
	cmd.Flags().StringVar(&f.agent, "agent", "", "`file` of this version of valtctl for Linux on amd64, where this machine's own is another")
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "the `file` to write") // in place of the form of the result
	return cmd
}

func (a *app) bundleCreate(ctx context.Context, f bundling) (report, error) {
	if f.out == "" {
		return report{}, usage(errors.New("no file is named"), "name the bundle to write: -o FILE")
	}
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	o, err := a.packOptions(s, f)
	if err != nil {
		return report{}, err
	}
	key, done, err := a.signingKey(ctx, s)
	if err != nil {
		return report{}, err
	}
	defer done()
	obs := a.observe()
	defer obs.end()
	if f.on != "" {
		ask, end, err := a.askOn(ctx, s, f.on, obs)
		if err != nil {
			return report{}, err
		}
		defer end()
		o.Ask = ask
	}
	o.Note = func(text string) { obs.Observe(event.Event{Kind: event.Note, Text: text}) }
	packed, err := bundler.Pack(ctx, o)
	if err != nil {
		return report{}, err
	}
	if err := enoughSpace(f.out, packed.Contents, key); err != nil {
		return report{}, err
	}
	resumed, err := bundle.Create(ctx, f.out, packed.Contents, key, packed.Source, transferred(obs, "writing "+filepath.Base(f.out)))
	if err != nil {
		return report{}, err
	}
	made := written{File: f.out, Release: packed.Contents.Release, Blobs: len(packed.Contents.Blobs), Bytes: packed.Contents.Size(), Resumed: resumed, Left: len(packed.Contents.Left)}
	return text(made, func(w io.Writer) error { return writeMade(w, made) }), nil
}

// askOn connects to the host whose apt is asked. Nothing is left there.
func (a *app) askOn(ctx context.Context, s *site.Site, name string, obs event.Observer) (apt.Asker, func() error, error) {
	h, ok := s.Host(name)
	if !ok {
		return nil, nil, &problem.Error{Kind: problem.Input, Doing: "choosing whose apt to ask", Object: name, Err: errors.New("the site has no such host"),
			Fix: "valtctl site show lists its hosts"}
	}
	dial, err := a.connect(s, nothingStays)
	if err != nil {
		return nil, nil, err
	}
	host := fleet.New(fleet.Options{Site: s, Dial: dial, Observer: obs}, []site.Host{h}).Hosts[0]
	if err := host.Connect(ctx); err != nil {
		return nil, nil, err
	}
	return host.Solve, host.Close, nil
}

// written is the result of bundle create.
type written struct {
	File    string `json:"file"`
	Release string `json:"release"`
	Blobs   int    `json:"blobs"`
	Bytes   int64  `json:"bytes"`
	Resumed int64  `json:"resumed,omitempty"` // bytes that an earlier run had written
	Left    int    `json:"left,omitempty"`    // blobs that the servers have
}

func writeMade(w io.Writer, m written) error {
	p := &printer{w: w}
	p.printf("%s: release %s, %s in %s", m.File, m.Release, count(m.Blobs, "blob"), units.HumanSize(float64(m.Bytes)))
	if m.Resumed > 0 {
		p.printf(", %s of it from an earlier run", units.HumanSize(float64(m.Resumed)))
	}
	if m.Left > 0 {
		p.printf("; %s left out, since the servers have them", count(m.Left, "blob"))
	}
	p.printf("\n")
	return p.err
}

// transferred tells how many bytes are done, at each tenth of them.
func transferred(obs event.Observer, what string) func(done, total int64) {
	var told atomic.Int64
	return func(done, total int64) {
		if tenth := done * 10 / max(1, total); told.Load() < tenth && told.Swap(tenth) < tenth {
			obs.Observe(event.Event{Kind: event.Note, Text: fmt.Sprintf("%s: %s of %s", what, units.HumanSize(float64(done)), units.HumanSize(float64(total)))})
		}
	}
}

func (a *app) packOptions(s *site.Site, f bundling) (bundler.Options, error) {
	o := bundler.Options{Site: s, Version: f.release, Ubuntu: f.ubuntu, Agent: f.agent, Maker: who(), Now: a.now}
	var err error
	if o.Agent == "" {
		if o.Agent, err = os.Executable(); err != nil {
			return o, fmt.Errorf("finding this program: %w", err)
		}
	}
	if o.HTTP, o.Password, err = inputs.Outward(s); err != nil {
		return o, err
	}
	if f.keyring != "" {
		if o.Keyring, err = os.ReadFile(f.keyring); err != nil {
			return o, &problem.Error{Kind: problem.Input, Doing: "reading", Object: f.keyring, Err: err, Fix: "name Ubuntu's archive keyring"}
		}
	}
	for _, name := range f.have {
		have, err := readFacts(name)
		if err != nil {
			return o, &problem.Error{Kind: problem.Input, Doing: "reading the facts", Object: name, Err: err, Fix: "gather them with: valtctl facts --full -o json"}
		}
		o.Have = append(o.Have, have...)
	}
	return o, nil
}

// maxFacts caps a file of facts, in bytes.
const maxFacts = 256 << 20

// readFacts reads what valtctl facts -o json wrote; PowerShell's > writes it in UTF-16.
func readFacts(name string) ([]facts.Facts, error) {
	content, err := textfile.Read(name, maxFacts)
	if err != nil {
		return nil, err
	}
	var in struct {
		Schema string      `json:"schema"`
		Kind   string      `json:"kind"`
		Result []hostFacts `json:"result"`
	}
	if err := json.Unmarshal(content, &in); err != nil {
		return nil, err
	}
	if in.Kind != "facts" || len(in.Result) == 0 {
		return nil, fmt.Errorf("it is a %q of %d hosts and not facts", in.Kind, len(in.Result))
	}
	var all []facts.Facts
	for _, h := range in.Result {
		all = append(all, h.Facts)
	}
	return all, nil
}

func identityOf(s *site.Site) string {
	for _, h := range s.Hosts {
		return h.SSH.Identity
	}
	return ""
}

// enoughSpace says before the first byte that a disk is too small.
func enoughSpace(name string, c *bundle.Contents, key ssh.Signer) error {
	whole, missing, err := bundle.Need(name, c, key)
	if err != nil {
		return err
	}
	free, err := bundle.Free(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("looking at the space for %s: %w", name, err)
	}
	if missing <= free {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: "writing", Object: name,
		Err: fmt.Errorf("it will have %s, and %s are free for the %s that are still to come", units.HumanSize(float64(whole)), units.HumanSize(float64(free)), units.HumanSize(float64(missing))),
		Fix: "make room, or name a file on another disk: -o FILE"}
}
