package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/window"
)

// EnableOptions are what enabling is given beside a run's own options.
type EnableOptions struct {
	fleet.Options
	// Program is valtctl's path on every host: the agent's that this run uses.
	Program string
	Logins  map[string]inputs.Login // by host, as a person reaches it
	// KnownHosts are the trusted host keys of the site's hosts.
	KnownHosts []byte
}

// Change is what enabling, pausing or disabling comes to.
type Change struct {
	Site  string       `json:"site"`
	Hosts []HostChange `json:"hosts"` // the one that runs it comes first
	// Key is the public half of the key that the others take, of one that is there.
	Key string `json:"key,omitempty"`
	// Unreached are hosts that could not be asked, and are as they were.
	Unreached []string `json:"unreached,omitempty"`
	// Notes are what a person should know.
	Notes []string `json:"notes,omitempty"`
}

// HostChange is one host's part.
type HostChange struct {
	Host    string   `json:"host"`
	Changes []string `json:"changes"` // titles of the steps that differ
	Diff    string   `json:"diff,omitempty"`
}

// Enablement is what a host knows of being enabled.
type Enablement struct {
	Schema string    `json:"schema"`
	Since  time.Time `json:"since"`
	Who    string    `json:"who"`
}

// keyComment names the key's line in authorized_keys; sudoers lets its login start the
// restricted agent without a password, and nothing else.
const (
	keyComment = "valtctl-schedule"
	sudoers    = "/etc/sudoers.d/valtctl-schedule"
)

// aptFile keeps unattended-upgrades from what only an update changes: the engine, which it
// would restart under running containers. It does not restart the host either; that is in a
// file of the installation (step.QuietFiles), and said here too.
const (
	aptFile = "/etc/apt/apt.conf.d/zz-valtctl-schedule"
	aptText = `// Written by valtctl schedule enable: the site's own maintenance windows are for this.
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Automatic-Reboot-WithUsers "false";
Unattended-Upgrade::Package-Blacklist { "docker"; "containerd"; "runc"; };
`
)

// Enable has the site look after itself from now on: on its first host a timer, a copy of
// the site and a key of that host's own; on the others what judges that key's requests.
func Enable(ctx context.Context, o EnableOptions) (*Change, error) {
	if err := fits(o.Site); err != nil {
		return nil, err
	}
	return o.all(ctx, o.Site.Hosts, func(ctx context.Context, s *siteChange) error {
		home := fleet.LeaseHost(o.Site)
		if len(ways(o.Site.Updates.Notify)) == 0 {
			s.change.Notes = append(s.change.Notes, "nobody is told what comes of it: the site file has no updates.notify")
		}
		if err := s.home(ctx, home); err != nil {
			return err
		}
		for _, h := range o.Site.Hosts {
			if h.Name == home.Name {
				continue
			}
			if err := s.other(ctx, h); err != nil {
				return err
			}
		}
		return s.clock(ctx, home)
	})
}

// fits refuses a site that could not be looked after.
func fits(s *site.Site) error {
	no := func(field, cause, fix string) error {
		return &problem.Error{Kind: problem.Input, Doing: "reading", Object: s.Position(field), Err: errors.New(field + ": " + cause), Fix: fix}
	}
	if s.Updates.Source != site.Online {
		return no("updates.source", "a bundle is carried in by a person, so nothing can be done unattended", "write online, or update with: valtctl update --bundle F")
	}
	if len(s.Updates.Windows) == 0 {
		return no("updates.windows", "is missing, and hosts are changed unattended only in a window", `write windows: and a list, such as ["Sun 02:00-05:00"]`)
	}
	if _, err := window.Of(s.Updates); err != nil {
		return err
	}
	if s.Release.Version != "" {
		return no("release.version", "names one release, so there is never a newer one", "write release: { channel: stable } to follow a channel")
	}
	return nil
}

// siteChange is the work under way.
type siteChange struct {
	EnableOptions
	work   *installer.Run
	change *Change
	// key is the public half of the home's key; empty on a dry run before the first one.
	key string
	// renewed says that the home's former key was removed for another one.
	renewed bool
}

