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
		{"odd-hosts", "servers with odd SSH servers, shells, sudo and mounts get the agent and answer", oddHosts},
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
