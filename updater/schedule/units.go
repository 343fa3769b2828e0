package schedule

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/repos/problem"
)

// UnitName is the service's and the timer's.
const UnitName = "valtctl-schedule"

// What the units below are written for.
const (
	samplePath = "/usr/bin/valtctl"
	sampleSite = "/var/lib/valtctl/site/SITE/schedule/site.yaml"
)

// The units, for the program and the site of an example; packaging/systemd links to them.
var (
	//go:embed valtctl-schedule.service
	serviceText string
	//go:embed valtctl-schedule.timer
	timerText string
)

// SiteFile is the site file of the copy that the schedule works from.
func SiteFile(site string) string { return path.Join(facts.ScheduleFolder(site), "site.yaml") }

// Units are the service and the timer of a site, run by the program at a path.
func Units(program, site string) (service, timer string, err error) {
	file := SiteFile(site)
	for _, p := range []string{program, file} {
		if !path.IsAbs(p) || strings.ContainsAny(p, " \t\n\"'%\\$") {
			return "", "", &problem.Error{Kind: problem.Failed, Doing: "writing the unit", Object: UnitName,
				Err: fmt.Errorf("%q is no path that a unit can name", p)}
		}
	}
	service = strings.NewReplacer(samplePath, program, sampleSite, file).Replace(serviceText)
	return service, timerText, nil
}