// all connects to hosts, and does the work while the site's lease is held.
func (o EnableOptions) all(ctx context.Context, hosts []site.Host, do func(ctx context.Context, s *siteChange) error) (*Change, error) {
	o.Hosts = nil
	for _, h := range hosts {
		o.Hosts = append(o.Hosts, h.Name)
	}
	work, err := installer.Begin(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	s := &siteChange{EnableOptions: o, work: work, change: &Change{Site: o.Site.ID}}
	err = s.ready(ctx, hosts)
	switch {
	case err != nil:
	case o.DryRun:
		err = do(ctx, s)
	default:
		err = s.held(ctx, do)
	}
	return s.change, errors.Join(err, work.Close())
}

// ready wants every host to be installed and well, and reads the releases they have.
func (s *siteChange) ready(ctx context.Context, hosts []site.Host) error {
	var errs []error
	for _, h := range hosts {
		if s.work.Facts(h.Name).Installed == nil {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "checking host", Object: h.Name,
				Err: errors.New("VALT is not installed there"), Fix: "valtctl install"})
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	_, err := s.work.Releases(ctx, true)
	return err
}

func (s *siteChange) held(ctx context.Context, do func(ctx context.Context, s *siteChange) error) error {
	held, holding, err := s.work.Hold(ctx, nil)
	if err != nil {
		return err
	}
	return errors.Join(do(holding, s), held.Release(ctx))
}

// home gives the host that runs it its copy of the site, its key and what apt may not do.
func (s *siteChange) home(ctx context.Context, h site.Host) error {
	folder := facts.ScheduleFolder(s.Site.ID)
	if err := s.forgetRevoked(ctx, h.Name); err != nil {
		return err
	}
	c, err := inputs.SeedOf(s.Site, folder, s.Logins, s.KnownHosts)
	if err != nil {
		return err
	}
	steps, secrets, err := c.Steps()
	if err != nil {
		return err
	}
	since, err := json.MarshalIndent(Enablement{Schema: Schema, Since: s.Now().UTC(), Who: s.Who}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing since when it is enabled: %w", err)
	}
	b := &specs{steps: steps}
	s.addKey(b)
	b.file(aptFile, "0644", aptText)
	b.file(facts.ScheduleEnabled(s.Site.ID), "0600", string(since)+"\n")
	b.absent("schedule-pause", "an earlier pause", nil, facts.SchedulePause(s.Site.ID))
	if err := s.doWith(ctx, h.Name, b, secrets); err != nil {
		return err
	}
	return s.learnKey(ctx, h.Name)
}

// addKey adds the step that makes the home's key where there is none.
func (s *siteChange) addKey(b *specs) {
	b.add("schedule-key", "key for the site's other hosts", files.SSHKeyKind(), files.SSHKeyParams{Path: facts.ScheduleKey, Comment: keyComment + "-of-" + s.Site.ID})
}

// learnKey reads the public half of the home's key.
func (s *siteChange) learnKey(ctx context.Context, home string) error {
	if s.DryRun && s.renewed {
		return nil // the next one is not made yet
	}
	if !s.DryRun {
		if err := s.work.RefreshOne(ctx, home); err != nil {
			return err
		}
	}
	s.key = s.work.Facts(home).ScheduleKey
	if s.key == "" && !s.DryRun {
		return &problem.Error{Kind: problem.Failed, Doing: "making the key on", Object: home, Err: errors.New("it is not there afterwards"), Fix: "valtctl logs tells more"}
	}
	s.change.Key = s.key
	return nil
}

// other has a host take the key, for the restricted agent alone, and gives it what that
// judges by.
func (s *siteChange) other(ctx context.Context, h site.Host) error {
	c, err := s.judgedBy(ctx, h.Name)
	if err != nil {
		return err
	}
	steps, secrets, err := c.Steps()
	if err != nil {
		return err
	}
	login, id := s.Logins[h.Name].User, facts.KeyID(s.key)
	if id == "" {
		id = "NEW" // on a dry run before the first one
	}
	command := s.Program + " agent --restricted --key " + id
	b := &specs{steps: steps}
	b.absent("schedule-unneeded", "secrets that this host has no need of", nil, c.Lacking(s.Site)...)
	b.file(facts.RestrictedKey, "0600", id+"\n")
	if login != "root" {
		// What the login asked for is in its environment, which sudo would drop. The key's name is in
		// the command, so that a connection of a key before cannot start it any more.
		b.file(sudoers, "0440", fmt.Sprintf("# Written by valtctl schedule enable: the key of unattended runs starts the restricted agent.\n"+
			"Defaults!%s env_keep += \"SSH_ORIGINAL_COMMAND\"\n%s ALL=(root) NOPASSWD: %s\n", s.Program, login, command))
		command = "sudo -n " + command
	}
	b.file(aptFile, "0644", aptText)
	if key, _, _ := strings.Cut(s.key, " "+keyComment); key != "" {
		b.add("schedule-access", "access for the key of "+fleet.LeaseHost(s.Site).Name, files.AuthorizedKeyKind(),
			files.AuthorizedKeyParams{User: login, Comment: keyComment, Key: key, Command: command})
	}
	return s.doWith(ctx, h.Name, b, secrets)
}

// judgedBy is what a host judges the key's requests by: of the site's secrets those that its own
// steps ask for, and no more.
func (s *siteChange) judgedBy(ctx context.Context, host string) (*inputs.Seed, error) {
	t, err := s.work.Plan(ctx, s.work.Facts(host).Installed.Release, false)
	if err != nil {
		return nil, err
	}
	hp, _ := t.Plan.Host(host)
	asked, err := hp.Secrets()
	if err != nil {
		return nil, err
	}
	return inputs.SeedFor(s.Site, facts.Restricted, host, asked)
}

// clock starts the timer, last: from then on everything is there.
func (s *siteChange) clock(ctx context.Context, h site.Host) error {
	service, timer, err := Units(s.Program, s.Site.ID)
	if err != nil {
		return err
	}
	b := &specs{}
	b.add("schedule-timer", "timer "+UnitName, system.TimerKind(), system.TimerParams{Name: UnitName, Service: service, Timer: timer})
	return s.do(ctx, h.Name, b)
}

// SetPause has the schedule begin nothing until then; nil lifts it.
func SetPause(ctx context.Context, o EnableOptions, p *Pause) (*Change, error) {
	home := fleet.LeaseHost(o.Site)
	return o.all(ctx, []site.Host{home}, func(ctx context.Context, s *siteChange) error {
		h, err := s.work.Host(home.Name)
		if err != nil {
			return err
		}
		if h.Facts().Schedule == nil {
			return notEnabled(o.Site)
		}
		b := &specs{}
		if p == nil {
			b.absent("schedule-pause", "the pause", nil, facts.SchedulePause(o.Site.ID))
			return s.do(ctx, home.Name, b)
		}
		raw, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return fmt.Errorf("writing the pause: %w", err)
		}
		b.file(facts.SchedulePause(o.Site.ID), "0600", string(raw)+"\n")
		return s.do(ctx, home.Name, b)
	})
}

