package updater

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/updater/window"
)

// Preview is what a rollout would do: what --dry-run shows and a person confirms.
type Preview struct {
	Kind   Kind          `json:"kind"`
	From   string        `json:"from"`
	To     string        `json:"to"`
	Via    []string      `json:"via,omitempty"` // releases that must be walked through before To
	Digest string        `json:"plan_digest"`
	Hosts  []HostPreview `json:"hosts"`
	// Expected is how long the waves take one after the other, from how long earlier ones
	// took; Window says what that means for the site's maintenance windows, if it has any.
	Expected time.Duration `json:"expected_ns"`
	Window   string        `json:"window,omitempty"`
	// Offline are the media servers about which VALT itself may mail "stream offline".
	Offline []Offline `json:"streams_offline,omitempty"`
	// Replaced is as plan.Plan's.
	Replaced []string `json:"replaced,omitempty"`
}

// HostPreview is one host's part of a Preview.
type HostPreview struct {
	Host     string        `json:"host"`
	Wave     int           `json:"wave"` // from 1, the canary's
	From     string        `json:"from"`
	Drained  bool          `json:"drained"` // sessions are kept out while it is changed
	Fetch    int64         `json:"fetch"`   // bytes, where known
	Expected time.Duration `json:"expected_ns"`
	Steps    []StepPreview `json:"steps,omitempty"` // those that differ
	Notes    []string      `json:"notes,omitempty"`
}

// StepPreview is one step that differs.
type StepPreview struct {
	ID       string          `json:"id"`
	Kind     step.KindName   `json:"kind"`
	Title    string          `json:"title"`
	Half     step.Half       `json:"half"`
	Diff     string          `json:"diff,omitempty"`
	Disrupts step.Disruption `json:"disrupts,omitempty"`
	Way      step.Way        `json:"way"`
}

// Differs says whether anything would change.
func (p *Preview) Differs() bool {
	for _, h := range p.Hosts {
		if len(h.Steps) > 0 {
			return true
		}
	}
	return false
}

// Host is one host's part; nil: it has none.
func (p *Preview) Host(name string) *HostPreview {
	for i := range p.Hosts {
		if p.Hosts[i].Host == name {
			return &p.Hosts[i]
		}
	}
	return nil
}

// time puts the expected time beside the maintenance windows. The hosts of a wave are
// changed at the same time. A person may begin outside of a window, and should know it.
func (p *Preview) time(now time.Time, windows window.Schedule) {
	waves := map[int]time.Duration{}
	var longest time.Duration
	for _, h := range p.Hosts {
		if len(h.Steps) > 0 {
			waves[h.Wave] = max(waves[h.Wave], h.Expected)
			longest = max(longest, h.Expected)
		}
	}
	p.Expected = 0
	for _, takes := range waves {
		p.Expected += takes
	}
	if windows.Always() || p.Expected == 0 {
		return
	}
	if err := windows.Fits(now, p.Expected+longest); err != nil {
		p.Window = err.Error()
		return
	}
	p.Window = "it fits the maintenance window that is open now, the way back of a wave included"
	if until, _ := windows.Open(now); !until.IsZero() {
		p.Window += "; " + until.Sub(now).Round(time.Minute).String() + " of it are left"
	}
}

// preview has every host compare itself with the target.
func (u *update) preview(ctx context.Context, t *installer.Target) (*Preview, error) {
	hosts := u.work.Hosts
	p := &Preview{Kind: u.kind, From: u.from, To: t.Manifest.Version, Digest: t.Digest, Replaced: t.Plan.Replaced, Hosts: make([]HostPreview, len(hosts))}
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			plan, _ := t.Plan.Host(h.Name)
			findings, err := u.work.Inspect(ctx, h.Name, t, plan.Steps)
			if err != nil {
				errs[i] = err
				return
			}
			p.Hosts[i] = u.hostPreview(h.Name, plan.Steps, findings)
		})
	}
	wg.Wait()
	return p, joined(errs)
}

// hostPreview puts what a host found in words.
func (u *update) hostPreview(host string, steps []step.Spec, findings []agent.StepFinding) HostPreview {
	p := HostPreview{Host: host, Expected: u.expected(host)}
	if was := u.work.Facts(host).Installed; was != nil {
		p.From = was.Release
	}
	for i, f := range findings {
		p.Notes = append(p.Notes, f.Finding.Notes...)
		if !f.Finding.Change {
			continue
		}
		spec := steps[i]
		p.Fetch += f.Finding.Fetch
		p.Drained = p.Drained || disrupts(spec, f.Finding) || f.Finding.Admits // nobody is let in before it is confirmed
		p.Steps = append(p.Steps, StepPreview{ID: spec.ID, Kind: spec.Kind, Title: spec.Title, Half: spec.Half, Diff: f.Finding.Diff,
			Disrupts: f.Finding.Disrupts, Way: u.wayOf(spec, f.Finding)})
	}
	return p
}

// disrupts says whether a change interrupts what the host serves. What a step does not
// say now is what it may do at worst.
func disrupts(spec step.Spec, f step.Finding) bool {
	d := f.Disrupts
	if d == "" {
		d = spec.Disrupts
	}
	return d != "" && d != step.Nothing
}

// wayOf says how a step's change could be taken back.
func (u *update) wayOf(spec step.Spec, f step.Finding) step.Way {
	kind, known := u.Kinds[spec.Kind]
	if !known {
		return step.OneWay
	}
	return step.WayBack(kind, f)
}

// mustJSON writes parameters of our own types, which cannot fail.
func mustJSON(v any) (json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing parameters: %w", err)
	}
	return raw, nil
}
