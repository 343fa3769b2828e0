package scenario

import (
	"errors"
	"fmt"
	"strings"
)

// All is every scenario, in the order in which they are listed and run. A new one is a file
// of its own and a line here. Those that begin with an installed site follow one that leaves
// it so, and those that leave something else on the hosts come last before those that make
// them bare; run by itself, each makes what it begins with.
func All() []Scenario {
	return []Scenario{
		{"lab-sealed", "no outside name resolves, the vendor's do, and every mirror verifies", labSealed, alone},
		{"lab-reboot", "a host reboots from inside and keeps its disk and its address", labReboot, alone},
		{"odd-hosts", "servers with odd SSH servers, shells, sudo and mounts get the agent and answer", oddHosts, alone},
		{"releases", "a tampered target, a wrong signature and a foreign root are refused with nothing changed", releasesRefused, alone},
		{"install-twice", "a dry run shows every change, the install does just that, and a second one changes nothing", installTwice, alone},
		{"delta", "a bundle for servers that have most of a release carries what changed and no more, once", delta, alone},
		{"damage", "a bundle that a medium or a person damaged is refused by the name of the part or blob, and nothing is changed", damage, alone},
		{"three-weeks", "a site left to itself for three weeks updates itself when it may and tells what it must, whatever happens", threeWeeks, alone},
		{"restricted-key", "with the key of unattended updates a file step, a shell, a forwarding, an older and an unsigned release are refused", restrictedKey, alone},
		{"firewall", "a managed firewall lets in exactly what the site's flows name, and undoes itself if it shuts the controller out", firewall, alone},
		{"controller-killed", "a killed controller stops nothing, and any other one finishes", controllerKilled, shares},
		{"link-cut", "a host cut off in the middle of apt ends as if it had not been", linkCut, shares},
		{"host-rebooted", "a host rebooted in the middle ends as if it had not been", hostRebooted, shares},
		{"images-serve", "a release's images serve by themselves, say when a part is missing, and lose a killed recording", imagesServe, apart},
		{"fleet-simulation", "rollouts over fleets on paper never breach budget or floor, and explain every host", fleetSimulation, apart},
		{"single-server", "one bare server installs itself without SSH and serves both roles", singleServer, apart},
		{"single-server-update", "the one server updates itself, application and media, and rolls back", singleServerUpdate, apart},
		{"two-controllers", "of two runs one works; one that slept past its lease changes nothing; a reinstalled host gives out no old token", twoControllers, shares},
		{"bundle-cut", "the making of a bundle and an installation from it go on where they were cut, measured in bytes", bundleCut, apart},
		{"support-secrets", "an archive for support has the logs and journals of every host that can be reached, and none of ten planted secrets", supportSecrets, shares},
		{"recording-race", "recordings that begin at any moment around drains are refused or come to their end, and none is cut", recordingRace, shares},
		{"bad-release", "a release that is ill stops at the first host that shows it, which is as it was before", badRelease, shares},
		{"update-kill-anywhere", "an update struck at any kind of step ends old or new, by another controller or by the host itself", updateKillAnywhere, shares},
		{"rolling", "a release rolls over the site while clients ask and a recording runs: none is lost, the floor holds", rolling, alone},
		{"guided", "a person at a terminal comes from nothing to a serving site, question by question", guided, shares},
		{"add-media-server", "a media server is added later by questions, and the servers before it are not disturbed", addMediaServer, shares},
		{"offline", "a site is installed and updated from bundles alone, and no packet leaves it", offline, alone},
		{"offline-single", "one bare server that reaches nobody installs and updates itself from a bundle in parts, by its maker's key", offlineSingle, alone},
		{"verdicts", "each kind of trouble on the network, made for real, is called by its name and its cause", verdicts, alone},
		{"against-nmap", "ports that are open, closed, dropped and rejected are what nmap says they are", againstNmap, alone},
		{"big-check", "a check of the largest site takes little longer than one question that nobody answers", bigCheck, alone},
		{"check-leaves-nothing", "a check leaves no file, listener or process on a host, also when it is killed", checkLeavesNothing, alone},
	}
}

// Find is the scenario of that name.
func Find(all []Scenario, name string) (Scenario, error) {
	var names []string
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("there is no scenario %s; there are %s", name, strings.Join(names, ", "))
}

// oneLine keeps a verdict on one line, whatever an error holds.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}