func notEnabled(s *site.Site) error {
	return &problem.Error{Kind: problem.Input, Doing: "looking at the schedule of", Object: s.ID, Err: errors.New("it is not enabled"), Fix: "valtctl schedule enable"}
}

// specs are steps being put together.
type specs struct {
	steps []step.Spec
	err   error
}

func (b *specs) add(id, title string, k step.Kind, params any) {
	raw, err := json.Marshal(params)
	b.err = errors.Join(b.err, err)
	b.steps = append(b.steps, step.Spec{ID: id, Kind: k.Name, Title: title, Half: step.Fetch, Disrupts: step.Nothing, Params: raw})
}

func (b *specs) file(path, mode, text string) {
	b.add("file"+path, "file "+path, files.FileKind(), files.FileParams{Path: path, Mode: mode, Content: text})
}

func (b *specs) absent(id, title string, stop []string, paths ...string) {
	b.add(id, title, files.AbsentKind(), files.AbsentParams{Stop: stop, Paths: paths})
}

// doWith is do with secrets that the steps ask for.
func (s *siteChange) doWith(ctx context.Context, host string, b *specs, secrets map[string][]byte) error {
	h, err := s.work.Host(host)
	if err != nil {
		return err
	}
	h.Supply(secrets)
	return s.do(ctx, host, b)
}

// do has a host make those steps that differ.
func (s *siteChange) do(ctx context.Context, host string, b *specs) error {
	if b.err != nil {
		return b.err
	}
	t, err := s.work.Plan(ctx, s.work.Facts(host).Installed.Release, false)
	if err != nil {
		return err
	}
	findings, err := s.work.Inspect(ctx, host, t, b.steps)
	if err != nil {
		return err
	}
	var differ []step.Spec
	c := HostChange{Host: host}
	for i, f := range findings {
		if f.Finding.Change {
			differ = append(differ, b.steps[i])
			c.Changes = append(c.Changes, b.steps[i].Title)
			c.Diff += f.Finding.Diff
		}
	}
	s.change.add(c)
	if len(differ) == 0 || s.DryRun {
		return nil
	}
	done, err := s.work.Do(ctx, host, t, installer.Change{Steps: differ, Policy: txn.Defer, Partial: true})
	if err == nil && done.Result.Err() != nil {
		err = fmt.Errorf("host %s: %w", host, done.Result.Err())
	}
	return err
}

// add notes a host's part, of which there may be several.
func (c *Change) add(h HostChange) {
	for i := range c.Hosts {
		if c.Hosts[i].Host == h.Host {
			c.Hosts[i].Changes = append(c.Hosts[i].Changes, h.Changes...)
			c.Hosts[i].Diff += h.Diff
			return
		}
	}
	c.Hosts = append(c.Hosts, h)
}
