package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// reading are the flags of what reads a bundle.
type reading struct{ signers string }

func (r *reading) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.signers, "signers", "", "`file` of public keys whose bundles are trusted (ssh-keygen's allowed signers); without it the site's own key")
}

// openBundle opens files of a bundle with the keys that are trusted here.
func (a *app) openBundle(names []string, r reading) (*bundle.Reader, error) {
	keys, err := a.trusted(r)
	if err != nil {
		return nil, err
	}
	return bundle.Open(names, keys)
}

// trusted are the keys whose bundles are read.
func (a *app) trusted(r reading) ([]ssh.PublicKey, error) {
	if r.signers != "" {
		text, err := textfile.Read(r.signers, maxAnswerFile)
		if err != nil {
			return nil, &problem.Error{Kind: problem.Input, Doing: "reading the signers", Object: r.signers, Err: err, Fix: "name a file of public keys"}
		}
		keys, err := bundle.ReadSigners(text)
		if err != nil {
			return nil, &problem.Error{Kind: problem.Input, Doing: "reading the signers", Object: r.signers, Err: err, Fix: "write one public key a line, as ssh-keygen's allowed signers"}
		}
		return keys, nil
	}
	s, err := a.loadSite()
	if err != nil {
		return nil, fmt.Errorf("choosing whose bundles are trusted: %w", err)
	}
	key, err := publicKey(s)
	if err != nil {
		return nil, err
	}
	return []ssh.PublicKey{key}, nil
}

func (a *app) bundleInspectCommand() *cobra.Command {
	var r reading
	cmd := &cobra.Command{
		Use: "inspect FILE...", Short: "Say what a bundle holds, what it updates from, and what of it expires when", Args: cobra.MinimumNArgs(1),
		Example: "  valtctl bundle inspect site.bundle\n  valtctl bundle inspect /media/a/site.bundle.1of2 /media/b/site.bundle.2of2 -o json",
		RunE: a.action([]string{"text", "json"}, func(_ context.Context, args []string) (report, error) {
			b, err := a.openBundle(args, r)
			if err != nil {
				return report{}, err
			}
			defer b.Close()
			return text(b.Contents, func(w io.Writer) error { return a.writeContents(w, b) }), nil
		}),
	}
	r.flags(cmd)
	return cmd
}

func (a *app) writeContents(w io.Writer, b *bundle.Reader) error {
	c, p := b.Contents, &printer{w: w}
	p.printf("release %s", c.Release)
	if len(c.Also) > 0 {
		p.printf(", and on the way to it %s", strings.Join(c.Also, ", "))
	}
	p.printf("; updates from %s\n", orDash(c.From))
	p.printf("made %s, %s ago, by %s for site %s, signed by %s\n", c.Made.UTC().Format(time.DateTime), units.HumanDuration(a.now().Sub(c.Made)), c.Maker, orDash(c.Site), ssh.FingerprintSHA256(b.Signer))
	here, of := b.Parts()
	p.printf("%s in %s, %d of %s; for Ubuntu %s\n", count(len(c.Blobs), "blob"), units.HumanSize(float64(c.Size())), here, count(of, "file"), strings.Join(c.Ubuntu, ", "))
	if len(c.Left) > 0 {
		p.printf("%s left out: the servers that it was made for have them\n", count(len(c.Left), "blob"))
	}
	for _, i := range c.Images {
		p.printf("image    %s %s %s\n", i.Repository, i.Release, i.Manifest)
	}
	debs := 0
	for _, f := range c.Files {
		if strings.HasSuffix(f.Path, ".deb") {
			debs++
		}
	}
	p.printf("packages %d, other files %d\n", debs, len(c.Files)-debs)
	for _, e := range c.Expires {
		p.printf("expires  %s: %s (a bundle stays of use after it)\n", e.At.UTC().Format(time.DateOnly), e.What)
	}
	return p.err
}

