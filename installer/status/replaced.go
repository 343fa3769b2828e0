package status

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
)

// Replaced is a server that another one has taken the place of, and what it says of itself.
type Replaced struct {
	Host    string `json:"host"`
	By      string `json:"by"`
	Since   string `json:"since,omitempty"`
	Reached bool   `json:"reached"`
	// Used is how much of the disk of its recordings is used, in bytes; 0 where that is not known.
	Used int64 `json:"used,omitempty"`
	// Text says all of it to people.
	Text string `json:"text"`
	// Need is what a person must do about it now; nil: nothing but to think of it.
	Need *problem.Error `json:"-"`
}

// AskReplaced asks the servers that the site file names as replaced, all at once. One that cannot be
// reached is told so: it may have been switched off.
func AskReplaced(ctx context.Context, o fleet.Options) []Replaced {
	all := make([]Replaced, len(o.Site.Replaced))
	_ = fleet.Each(indices(all), func(i int) error { // who cannot be asked says so itself
		all[i] = askReplaced(ctx, o, o.Site.Replaced[i])
		return nil
	})
	return all
}

func askReplaced(ctx context.Context, o fleet.Options, old site.Replaced) Replaced {
	r := Replaced{Host: old.Name, By: old.By, Since: old.Since, Text: old.Keeps()}
	h := ask(ctx, o, old.Host(nil), false, nil)
	if h.Err != nil {
		r.Text += "; it cannot be asked now: " + fleet.OneLine(fleet.Bare(h.Err))
		return r
	}
	r.Reached = true
	for _, disk := range h.Facts.Filesystems {
		if old.Recordings != "" && disk.Mount == old.Recordings {
			r.Used = disk.Size - disk.Free
			r.Text += fmt.Sprintf(", %s of that disk are used", units.HumanSize(float64(r.Used)))
		}
	}
	r.Text += "; once they are moved or have aged, take it out of the site file: replaced"
	if at := atWork(o.Site, h); len(at) > 0 {
		r.Need = &problem.Error{Kind: problem.Check, Doing: "looking at the replaced server", Object: old.Name,
			Err: fmt.Errorf("%s has its place, and it runs %s still or again", old.By, strings.Join(at, ", ")),
			Fix: fmt.Sprintf("stop them there: docker update --restart no %s, docker stop %s; or have it take its place back: valtctl replace %s --with %s",
				at[0], at[0], old.By, old.Name)}
	}
	return r
}

// atWork are the site's containers that run on a host.
func atWork(s *site.Site, h Host) []string {
	if h.Facts.Engine == nil {
		return nil
	}
	var names []string
	for _, c := range h.Facts.Engine.Containers {
		if c.Labels[docker.LabelSite] == s.ID && c.State == "running" {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}
