package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// initFlags are the answers that flags give, in the order in which they are asked.
type initFlags struct {
	answers map[string]*string // by field
	names   map[string]string  // field to flag
	servers []string
	noLook  bool
}

func (a *app) initCommand() *cobra.Command {
	f := &initFlags{answers: map[string]*string{}, names: map[string]string{}}
	cmd := &cobra.Command{
		Use: "init", Short: "Lead from nothing to a site file, or change the one there is", Args: cobra.NoArgs,
		Long: `Lead from nothing to a site file, or change the one there is: ask for one thing after the other,
check every answer, look at every server that can be reached, and write the site file.

? explains a question, < goes back to the one before. Ctrl-C keeps the answers, and the next
valtctl init offers to go on with them. A file that is there is edited: what is not asked for,
comments included, stays as it is.

Every question has a flag. Without a terminal, or with --yes, nothing is asked: what is missing
is named with its flag, and the exit code is 2.`,
		Example: `  valtctl init
  valtctl init --yes --id st-marys --name valt.st-marys.example --certificate valt.pem --certificate-key valt.key \
    --registry-user st-marys --registry-password-file registry --clients 10.0.0.0/16 --ssh-user valt \
    --server "app1 address=10.0.4.10 fingerprint=SHA256:…" \
    --server "media1 address=10.0.4.21 fingerprint=SHA256:… recordings=/srv/valt key-file=keys/media1 cameras=10.0.9.11,10.0.9.20-10.0.9.39"
  valtctl init --yes --server "media2 address=10.0.4.22 fingerprint=SHA256:… recordings=/srv/valt key-file=keys/media2"`,
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) { return a.init(ctx, f) }),
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&a.flags.dryRun, "dry-run", false, "show the site file, and write nothing")
	cmd.Flags().BoolVarP(&a.flags.yes, "yes", "y", false, "do not ask: take the answers from flags and from the file")
	return cmd
}

func (f *initFlags) register(cmd *cobra.Command) {
	flag := func(name, field, usage string) {
		f.names[field] = "--" + name
		f.answers[field] = cmd.Flags().String(name, "", usage)
	}
	flag("layout", "+layout", "`single`, several or cloud")
	flag("id", "site", "the site's short `name`")
	flag("cloud", "cloud.app", "the `name` of VALT Cloud's application server")
	flag("name", "name", "the `name` that people type")
	flag("ssl", "ssl", "`true`: ports 443 and 444; false: ports 80 and 1935")
	flag("certificate", "tls.certificate", "`file` of the certificate with its chain: PEM, DER or PKCS#12")
	flag("certificate-key", "tls.key_file", "`file` of the certificate's key, where it is not in a PKCS#12 file")
	flag("certificate-password-file", "tls.password_file", "`file` with the password of the PKCS#12 file, or the key's passphrase")
	flag("source", "updates.source", "`online` or bundle")
	flag("registry-user", "registry.username", "the `user` at the vendor's image registry")
	flag("registry-password-file", "registry.password_file", "`file` with that user's password")
	flag("ssh-user", "ssh.user", "the `user` on the servers")
	flag("ssh-identity", "ssh.identity", "`file` of the SSH private key")
	flag("ssh-jump", "ssh.jump", "jump `hosts`, as user@host:port with commas")
	flag("sudo-password-file", "ssh.sudo_password_file", "`file` with the password that sudo asks for")
	flag("clients", "clients", "the `networks` that people watch from, with commas")
	flag("admins", "admins", "the `networks` of the administrators, with commas")
	flag("beam", "beam.devices", "where BEAM is licensed, the `networks` of the mobile devices")
	flag("proxy", "network.proxy", "the HTTP proxy's `URL`")
	flag("windows", "updates.windows", "weekly maintenance `windows`, such as \"Sun 02:00-05:00\", with commas")
	flag("timezone", "updates.timezone", "the time `zone` of the windows")
	cmd.Flags().StringArrayVar(&f.servers, "server", nil, "a `server`: its name and words such as address=10.0.4.21 (repeatable)")
	cmd.Flags().BoolVar(&f.noLook, "no-look", false, "judge the answers by their form alone: look at no file and at no server")
}

// given are the flags that were set.
func (f *initFlags) given(g *wizard.Guide) (wizard.Given, error) {
	given := wizard.Given{}
	for field, text := range f.answers {
		if *text != "" {
			given[field] = wizard.FromFlag{Flag: f.names[field], Text: *text}
		}
	}
	return given, g.Servers(f.servers, given)
}

// guided is the result of init.
type guided struct {
	File     string   `json:"file"`
	Site     string   `json:"site"`
	Written  bool     `json:"written"`
	Changed  bool     `json:"changed"`
	Hosts    int      `json:"hosts"`
	Cameras  int      `json:"cameras"`
	Commands []string `json:"commands"`

	text []byte // of the file
	next string // what the person chose to do with it
}

