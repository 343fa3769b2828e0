package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// variables are what a release's Compose files, configuration files and health URLs may
// use as ${NAME}. They hold nothing secret.
func variables(in Input, h site.Host, found HostFacts) (map[string]string, error) {
	s := in.Site
	vars := map[string]string{
		"VALT_SITE":        s.ID,
		"VALT_NAME":        s.Name,
		"VALT_HOST":        h.Name,
		"VALT_ADDRESS":     string(h.Address),
		"VALT_SSL":         strconv.FormatBool(s.SSL),
		"VALT_SCHEME":      s.Scheme(),
		"VALT_WEB_PORT":    strconv.Itoa(int(s.WebPort())),
		"VALT_STREAM_PORT": strconv.Itoa(int(s.StreamPort())),
		"VALT_CERTIFICATE": in.Manifest.Paths.Certificate,
		"VALT_KEY":         in.Manifest.Paths.Key,
		"VALT_CODENAME":    found.Codename,
		"VALT_RELEASE":     in.Manifest.Version,
	}
	for _, r := range roles() {
		if r.variables != nil {
			maps.Copy(vars, r.variables(in, h))
		}
	}
	return vars, settings(in, vars)
}

// settings adds VALT_SETTING_<NAME> for each setting that the release declares. A setting
// of the site that it does not declare is an error: it would do nothing.
func settings(in Input, vars map[string]string) error {
	for name, declared := range in.Manifest.Settings {
		value, ok := in.Site.Settings[name]
		if !ok {
			value = declared.Default
		}
		vars["VALT_SETTING_"+strings.ToUpper(name)] = value
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(in.Site.Settings)) {
		if _, ok := in.Manifest.Settings[name]; ok {
			continue
		}
		field := "settings." + name
		errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: in.Site.Position(field),
			Err: fmt.Errorf("%s: release %s has no such setting", field, in.Manifest.Version),
			Fix: "remove it, or write one of " + strings.Join(slices.Sorted(maps.Keys(in.Manifest.Settings)), ", ")})
	}
	return errors.Join(errs...)
}