func (a *app) bundleVerifyCommand() *cobra.Command {
	var r reading
	cmd := &cobra.Command{
		Use: "verify FILE...", Short: "Verify every byte of a bundle, or of some of its parts", Args: cobra.MinimumNArgs(1),
		Long: `Verify a bundle: its signature, its form, and every blob by its digest. Parts can be verified alone,
before they are carried. It needs no server. Exit code 6 where anything is not as it was signed,
naming the file and the blob.`,
		Example: "  valtctl bundle verify site.bundle\n  valtctl bundle verify --signers maker.pub /media/stick/site.bundle.1of3",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, args []string) (report, error) {
			b, err := a.openBundle(args, r)
			if err != nil {
				return report{}, err
			}
			defer b.Close()
			obs := a.observe()
			defer obs.end()
			if err := b.Verify(ctx, transferred(obs, "verifying")); err != nil {
				return report{}, err
			}
			here, of := b.Parts()
			good := verified{Files: here, Of: of, Bytes: b.Length(), Signer: ssh.FingerprintSHA256(b.Signer)}
			return text(good, func(w io.Writer) error {
				return line(w, fmt.Sprintf("%d of %s, %s: as it was signed by %s", here, count(of, "file"), units.HumanSize(float64(good.Bytes)), good.Signer))
			}), nil
		}),
	}
	r.flags(cmd)
	return cmd
}

// verified is the result of bundle verify.
type verified struct {
	Files  int    `json:"files"`
	Of     int    `json:"of"`
	Bytes  int64  `json:"bytes"`
	Signer string `json:"signer"`
}

func line(w io.Writer, text string) error {
	p := &printer{w: w}
	p.printf("%s\n", text)
	return p.err
}

func lines(w io.Writer, all []string) error {
	p := &printer{w: w}
	for _, one := range all {
		p.printf("%s\n", one)
	}
	return p.err
}

func (a *app) bundleSplitCommand() *cobra.Command {
	var r reading
	var size string
	cmd := &cobra.Command{
		Use: "split FILE", Short: "Cut a bundle into parts, for media that are too small for it", Args: cobra.ExactArgs(1),
		Long: `Cut a bundle into parts named FILE.1of3 and so on. They are read as they are, from as many media as
they lie on; nothing has to be put together again. A stick with FAT32 holds files of 4 GiB at most.`,
		Example: "  valtctl bundle split site.bundle --size 4GiB",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, args []string) (report, error) {
			bytes, err := units.RAMInBytes(size)
			if err != nil || bytes < 1<<20 {
				return report{}, usage(fmt.Errorf("--size %s is no size of a part", size), "write it as 4GiB or 700MiB")
			}
			if size == fat32 {
				bytes-- // a file there has one byte less
			}
			b, err := a.openBundle(args, r)
			if err != nil {
				return report{}, err
			}
			defer b.Close()
			names, err := b.Split(ctx, args[0], bytes)
			return text(names, func(w io.Writer) error { return lines(w, names) }), err
		}),
	}
	cmd.Flags().StringVar(&size, "size", fat32, "the most that a part may have")
	r.flags(cmd)
	return cmd
}

// fat32 is the size of the largest file on such a stick, but for a byte.
const fat32 = "4GiB"

// carrier opens the bundle of a run and verifies all of it; nil without one.
func (a *app) carrier(ctx context.Context, s *site.Site, obs event.Observer) (*fleet.Carrier, error) {
	if a.flags.limit < 1 && a.flags.limit != 0 {
		return nil, usage(fmt.Errorf("--limit %d is no number of servers", a.flags.limit), "give a number from 1 on")
	}
	if len(a.flags.bundle) == 0 {
		return nil, nil
	}
	if a.bundle != nil { // resume looks at two kinds of runs
		return fleet.NewCarrier(a.bundle), nil
	}
	b, err := a.openBundle(a.flags.bundle, reading{a.flags.signers})
	if err != nil {
		return nil, err
	}
	err = b.Missing()
	if err == nil {
		err = b.Verify(ctx, transferred(obs, "verifying the bundle"))
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	a.bundle = b
	return fleet.NewCarrier(b), nil
}

// carriedFlags adds the flags of commands that have servers fetch, from a bundle or not.
func (a *app) carriedFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringSliceVar(&a.flags.bundle, "bundle", nil, "take everything from this `file`, or from these parts of one (repeatable)")
	cmd.Flags().StringVar(&a.flags.signers, "signers", "", "`file` of public keys whose bundles are trusted; without it the site's own key")
	cmd.Flags().IntVar(&a.flags.limit, "limit", fleet.DefaultLimit, "how many servers fetch at a time")
	return cmd
}
