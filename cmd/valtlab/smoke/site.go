package smoke

import (
	"fmt"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// LabSite is the site of the lab's own hosts.
func LabSite(l *lab.Lab) (Site, error) {
	site := Site{Name: lab.SiteName, App: l.App()}
	hosts, err := l.Hosts()
	if err != nil {
		return site, err
	}
	if len(hosts) == 0 {
		return site, fmt.Errorf("there are no hosts: the lab is not up (valtlab up)")
	}
	cameras, err := l.Cameras()
	if err != nil {
		return site, err
	}
	for _, h := range hosts {
		if !h.Standard() || !h.HasRole(lab.RoleMedia) {
			continue
		}
		media := Media{Host: h.Name, Address: h.Address}
		for _, c := range cameras {
			if c.Media == h.Name {
				media.Cameras = append(media.Cameras, c.Address)
			}
		}
		site.Media = append(site.Media, media)
	}
	return site, nil
}
