// Package kinds lists every kind of step that an installation is made of, once: what runs
// transactions, what plans them in tests and what imitates hosts all take it from here. It
// knows no plan and no order; kinds that another layer brings stand in a list of their own,
// and package main joins them.
package kinds

import "ipivs.com/valtctl/installer/step"

// All lists the kinds by name. A new one is one file of package step and one line here.
func All() []step.Kind {
	return []step.Kind{
		step.AbsentKind(),
		step.AptSourceKind(),
		step.AuthorizedKeyKind(),
		step.CertificateKind(),
		step.ClockKind(),
		step.ContainerKind(),
		step.DirectoryKind(),
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
