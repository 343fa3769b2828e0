package main

import (
	"slices"
	"testing"

	"ipivs.com/valtctl/installer/step"
)

// Kinds go over the wire by their names, and stand in the requests and journals that hosts
// keep: a kind that is called otherwise is another one to them.
func TestKindsKeepTheirNames(t *testing.T) {
	kept := []step.KindName{
		"absent", "apt-source", "authorized-key", "certificate", "clock", "container", "directory", "dongle", "download", "drain",
		"engine-config", "engine-service", "file", "firewall", "health", "image", "licence", "network", "open", "packages",
		"password", "prune", "reboot", "recordings", "registry-login", "ssh-key", "timer", "trusted-ca", "unit",
	}
	var now []step.KindName
	for _, k := range stepKinds() {
		now = append(now, k.Name)
		if !slices.Contains(kept, k.Name) {
			t.Errorf("the kind %q is not among the names that hosts keep; a new one is added to them", k.Name)
		}
	}
	for _, name := range kept {
		if !slices.Contains(now, name) {
			t.Errorf("no kind is called %q any more, and hosts keep steps of it", name)
		}
	}
}
