package schedule

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"ipivs.com/valtctl/repos/problem"
)

// Where the schedule keeps what it needs, on the host that runs it.
const (
	UnitName    = "valtctl-schedule" // .service and .timer
	samplePath  = "/usr/bin/valtctl"
	sampleSite  = "/var/lib/valtctl/site/SITE/schedule/site.yaml"
	stateFolder = "/var/lib/valtctl/site"
)

// The units, for the program and the site of an example; packaging/systemd links to them.
var (
	//go:embed valtctl-schedule.service
	serviceText string
	//go:embed valtctl-schedule.timer
	timerText string
)

// Folder is where the copy of a site that the schedule works from is kept.
func Folder(site string) string { return path.Join(stateFolder, site, "schedule") }

// SiteFile is the site file of that copy.
func SiteFile(site string) string { return path.Join(Folder(site), "site.yaml") }

// StateFile is what the schedule of a site remembers.
func StateFile(site string) string { return path.Join(stateFolder, site, "schedule.json") }

// PauseFile holds a person's word that nothing is to be begun.
func PauseFile(site string) string { return path.Join(stateFolder, site, "pause.json") }

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
