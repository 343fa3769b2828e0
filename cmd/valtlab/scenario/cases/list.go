package cases

import (
	"context"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

// Groups of cases, from which a run of the core draws in turn.
const (
	aboutInstalls scenario.Group = "installs" // what becomes of bare hosts, and of an installation that is disturbed
	aboutUpdates  scenario.Group = "updates"
	aboutBundles  scenario.Group = "bundles" // and releases: what hosts are brought, and whether it is believed
	aboutAccess   scenario.Group = "access"  // checks of the network, and what a site lets others see and do
)

// maker makes scenarios that share what is kept between them.
func maker(kept *shared) func(name, summary string, run func(context.Context, *Env) error, parallel scenario.Parallel, group scenario.Group, seconds int) scenario.Scenario {
	return func(name, summary string, run func(context.Context, *Env) error, parallel scenario.Parallel, group scenario.Group, seconds int) scenario.Scenario {
		return scenario.Scenario{Name: name, Summary: summary, Parallel: parallel, Group: group, Takes: time.Duration(seconds) * time.Second,
			Run: func(ctx context.Context, e *scenario.Env) error { return run(ctx, &Env{*e, kept}) }}
	}
}

// All is every scenario, in the order in which they are listed and run. A new one is a file
// of its own and a line here, which says last how many seconds a sample takes. Those that begin with an installed site follow one that leaves
// it so, and those that leave something else on the hosts come last before those that make
// them bare; run by itself, each makes what it begins with.
func All() scenario.Suite {
	kept := &shared{}
	c := maker(kept)
	all := []scenario.Scenario{
		c("lab-sealed", "no outside name resolves, the vendor's do, and every mirror verifies", labSealed, scenario.Alone, scenario.Core, 5),
		c("lab-reboot", "a host reboots from inside and keeps its disk and its address", labReboot, scenario.Alone, aboutInstalls, 3),
		c("odd-hosts", "servers with odd SSH servers, shells, sudo and mounts get the agent and answer", oddHosts, scenario.Alone, aboutInstalls, 41),
		c("penalties", "a server of today that punishes this address is waited for, named as what it is, and gives what was asked for", penalties, scenario.Alone, aboutAccess, 75),
		c("releases", "a tampered target, a wrong signature and a foreign root are refused with nothing changed", releasesRefused, scenario.Alone, aboutBundles, 15),
		c("mistaken-release", "a release that asks for power over its servers is refused at publishing, and signed past that by the site, with its line", mistakenRelease, scenario.Alone, aboutBundles, 15),
		c("install-twice", "a dry run shows every change, the install does just that, and a second one changes nothing", installTwice, scenario.Alone, scenario.Core, 84),
		c("delta", "a bundle for servers that have most of a release carries what changed and no more, once", delta, scenario.Alone, aboutBundles, 22),
		c("damage", "a bundle that a medium or a person damaged is refused by the name of the part or blob, and nothing is changed", damage, scenario.Alone, aboutBundles, 45),
		c("three-weeks", "a site left to itself for three weeks updates itself when it may and tells what it must, whatever happens", threeWeeks, scenario.Alone, aboutUpdates, 40),
		c("restricted-key", "with the key of unattended updates a file step, a shell, a forwarding, an older and an unsigned release are refused", restrictedKey, scenario.Alone, aboutAccess, 15),
		c("stolen-key", "a thief of the key of unattended updates gets one drained, healthy update to what the channel offers, in the window", stolenKey, scenario.Alone, aboutAccess, 150),
		c("links-swapped", "a login that swaps its own folder and file with links while root writes there leads nothing elsewhere", linksSwapped, scenario.Alone, aboutAccess, 120),
		c("hostile-words", "what servers, hosts, cameras and files say is shown and never obeyed, and a line without an end takes no memory", hostileWords, scenario.Alone, aboutAccess, 120),
		c("firewall", "a managed firewall lets in exactly what the site's flows name, and undoes itself if it shuts the controller out", firewall, scenario.Alone, aboutAccess, 50),
		c("controller-killed", "a killed controller stops nothing, and any other one finishes", controllerKilled, scenario.Shares, scenario.Core, 36),
		c("link-cut", "a host cut off in the middle of apt ends as if it had not been", linkCut, scenario.Shares, aboutInstalls, 65),
		c("host-rebooted", "a host rebooted in the middle ends as if it had not been", hostRebooted, scenario.Shares, aboutInstalls, 80),
		c("images-serve", "a release's images serve by themselves, say when a part is missing, and lose a killed recording", imagesServe, scenario.Apart, aboutInstalls, 30),
		c("step-tests", "the tests of what asks apt and Docker pass inside servers of the newest Ubuntu, with both image stores", stepTests, scenario.Apart, aboutInstalls, 200),
		c("fleet-simulation", "rollouts over fleets on paper never breach budget or floor, and explain every host", fleetSimulation, scenario.Apart, scenario.Elsewhere, 1),
		c("single-server", "one bare server installs itself without SSH and serves both roles", singleServer, scenario.Apart, aboutInstalls, 60),
		c("single-server-update", "the one server updates itself, application and media, and rolls back", singleServerUpdate, scenario.Apart, aboutUpdates, 50),
		c("two-controllers", "of two runs one works; one that slept past its lease changes nothing; a reinstalled host gives out no old token", twoControllers, scenario.Shares, aboutInstalls, 85),
		c("tokens", "whatever servers remember of former runs, one command gives the site back; a broken run changes nothing; a stolen key ends at once", tokens, scenario.Alone, aboutAccess, 60),
		c("bundle-cut", "the making of a bundle and an installation from it go on where they were cut, measured in bytes", bundleCut, scenario.Apart, aboutBundles, 140),
		c("support-secrets", "an archive for support has the logs and journals of every host that can be reached, and none of ten planted secrets", supportSecrets, scenario.Shares, aboutAccess, 30),
		c("recording-race", "recordings that begin at any moment around drains are refused or come to their end, and none is cut", recordingRace, scenario.Shares, aboutUpdates, 45),
		c("bad-release", "a release that is ill stops at the first host that shows it, which is as it was before", badRelease, scenario.Shares, aboutUpdates, 50),
		c("backup", "a backup of a database that serves is proved, restored for who names the site, and refused where it is spoiled", backup, scenario.Shares, aboutUpdates, 150),
		c("migration-fails", "a migration that fails on the site's own data leaves the database as it was, and the former release serves", migrationFails, scenario.Shares, aboutUpdates, 90),
		c("migration", "an update changes the database while a client writes, with a proved backup, and loses nothing that was acknowledged", migration, scenario.Shares, aboutUpdates, 120),
		c("update-kill-anywhere", "an update struck at any kind of step ends old or new, by another controller or by the host itself", updateKillAnywhere, scenario.Shares, aboutUpdates, 60),
		c("links-lost", "links that are lost during a healthy soak take nobody back and stop nothing", linksLost, scenario.Shares, aboutUpdates, 45),
		c("state-lost", "a controller that lost its folder in the middle of a change goes on with the site file alone", stateLost, scenario.Shares, aboutUpdates, 40),
		c("engine-hangs", "a Docker engine that hangs for a moment, wherever it is, ends nothing", engineHangs, scenario.Shares, aboutUpdates, 40),
		c("disk-full", "a host whose disk runs full while it is changed goes back in time by itself", diskFull, scenario.Shares, aboutUpdates, 56),
		c("power-cut", "a host whose power is cut while it is updated loses what was not synced, and ends old or new", powerCut, scenario.Shares, aboutUpdates, 45),
		c("engine-mute", "a media engine that answers nothing is taken back from its first moment; in the soak it may record, and is left alone", engineMute, scenario.Shares, aboutUpdates, 45),
		c("fails-after-reboot", "a release that is ill only once its host has booted is taken back without another boot", failsAfterReboot, scenario.Shares, aboutUpdates, 60),
		c("foreign-postinst", "somebody's package that restarts Docker in the middle of the packages cuts nothing", foreignPostinst, scenario.Shares, aboutUpdates, 45),
		c("orphan", "a former container's process that holds the ports is named and left alone", orphan, scenario.Shares, aboutUpdates, 40),
		c("engine-upgrade", "a Docker engine that somebody else upgrades between two runs cuts nothing and stops no update", engineUpgrade, scenario.Shares, aboutUpdates, 30),
		c("site-checks", "a site's own check that is required takes a host back, a wanted one is told, and so is a hook that hangs", siteChecks, scenario.Shares, aboutUpdates, 45),
		c("rolling", "a release rolls over the site while clients ask and a recording runs: none is lost, the floor holds", rolling, scenario.Alone, aboutUpdates, 100),
		c("dongle-replugged", "a USB licence key that is pulled out and put back is seen again by the engine that runs, which records on", dongleReplugged, scenario.Shares, aboutInstalls, 40),
		c("mixed-fleet", "one site of three Ubuntus with both image stores is installed, updated and taken back, also by one bundle for all", mixedFleet, scenario.Alone, aboutUpdates, 200),
		c("guided", "a person at a terminal comes from nothing to a serving site, question by question", guided, scenario.Shares, aboutInstalls, 60),
		c("add-media-server", "a media server is added later by questions, and the servers before it are not disturbed", addMediaServer, scenario.Shares, aboutInstalls, 60),
		c("replace", "a recording media server is replaced by one of another LTS and takes its place back; no recording is lost, also where controllers are killed", replace, scenario.Shares, aboutUpdates, 150),
		c("offline", "a site is installed and updated from bundles alone, and no packet leaves it", offline, scenario.Alone, aboutBundles, 150),
		c("offline-single", "one bare server that reaches nobody installs and updates itself from a bundle in parts, by its maker's key", offlineSingle, scenario.Alone, aboutBundles, 65),
		c("verdicts", "each kind of trouble on the network, made for real, is called by its name and its cause", verdicts, scenario.Alone, aboutAccess, 30),
		c("bad-hosts", "each thing that is wrong with a server, made for real, is found and named with its fix; a healthy one of today only passes", badHosts, scenario.Alone, aboutAccess, 60),
		c("against-nmap", "ports that are open, closed, dropped and rejected are what nmap says they are", againstNmap, scenario.Alone, aboutAccess, 9),
		c("big-check", "a check of the largest site takes little longer than one question that nobody answers", bigCheck, scenario.Alone, aboutAccess, 25),
		c("check-leaves-nothing", "a check leaves no file, listener or process on a host, also when it is killed", checkLeavesNothing, scenario.Alone, aboutAccess, 28),
	}
	return scenario.Suite{Scenarios: all, Leave: func(ctx context.Context, e *scenario.Env) error {
		if kept.single == nil {
			return nil
		}
		return (&Env{*e, kept}).removeSingle(ctx)
	}}
}