func (a *app) init(ctx context.Context, f *initFlags) (report, error) {
	if a.canAsk() && !a.flags.yes {
		return a.initAsking(ctx, f)
	}
	g, base, err := a.newGuide()
	if err != nil {
		return report{}, err
	}
	g.Keep()
	given, wrong := f.given(g)
	look := (&looker{a: a, g: g, facts: map[int]facts.Facts{}}).unasked(ctx)
	if f.noLook {
		look = func(wizard.Question, string) error { return nil }
	}
	if err := errors.Join(wrong, g.Fill(given, look)); err != nil {
		return report{}, err
	}
	done, s, err := a.finished(g, base)
	if err != nil {
		return report{}, err
	}
	if !a.flags.dryRun {
		if err := a.writeSite(done, base); err != nil {
			return report{}, err
		}
	}
	return text(done, func(w io.Writer) error { return a.writeGuided(w, done, s) }), nil
}

// canAsk says that a person sits at a terminal, on both of its ways.
func (a *app) canAsk() bool {
	return a.screen() != nil && a.terminal() != nil && a.flags.output != "json" && !a.flags.events
}

// newGuide starts from the site file, which need not be there.
func (a *app) newGuide() (*wizard.Guide, []byte, error) {
	base, err := site.ReadFile(a.flags.site)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &problem.Error{Kind: problem.Input, Doing: "reading the site file", Object: a.flags.site, Err: err, Fix: "name the site file with --site"}
	}
	g, err := wizard.New(base, wizard.Surroundings{File: a.flags.site, Home: a.home, Addresses: ownAddresses(), Root: os.Geteuid() == 0, Timezone: a.timezone()})
	if err != nil {
		return nil, nil, &problem.Error{Kind: problem.Input, Doing: "reading the site file", Object: a.flags.site, Err: err, Fix: "valtctl site validate names each mistake with its line"}
	}
	return g, base, nil
}

// timezone is this machine's, where it has a name.
func (a *app) timezone() string {
	if name := a.now().Location().String(); name != "Local" {
		return name
	}
	target, err := os.Readlink("/etc/localtime")
	if _, name, ok := strings.Cut(target, "/zoneinfo/"); ok && err == nil {
		return name
	}
	return ""
}

// finished is the site that the answers make.
func (a *app) finished(g *wizard.Guide, base []byte) (*guided, *site.Site, error) {
	made, err := g.Text()
	if err != nil {
		return nil, nil, &problem.Error{Kind: problem.Input, Doing: "changing the site file", Object: a.flags.site, Err: err, Fix: "change it by hand; valtctl site schema lists its keys"}
	}
	s, err := g.Site()
	if err != nil {
		return nil, nil, err
	}
	done := &guided{File: a.flags.site, Site: s.ID, Hosts: len(s.Hosts), Changed: !bytes.Equal(made, base), text: made, Commands: a.commandsFor()}
	for _, h := range s.Hosts {
		done.Cameras += len(h.Cameras)
	}
	return done, s, nil
}

// commandsFor are what a person runs with the file.
func (a *app) commandsFor() []string {
	with := ""
	if a.flags.site != "site.yaml" {
		with = " --site " + a.flags.site
	}
	return []string{"valtctl network" + with + " --request >firewall-request.html", "valtctl check" + with, "valtctl install" + with}
}

// writeGuided is the site for people: the firewall request, the file's text in a dry run,
// table, picture and commands.
func (a *app) writeGuided(w io.Writer, done *guided, s *site.Site) error {
	p := &printer{w: w}
	p.printf("\nThe firewall request:\n\n")
	if p.err != nil {
		return p.err
	}
	if err := writeRequest(w, network.Request(s, network.Flows(s), nil)); err != nil {
		return err
	}
	if a.flags.dryRun {
		shown, _, err := textfile.Decode(done.text)
		if err != nil {
			return fmt.Errorf("showing the site file: %w", err)
		}
		p.printf("\nThe site file would be:\n\n%s", block(shown))
	}
	p.printf("\nThe site %s:\n\n%s\n%s\nThe commands:\n\n", s.ID, block(wizard.Table(s)), block(wizard.Picture(s)))
	for _, c := range done.Commands {
		p.printf("  %s\n", c)
	}
	switch {
	case done.Written:
		p.printf("\n%s is written\n", done.File)
	case !done.Changed:
		p.printf("\n%s says so already\n", done.File)
	}
	return p.err
}

// writeOver writes the site file anew with its mode, and where it is a link what that leads to,
// unless it is not what it was any more. anew says that it may be gone.
func (a *app) writeOver(was, text []byte, anew bool) error {
	path, mode := a.flags.site, fs.FileMode(0o644)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	now, err := os.ReadFile(path)
	switch {
	case err == nil && !bytes.Equal(now, was):
		return errors.New("somebody else has changed it meanwhile")
	case err != nil && !(anew && errors.Is(err, fs.ErrNotExist)):
		return err
	}
	return durable.WriteFile(path, text, mode)
}

// writeSite writes the file, unless it has become another one meanwhile.
func (a *app) writeSite(done *guided, base []byte) error {
	if !done.Changed {
		return nil
	}
	err := a.writeOver(base, done.text, true)
	if err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "writing the site file", Object: a.flags.site, Err: err,
			Fix: fmt.Sprintf("see that %s may be written, and run valtctl init again", filepath.Dir(a.flags.site))}
	}
	done.Written = true
	return nil
}
