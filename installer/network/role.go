package network

import "ipivs.com/valtctl/installer/site"

// roleEnd is the end that stands for the hosts of a role in the vendor's rows. A role whose
// hosts the page names nowhere by themselves has AllServers.
type roleEnd struct {
	role site.Role
	end  End
}

func roleEnds() []roleEnd {
	return []roleEnd{{site.App, AppServer}, {site.Media, MediaHosts}}
}

// RoleEnd is the end that stands for the role's hosts; false: nobody has said which.
func RoleEnd(r site.Role) (End, bool) {
	for _, e := range roleEnds() {
		if e.role == r {
			return e.end, true
		}
	}
	return AllServers, false
}

// endRole is the role whose hosts an end stands for; false: it is no single role's.
func endRole(end End) (site.Role, bool) {
	for _, e := range roleEnds() {
		if e.end == end && end != AllServers {
			return e.role, true
		}
	}
	return "", false
}

// inCloudToo says whether an end of the site's servers stands for the cloud's as well.
func inCloudToo(end End) bool {
	role, one := endRole(end)
	spec, _ := role.Spec()
	return !one || spec.InCloud
}
