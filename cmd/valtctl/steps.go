package main

import (
	"fmt"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/kinds"
	"ipivs.com/valtctl/updater/drain"
)

// stepKinds lists every kind of step that a transaction may hold.
func stepKinds() []step.Kind { return append(kinds.All(), drain.Kinds()...) }

// machine is this host as steps see it.
func (a *app) machine() (*step.Machine, error) {
	boot, err := facts.BootID(a.hostRoot)
	if err != nil {
		return nil, fmt.Errorf("looking at this host: %w", err)
	}
	return &step.Machine{Root: a.hostRoot, Run: step.Exec{}, Now: a.now, BootID: boot}, nil
}
