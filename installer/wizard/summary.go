package wizard

import (
	"fmt"
	"net/netip"
	"strings"
	"text/tabwriter"

	"ipivs.com/valtctl/installer/site"
)

// Table is the site for people, one server a line.
func Table(s *site.Site) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tADDRESS\tROLES\tRECORDINGS\tLICENCE\tCAMERAS")
	for _, h := range s.Hosts {
		roles := make([]string, len(h.Roles))
		for i, r := range h.Roles {
			roles[i] = string(r)
		}
		cameras := "-"
		if h.HasEngine() {
			cameras = fmt.Sprint(len(h.Cameras))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", h.Name, h.Address, strings.Join(roles, ", "), dashed(h.Recordings), dashed(string(h.Wowza.License)), cameras)
	}
	_ = t.Flush() // a Builder takes everything
	return b.String()
}

func dashed(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Picture is who reaches whom, from the people down to the cameras.
func Picture(s *site.Site) string {
	var b strings.Builder
	who := []string{"people in " + networks(s.Clients)}
	if s.Beam != nil {
		who = append(who, "mobile devices in "+networks(s.Beam.Devices))
	}
	who = append(who, "administrators in "+networks(s.Admins))
	for i, line := range who {
		corner := "├"
		if i == 0 {
			corner = "┌"
		}
		fmt.Fprintf(&b, "    %s── %s\n", corner, line)
	}
	fmt.Fprintf(&b, "    │ %s://%s, TCP %d and %d\n", s.Scheme(), dashed(s.Name), s.WebPort(), s.StreamPort())
	if s.Cloud != nil {
		fmt.Fprintf(&b, "    ├── %s (VALT Cloud): %s\n", s.Cloud.App, inCloud())
	}
	for i, h := range s.Hosts {
		branch, below := "├", "│"
		if i == len(s.Hosts)-1 {
			branch, below = "└", " "
		}
		fmt.Fprintf(&b, "    %s── %s %s: %s\n", branch, h.Name, h.Address, does(h))
		if len(h.Cameras) > 0 {
			fmt.Fprintf(&b, "    %s     └── %s: %s\n", below, counted(len(h.Cameras), "camera"), cameras(h.Cameras))
		}
	}
	return b.String()
}

// inCloud is what VALT Cloud does for a site.
func inCloud() string {
	return strings.Join(site.ShortNames(site.RolesThat(func(s site.RoleSpec) bool { return s.InCloud })), " and ") + " server"
}

func does(h site.Host) string {
	var all []string
	for _, g := range roleGuides() {
		if h.Has(g.role) {
			all = append(all, g.does(h))
		}
	}
	return strings.Join(all, " and ")
}

func networks(list []netip.Prefix) string {
	all := make([]string, len(list))
	for i, n := range list {
		all[i] = site.NetworkText(n)
	}
	return strings.Join(all, ", ")
}

// cameras names a few, the rest by their number.
func cameras(list []site.Camera) string {
	const shown = 4
	var all []string
	for i, c := range list {
		if i == shown {
			return strings.Join(all, ", ") + fmt.Sprintf(" and %d more", len(list)-shown)
		}
		all = append(all, string(c.Address))
	}
	return strings.Join(all, ", ")
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
