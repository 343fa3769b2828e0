package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/updater"
)

// supporting are the flags of support-bundle.
type supporting struct {
	out              []string // -o: the form of the result, or the file
	hide             bool
	perFile, perHost string
}

func (a *app) supportBundleCommand() *cobra.Command {
	var f supporting
	cmd := &cobra.Command{
		Use: "support-bundle", Short: "Put what support asks for into one archive, without secrets", Args: cobra.NoArgs,
		Long: `Put what support asks for into one archive: the journals of every server's transactions, the records
and reports of this controller, the logs of valtctl, Docker and our containers, what the containers
are, what each server has, and the site file. MANIFEST.json in it lists every file, where it is
from, and how much was taken out of it. Nothing on a server is changed, and nothing is sent.

Passwords, keys and logins are taken out on the server before they leave it, and once more here:
those that are known, in every form in which programs write them, and what looks like one. Look it
through before you send it; a secret that nobody knows of and that looks like a word stays.

With --hide-addresses, addresses, names of servers, and fingerprints have stand-ins, the same one
throughout: host-1, addr-1. What they stand for is told here (all of it with -o json) and is not in
the archive.

A server out of reach is named in the list; the archive is written, with exit code 1.`,
		Example: "  valtctl support-bundle\n  valtctl support-bundle --hide-addresses -o for-support.tar.zst --host media1",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := a.outputs(f.out)
		if err != nil {
			return err
		}
		return a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.supportBundle(ctx, f, file)
		})(cmd, args)
	}
	cmd.Flags().StringArrayVarP(&f.out, "output", "o", nil, "the `file` to write, .tar.gz or .tar.zst; text or json: the form of the result (repeatable)")
	cmd.Flags().BoolVar(&f.hide, "hide-addresses", false, "put stand-ins in the place of addresses, names of servers and fingerprints")
	cmd.Flags().StringVar(&f.perFile, "per-file", "4MiB", "the most of each file, its newest lines")
	cmd.Flags().StringVar(&f.perHost, "per-host", "48MiB", "the most of each server, the newest transactions")
	return cmd
}

// outputs tells the form of the result from the file to write.
func (a *app) outputs(given []string) (file string, err error) {
	for _, o := range given {
		switch {
		case o == "text" || o == "json":
			a.flags.output = o
		case file != "":
			return "", usage(fmt.Errorf("two files are named: %s and %s", file, o), "name one archive to write")
		default:
			file = o
		}
	}
	if file == "" {
		return "", nil
	}
	return file, support.CheckName(file)
}

func (a *app) supportBundle(ctx context.Context, f supporting, file string) (report, error) {
	request, err := f.request()
	if err != nil {
		return report{}, err
	}
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	obs := a.observe()
	defer obs.end()
	o, err := a.runOptions(s, obs)
	if err != nil {
		return report{}, err
	}
	if o.Dial, err = a.connect(s, nothingStays); err != nil {
		return report{}, err
	}
	made := a.now().UTC().Truncate(time.Second)
	if file == "" {
		file = "valtctl-support-" + s.ID + "-" + made.Format(time.DateOnly) + ".tar.gz"
	}
	archive, err := support.NewArchive(redact.New(inputs.Secrets(s)), request.PerHost)
	if err != nil {
		return report{}, err
	}
	written, err := a.gather(ctx, o, request, archive, file, made, f.hide)
	err = errors.Join(err, archive.Close())
	if written == nil {
		return report{}, err
	}
	return text(written, func(w io.Writer) error { return writeArchive(w, written) }), err
}

func (f supporting) request() (support.Request, error) {
	var r support.Request
	var errs []error
	for _, size := range []struct {
		flag, text string
		into       *int64
	}{{"--per-file", f.perFile, &r.PerFile}, {"--per-host", f.perHost, &r.PerHost}} {
		n, err := units.RAMInBytes(size.text)
		if err != nil || n < 64<<10 || n > 1<<30 {
			errs = append(errs, usage(fmt.Errorf("%s %s is no such size", size.flag, size.text), "write it as 4MiB; at least 64KiB, at most 1GiB"))
		}
		*size.into = n
	}
	return r, errors.Join(errs...)
}

