package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// SiteCheckParams are one of the site's own checks (checks: in the site file): an address that
// answers 200, or a program that ends with 0.
type SiteCheckParams struct {
	Name     string `json:"name"`
	URL      string `json:"url,omitempty"`
	Program  string `json:"program,omitempty"`
	Required bool   `json:"required,omitempty"` // else a failure is told, and that is all
	Within   string `json:"within"`             // a Go duration
	// ServerName and TrustPEM are as those of docker.HealthParams.
	ServerName string `json:"server_name,omitempty"`
	TrustPEM   string `json:"trust_pem,omitempty"`
}

// KindSiteCheck names what SiteCheckKind makes.
const KindSiteCheck step.KindName = "site-check"

// SiteCheckKind asks a check of the site's own once a host has switched, and before it is
// confirmed. It is asked in a transaction with a way back alone: nothing is to be learnt from
// it before, and nothing could be done after.
func SiteCheckKind() step.Kind {
	return step.KindOf(KindSiteCheck, step.Reversible, func(p SiteCheckParams) (step.Step, error) { return newSiteCheck(p) })
}

type siteCheck struct {
	SiteCheckParams
	url    step.Step // nil: it is a program
	within time.Duration
	failed error // of one that is only wanted, when its time was over
}

func newSiteCheck(p SiteCheckParams) (*siteCheck, error) {
	c := &siteCheck{SiteCheckParams: p}
	var err error
	if c.within, err = time.ParseDuration(p.Within); err != nil {
		return nil, fmt.Errorf("reading the check %s: %w", p.Name, err)
	}
	if (p.URL == "") == (p.Program == "") {
		return nil, fmt.Errorf("reading the check %s: it is an address or a program", p.Name)
	}
	if p.Program != "" {
		return c, step.CleanPath(p.Program)
	}
	raw, err := json.Marshal(docker.HealthParams{Checks: []docker.HealthCheck{{Name: p.Name, URL: p.URL, Status: 200}},
		ServerName: p.ServerName, TrustPEM: p.TrustPEM})
	if err == nil {
		c.url, err = docker.HealthKind().New(raw)
	}
	return c, err
}

// Inspect asks once.
func (c *siteCheck) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	found := step.Finding{Disrupts: step.Nothing}
	if h.Keep == "" {
		return found, nil
	}
	if c.failed != nil {
		found.Notes = []string{c.told(c.failed)}
		return found, nil
	}
	if err := c.ask(ctx, h); err != nil {
		found.Change, found.Diff = true, fmt.Sprintf("- %s: %v\n+ %s: as it should be\n", c.Name, err, c.Name)
	}
	return found, nil
}

// Apply asks until the answer is right or the check's time is over.
func (c *siteCheck) Apply(ctx context.Context, h *step.Machine) error {
	limited, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	for {
		err := c.ask(limited, h)
		if err == nil {
			return nil
		}
		h.Report(step.Progress{Text: fmt.Sprintf("waiting for the site's own check %s: %v", c.Name, err)})
		if sleep.For(limited, time.Second) == nil {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the site's own check %s: %w", c.Name, ctx.Err())
		}
		if !c.Required {
			c.failed = err
			h.Told(c.told(err))
			return nil
		}
		return &problem.Error{Kind: problem.Failed, Doing: "asking the site's own check", Object: c.Name,
			Err: fmt.Errorf("it did not pass within %s: %w", c.within, err),
			Fix: "find out what it misses; one that may fail is written with required: false"}
	}
}

func (c *siteCheck) told(err error) string {
	return fmt.Sprintf("the site's own check %s, which is wanted and not required, does not pass: %v", c.Name, err)
}

// Undo has nothing to take back: it only looks.
func (c *siteCheck) Undo(context.Context, *step.Machine) error { return nil }

func (c *siteCheck) ask(ctx context.Context, h *step.Machine) error {
	if c.url == nil {
		return step.OwnProgram{Path: c.Program, Within: c.within}.Run(ctx, h)
	}
	found, err := c.url.Inspect(ctx, h)
	if err == nil && found.Change {
		err = errors.New(firstLine(found.Diff))
	}
	return err
}

// firstLine is what a health step's diff says was answered.
func firstLine(diff string) string {
	for i, r := range diff {
		if r == '\n' {
			return diff[min(2, i):i]
		}
	}
	return diff
}
