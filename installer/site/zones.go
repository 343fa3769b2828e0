package site

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // Windows and bare containers have no time zone database

	"ipivs.com/valtctl/repos/problem"
)

//go:embed zones.txt
var zoneLines string

//go:embed windows_zones.txt
var windowsZoneLines string

// contentLines are the lines of an embedded list, without its comments.
func contentLines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return l == "" || l[0] == '#' })
}

func parseTimezone(s string) (string, error) {
	if _, err := time.LoadLocation(s); err == nil && s != "" && s != "Local" {
		return s, nil
	}
	if zone, ok := windowsZone(s); ok {
		return "", &wrong{fmt.Sprintf("%q is the name that Windows has for a time zone", s), "write " + zone}
	}
	if len(s) <= 4 && strings.ToUpper(s) == s {
		return "", &wrong{fmt.Sprintf("%q is an abbreviation, which several time zones share", s), "write the name of the zone's city, such as America/Chicago"}
	}
	return "", &wrong{fmt.Sprintf("%q is not a time zone", s),
		fmt.Sprintf("did you mean %q? Write a name of the IANA time zone database", nearestZone(s))}
}

// windowsZone is the IANA zone that Windows calls s, in summer too.
func windowsZone(s string) (string, bool) {
	s = strings.ReplaceAll(strings.TrimSpace(s), "Daylight Time", "Standard Time")
	for _, line := range contentLines(windowsZoneLines) {
		if name, zone, _ := strings.Cut(line, "\t"); strings.EqualFold(name, s) {
			return zone, true
		}
	}
	return "", false
}

// nearestZone is the zone whose name, or whose city, is nearest to s.
func nearestZone(s string) string {
	zones := contentLines(zoneLines)
	names := map[string]string{} // lower case, and cities, to the zone
	var known []string
	for _, zone := range zones {
		lower := strings.ToLower(zone)
		for _, name := range []string{lower, lower[strings.LastIndex(lower, "/")+1:]} {
			if names[name] == "" {
				names[name] = zone
				known = append(known, name)
			}
		}
	}
	return names[problem.Nearest(strings.ReplaceAll(strings.ToLower(s), " ", "_"), known)]
}