// gather asks the hosts, and writes the archive whatever they say. Written is nil where
// nothing was.
func (a *app) gather(ctx context.Context, o fleet.Options, r support.Request, archive *support.Archive, file string, made time.Time, hide bool) (*support.Written, error) {
	found, unreached := status.Support(ctx, o, r, archive)
	if found == nil {
		return nil, unreached
	}
	status, unread := updater.StatusOf(o.Site.ID, found, a.now())
	if err := a.addOwn(o, r, archive, status, errors.Join(unreached, unread)); err != nil {
		return nil, errors.Join(unreached, err)
	}
	m := support.Manifest{Site: o.Site.ID, Made: made, By: o.Who, Version: readBuild(), PerFile: r.PerFile, PerHost: r.PerHost}
	written, err := archive.Write(file, m, hiderOf(o.Site, status, hide))
	if err != nil {
		return nil, errors.Join(unreached, err)
	}
	return written, unreached
}

// hiderOf knows the site's names, and what the hosts call themselves. Nil: nothing is hidden.
func hiderOf(s *site.Site, st *updater.SiteStatus, hide bool) *redact.Hider {
	if !hide {
		return nil
	}
	var names []string
	for _, h := range st.Hosts {
		names = append(names, h.Facts.Hostname)
	}
	return status.Hide(s, names...)
}

// addOwn adds what this controller has.
func (a *app) addOwn(o fleet.Options, r support.Request, archive *support.Archive, st *updater.SiteStatus, unasked error) error {
	err := archive.Add("version.json", r.PerFile, support.JSON(readBuild()))
	if err == nil {
		err = archive.Add("site.yaml", r.PerFile, contentOf(o.Site.File()))
	}
	if err == nil {
		err = archive.Add("status.json", r.PerFile, support.JSON(envelope{Schema: "valtctl/v1", Kind: "status", Result: statusOf(st), Errors: problemsOf(unasked)}))
	}
	if err != nil {
		return err
	}
	left := r.PerHost
	for _, file := range recordsOf(o.StateDir) {
		info, err := os.Stat(file)
		if err != nil || left < info.Size() {
			continue // it has gone since, or older ones do not fit
		}
		left -= info.Size()
		name, err := filepath.Rel(o.StateDir, file)
		if err != nil {
			return fmt.Errorf("naming %s: %w", file, err)
		}
		if err := archive.Add("state/"+filepath.ToSlash(name), r.PerFile, contentOf(file)); err != nil {
			return err
		}
	}
	return addReports(o, r, archive)
}

// mostReports is how many rollouts' reports are in an archive, the newest.
const mostReports = 20

func addReports(o fleet.Options, r support.Request, archive *support.Archive) error {
	runs, err := updater.Runs(o.StateDir)
	if err != nil {
		return err
	}
	for _, run := range runs[:min(len(runs), mostReports)] {
		err := archive.Add("reports/"+run+".json", r.PerFile, func(w io.Writer) error {
			made, err := updater.ReadReport(o.StateDir, run)
			if made == nil {
				return err
			}
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return errors.Join(err, e.Encode(made))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// recordsOf lists the records in the controller's folder of a site, the newest first: their
// names begin with their time.
func recordsOf(dir string) []string {
	var files []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not in the archive
		}
		if d.Type().IsRegular() && slices.Contains([]string{".json", ".jsonl", ".log"}, filepath.Ext(path)) {
			files = append(files, path)
		}
		return nil
	})
	slices.Sort(files)
	slices.Reverse(files)
	return files
}

func contentOf(file string) func(io.Writer) error {
	return func(w io.Writer) error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}
}

func writeArchive(w io.Writer, a *support.Written) error {
	p := &printer{w: w}
	m := a.Manifest
	p.printf("%s: %s in %s, for you alone to read\n", a.File, count(len(m.Files), "file"), sizeText(a.Bytes))
	if len(m.Removed) > 0 {
		p.printf("taken out: %s\n", m.Removed)
	}
	for _, h := range m.Hosts {
		if !h.Reached {
			p.printf("not in it: host %s, which could not be asked\n", h.Host)
		}
	}
	if n := len(m.LeftOut); n > 0 {
		p.printf("left out: %s; %s says which and why\n", count(n, "file"), support.ManifestName)
	}
	for _, stand := range slices.Sorted(maps.Keys(a.Legend)) {
		if strings.HasPrefix(stand, "host-") {
			p.printf("%s is %s\n", stand, a.Legend[stand])
		}
	}
	p.printf("look it through before you send it; %s lists what is in it\n", support.ManifestName)
	return p.err
}
