package scenario

import (
	"errors"
	"fmt"
	"strings"
)

// All is every scenario, in the order in which they are listed. A new one is a file of
// its own and a line here.
func All() []Scenario {
	return []Scenario{
		{"lab-sealed", "no outside name resolves, the vendor's do, and every mirror verifies", labSealed},
		{"lab-reboot", "a host reboots from inside and keeps its disk and its address", labReboot},
		{"images-serve", "a release's images serve by themselves, say when a part is missing, and lose a killed recording", imagesServe},
		{"releases", "a tampered target, a wrong signature and a foreign root are refused with nothing changed", releasesRefused},
		{"install-twice", "a dry run shows every change, the install does just that, and a second one changes nothing", installTwice},
		{"controller-killed", "a killed controller stops nothing, and any other one finishes", controllerKilled},
		{"link-cut", "a host cut off in the middle of apt ends as if it had not been", linkCut},
		{"host-rebooted", "a host rebooted in the middle ends as if it had not been", hostRebooted},
		{"single-server", "one bare server installs itself without SSH and serves both roles", singleServer},
		{"guided", "a person at a terminal comes from nothing to a serving site, question by question", guided},
		{"add-media-server", "a media server is added later by questions, and the servers before it are not disturbed", addMediaServer},
		{"rolling", "a release rolls over the site while clients ask and a recording runs: none is lost, the floor holds", rolling},
		{"recording-race", "recordings that begin at any moment around drains are refused or come to their end, and none is cut", recordingRace},
		{"bad-release", "a release that is ill stops at the first host that shows it, which is as it was before", badRelease},
		{"update-kill-anywhere", "an update struck at any kind of step ends old or new, by another controller or by the host itself", updateKillAnywhere},
		{"single-server-update", "the one server updates itself, application and media, and rolls back", singleServerUpdate},
		{"two-controllers", "of two runs one works; one that slept past its lease changes nothing; a reinstalled host gives out no old token", twoControllers},
		{"fleet-simulation", "rollouts over fleets on paper never breach budget or floor, and explain every host", fleetSimulation},
		{"offline", "a site is installed and updated from bundles alone, and no packet leaves it", offline},
		{"offline-single", "one bare server that reaches nobody installs and updates itself from a bundle in parts, by its maker's key", offlineSingle},
		{"delta", "a bundle for servers that have most of a release carries what changed and no more, once", delta},
		{"damage", "a bundle that a medium or a person damaged is refused by the name of the part or blob, and nothing is changed", damage},
		{"bundle-cut", "the making of a bundle and an installation from it go on where they were cut, measured in bytes", bundleCut},
		{"support-secrets", "an archive for support has the logs and journals of every host that can be reached, and none of ten planted secrets", supportSecrets},
		{"odd-hosts", "servers with odd SSH servers, shells, sudo and mounts get the agent and answer", oddHosts},
		{"three-weeks", "a site left to itself for three weeks updates itself when it may and tells what it must, whatever happens", threeWeeks},
		{"restricted-key", "with the key of unattended updates a file step, a shell, a forwarding, an older and an unsigned release are refused", restrictedKey},
		{"firewall", "a managed firewall lets in exactly what the site's flows name, and undoes itself if it shuts the controller out", firewall},
		{"verdicts", "each kind of trouble on the network, made for real, is called by its name and its cause", verdicts},
		{"against-nmap", "ports that are open, closed, dropped and rejected are what nmap says they are", againstNmap},
		{"big-check", "a check of the largest site takes little longer than one question that nobody answers", bigCheck},
		{"check-leaves-nothing", "a check leaves no file, listener or process on a host, also when it is killed", checkLeavesNothing},
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
