// Package kinds lists every kind of step that an installation is made of, once: what runs
// transactions, what plans them in tests and what imitates hosts all take it from here. It
// knows no plan and no order; kinds that another layer brings stand in a list of their own,
// and package main joins them.
package kinds

import (
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/firewall"
	"ipivs.com/valtctl/installer/step/system"
)

// All lists the kinds by name. A new one is one file of a room of installer/step and one line here.
func All() []step.Kind {
	return []step.Kind{
		files.AbsentKind(),
		apt.SourceKind(),
		files.AuthorizedKeyKind(),
		database.BackupKind(),
		files.CertificateKind(),
		system.ClockKind(),
		docker.ContainerKind(),
		files.DirectoryKind(),
		database.MigrateKind(),
		database.RestoreKind(),
		database.StillKind(),
		database.VerifyKind(),
		system.DongleKind(),
		apt.DownloadKind(),
		docker.EngineConfigKind(),
		docker.EngineServiceKind(),
		files.FileKind(),
		firewall.Kind(),
		docker.HealthKind(),
		docker.ImageKind(),
		files.LicenceKind(),
		docker.NetworkKind(),
		apt.PackagesKind(),
		files.PasswordKind(),
		docker.PruneKind(),
		system.RebootKind(),
		files.RecordingsKind(),
		docker.RegistryLoginKind(),
		docker.RetireKind(),
		files.SSHKeyKind(),
		system.SiteCheckKind(),
		system.TimerKind(),
		system.TrustedCAKind(),
		system.UnitKind(),
	}
}
