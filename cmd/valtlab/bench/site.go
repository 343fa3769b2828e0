package bench

import (
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
)

// siteName is the lab's site file, in its folder.
const siteName = "site.yaml"

// host is one of the site file's.
type host struct {
	Name    string   `yaml:"name"`
	Address string   `yaml:"address"`
	Roles   []string `yaml:"roles"`
}

// site is what the bench reads of the site file.
type site struct {
	Name  string `yaml:"name"`
	Hosts []host `yaml:"hosts"`
	SSH   struct {
		User     string `yaml:"user"`
		Identity string `yaml:"identity"`
	} `yaml:"ssh"`
}

func readSite(path string) (site, error) {
	var s site
	text, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("reading the lab's site file (valtlab up writes it): %w", err)
	}
	if err := yaml.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", path, err)
	}
	return s, nil
}

func readHosts(path string) ([]host, error) {
	s, err := readSite(path)
	return s.Hosts, err
}

// withPorts is the site file with an SSH port of its own for each host, by the host's
// name. Everything else stays, so that the plan does too.
func withPorts(text []byte, ports map[string]int) ([]byte, error) {
	var file yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("reading the site file: %w", err)
	}
	for _, item := range file {
		hosts, ok := item.Value.([]any)
		if item.Key != "hosts" || !ok {
			continue
		}
		for i, entry := range hosts {
			fields, ok := entry.(yaml.MapSlice)
			if !ok {
				return nil, fmt.Errorf("reading the site file: hosts[%d] is no mapping", i)
			}
			name, _ := fields.ToMap()["name"].(string)
			hosts[i] = append(fields, yaml.MapItem{Key: "ssh", Value: map[string]int{"port": ports[name]}})
		}
	}
	changed, err := yaml.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("writing the site file: %w", err)
	}
	return changed, nil
}
