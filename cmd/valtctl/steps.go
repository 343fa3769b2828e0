package main

import (
	"fmt"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/updater/drain"
)

// stepKinds lists every kind of step that a transaction may hold. A new one is one file
// in installer/step and one line here.
func stepKinds() []step.Kind {
	return []step.Kind{
		step.AbsentKind(),
		step.AptSourceKind(),
		step.AuthorizedKeyKind(),
		step.CertificateKind(),
		step.ClockKind(),
		step.ContainerKind(),
		step.DirectoryKind(),
		drain.DrainKind(),
		step.DongleKind(),
		step.DownloadKind(),
		step.EngineConfigKind(),
		step.EngineServiceKind(),
		step.FileKind(),
		step.FirewallKind(),
		step.HealthKind(),
		step.ImageKind(),
		step.LicenceKind(),
		step.NetworkKind(),
		drain.OpenKind(),
		step.PackagesKind(),
		step.PasswordKind(),
		step.PruneKind(),
		step.RebootKind(),
		step.RecordingsKind(),
		step.RegistryLoginKind(),
		step.SSHKeyKind(),
		step.TimerKind(),
		step.TrustedCAKind(),
		step.UnitKind(),
	}
}

// machine is this host as steps see it.
func (a *app) machine() (*step.Machine, error) {
	boot, err := facts.BootID(a.hostRoot)
	if err != nil {
		return nil, fmt.Errorf("looking at this host: %w", err)
	}
	return &step.Machine{Root: a.hostRoot, Run: step.Exec{}, Now: a.now, BootID: boot}, nil
}
