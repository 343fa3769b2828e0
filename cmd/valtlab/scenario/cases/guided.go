package cases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/installer/site"
)

// installWithin is how long an installation may take in the lab.
const installWithin = 15 * time.Minute

// unaskedKeys is what a practice site needs and no question is about: the lab's own release
// repository, time server and authority.
const unaskedKeys = `# The practice site's own servers stand in for the vendor's.
release: { channel: stable, url: "%s", root: ../root.json }
network:
  ntp: [%s] # the world's
  trust: [../ca.crt]
`

// guided goes from nothing to a serving site at a terminal: every question is answered as a
// person would, every server's key compared, and the conversation ends in an installation.
func guided(ctx context.Context, e *Env) error {
	if err := e.bareSite(ctx); err != nil {
		return err
	}
	own, folder, err := e.guidedFolder("guided", "")
	if err != nil {
		return err
	}
	fresh := *e
	fresh.State = filepath.Join(folder, "state") // no host key is known to it
	if err := fresh.Timed("questions, check and installation", func() error { return fresh.converseToSite(ctx, own, folder) }); err != nil {
		return err
	}
	if e.Sample {
		return fresh.wouldInstall(ctx, folder)
	}
	if err := e.serves(ctx); err != nil {
		return err
	}
	out, err := fresh.Expect(ctx, 0, "install", "--yes", "--site", filepath.Join(folder, "site.yaml"))
	if err == nil && !strings.Contains(out.Stdout, "nothing to change") {
		err = fmt.Errorf("a second installation says %q", out.Stdout)
	}
	if err != nil {
		return err
	}
	return e.Timed("one server by itself, by flags", func() error { return guidedSingle(ctx, e) })
}

// wouldInstall is a sample's end: the file that came of it is one that can be installed.
func (e *Env) wouldInstall(ctx context.Context, folder string) error {
	out, err := e.Expect(ctx, 0, "install", "--dry-run", "--site", filepath.Join(folder, "site.yaml"))
	if err == nil && !strings.Contains(out.Stdout, "would change") {
		err = fmt.Errorf("a dry run says %q", out.Stdout)
	}
	return err
}

// guidedFolder is an empty folder beside the lab's files, with what no question is about and
// more, and the lab's own site to take answers from.
func (e *Env) guidedFolder(name, more string) (*site.Site, string, error) {
	folder := e.Lab.Path(name)
	own, err := site.Load(e.Lab.Path("site.yaml"), "")
	if err != nil {
		return nil, "", err
	}
	text := fmt.Sprintf(unaskedKeys, own.Release.URL, e.Lab.World()) + more
	err = errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "site.yaml"), []byte(text), 0o644))
	return own, folder, err
}

// converseToSite answers every question about the lab's own hosts. At one of them, which the
// seed chooses, the person presses Ctrl-C, and goes on later.
func (e *Env) converseToSite(ctx context.Context, own *site.Site, folder string) error {
	turns := siteTurns(own)
	stop := 2 + e.Random.IntN(len(turns)-2)
	e.Measure("Ctrl-C at", "%q", turns[stop].words)
	if err := e.atOnce(ctx, folder, func(t *atTerminal) error {
		if err := t.converse(turns[:stop]); err != nil {
			return err
		}
		if err := t.interrupt(turns[stop].words); err != nil {
			return err
		}
		return t.end(time.Minute, 130)
	}); err != nil {
		return fmt.Errorf("until Ctrl-C: %w", err)
	}
	return e.atOnce(ctx, folder, func(t *atTerminal) error {
		last := []turn{{words: "write site.yaml"}, {words: "Check the site now"}, {words: "Install now"}, {words: "Go on? [y/N]", text: "y"}}
		if e.Sample {
			last = []turn{{words: "write site.yaml"}, {words: "Check the site now", downs: 1}, {words: "Install now", downs: 1}}
		}
		if err := t.converse(slices.Concat([]turn{{words: "go on with them"}}, turns[stop:], last)); err != nil {
			return err
		}
		return t.end(installWithin, 0)
	})
}

// atOnce runs valtctl init at a terminal for as long as do takes.
func (e *Env) atOnce(ctx context.Context, folder string, do func(*atTerminal) error) error {
	t, err := e.atTerminal(ctx, folder, "init")
	if err != nil {
		return err
	}
	return errors.Join(do(t), t.close())
}

// siteTurns are all questions, with the answers that make the lab's own site.
func siteTurns(own *site.Site) []turn {
	turns := []turn{
		{words: "media servers for VALT Cloud"}, {words: "Short name", text: own.ID}, {words: "people type", text: own.Name}, {words: "yes: ports 443"},
		{words: "File of the certificate:", text: "../site.pem"}, {words: "certificate's key:", text: "../site.key"}, {words: "over the internet"},
		{words: "registry:", text: lab.RegistryUser}, {words: "user's password:", text: "../registry_password"},
	}
	for i, h := range own.Hosts {
		turns = append(turns, serverTurns(h, i == 0)...)
		if h.Has(site.Media) {
			more := turn{words: "no, that is all"}
			if i < len(own.Hosts)-1 {
				more.ups = 1
			}
			turns = append(turns, more)
		}
	}
	return append(turns, turn{words: "watch from:", text: site.NetworkText(own.Clients[0])}, turn{words: "administrators:"}, turn{words: "BEAM"},
		turn{words: "proxy"}, turn{words: "maintenance windows"})
}

// serverTurns are the questions about one server. Its key is compared and accepted; its disk
// is one of those that it has.
func serverTurns(h site.Host, first bool) []turn {
	turns := []turn{{words: "Name of server", text: h.Name}, {words: "Address of " + h.Name, text: string(h.Address)}}
	if first {
		turns = append(turns, turn{words: "SSH user", text: h.SSH.User}, turn{words: "private key:", text: "../id_ed25519"}, turn{words: "Jump hosts"}, turn{words: "sudo password"})
	}
	turns = append(turns, turn{words: "yes, remember it", downs: 1})
	if !h.Has(site.Media) {
		return append(turns, turn{words: "What it does"})
	}
	var cameras []string
	for _, c := range h.Cameras {
		cameras = append(cameras, string(c.Address))
	}
	return append(turns, turn{words: h.Recordings + ": "}, turn{words: "licence servers confirm"}, turn{words: "licence key of " + h.Name, text: "../licences/" + h.Name},
		turn{words: "Cameras of", text: strings.Join(cameras, "\r\n") + "\r\n"})
}
