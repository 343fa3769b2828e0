package cases

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

// report is what check says with -o json, as far as scenarios go by it.
type report struct {
	Exit   int `json:"exit"`
	Result struct {
		Results    []answer      `json:"results"`
		Connecting time.Duration `json:"connecting"`
		Probing    time.Duration `json:"probing"`
	} `json:"result"`
}

// answer is what it says about one flow or one question to a host.
type answer struct {
	ID       string        `json:"id"`
	Host     string        `json:"host"`
	Subject  string        `json:"subject"`
	Status   string        `json:"status"`
	Verdict  string        `json:"verdict"`
	Cause    string        `json:"cause"`
	Lost     string        `json:"lost"`
	Evidence []string      `json:"evidence"`
	Fix      string        `json:"fix"`
	Took     time.Duration `json:"took"`
	Flow     *struct {
		Destination struct {
			Address string `json:"address"`
		} `json:"destination"`
		Port  uint16 `json:"port"`
		Basis string `json:"basis"`
	} `json:"flow"`
}

// find is the answer to a flow, which may be one of several rows that merged into one
// (their ids joined with +). The rows of a flow that merged share all but their id.
func (r report) find(id string) (answer, error) {
	for _, a := range r.Result.Results {
		for part := range strings.SplitSeq(a.ID, "+") {
			if part == id {
				return a, nil
			}
		}
	}
	return answer{}, fmt.Errorf("the report says nothing about %s", id)
}

// failed is whether a row of the vendor's does not work.
func (r report) failed() bool {
	for _, a := range r.Result.Results {
		if a.Status == "fail" {
			return true
		}
	}
	return false
}

// check runs valtctl check for a topic and reads its report. The exit code must be 3 if
// something failed and 0 otherwise, and the report must say the same.
func (e *Env) check(ctx context.Context, topic, site string, args ...string) (report, scenario.Result, error) {
	var r report
	result, err := e.Run(ctx, append([]string{"check", topic, "--site", site, "-o", "json"}, args...)...)
	if err != nil {
		return r, result, err
	}
	if result.Code != 0 && result.Code != 3 {
		return r, result, fmt.Errorf("valtctl check %s: exit %d: %s%s", topic, result.Code, result.Stderr, result.Stdout)
	}
	if err := json.Unmarshal([]byte(result.Stdout), &r); err != nil {
		return r, result, fmt.Errorf("reading the report of valtctl check %s: %w", topic, err)
	}
	if want := map[bool]int{true: 3}[r.failed()]; result.Code != want || r.Exit != want {
		return r, result, fmt.Errorf("valtctl check %s: exit %d, and the report says %d, where it should be %d", topic, result.Code, r.Exit, want)
	}
	return r, result, nil
}

// deriveSite writes a site file beside the lab's own: a copy of it in which change has
// changed what it likes. Its paths are relative, so it stands in the same folder.
func (e *Env) deriveSite(name string, change func(site map[string]any)) (string, error) {
	text, err := readFile(e.Lab.Path("site.yaml"))
	if err != nil {
		return "", err
	}
	site := map[string]any{}
	if err := yaml.Unmarshal(text, &site); err != nil {
		return "", fmt.Errorf("reading the lab's site file: %w", err)
	}
	change(site)
	file := name + ".yaml"
	if text, err = yaml.Marshal(site); err != nil {
		return "", fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.WriteFile(e.Lab.Path(file), text, 0o644); err != nil {
		return "", fmt.Errorf("writing %s: %w", file, err)
	}
	return file, nil
}

// withNetwork adds to a site's network: section.
func withNetwork(site map[string]any, more map[string]any) {
	network, _ := site["network"].(map[string]any)
	network = maps.Clone(network)
	maps.Copy(network, more)
	site["network"] = network
}

// withHost adds to one host's entry.
func withHost(site map[string]any, name string, more map[string]any) {
	hosts, _ := site["hosts"].([]any)
	for _, h := range hosts {
		if host, ok := h.(map[string]any); ok && host["name"] == name {
			maps.Copy(host, more)
		}
	}
}
