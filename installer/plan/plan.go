// Package plan turns a site, a release and the hosts' facts into the ordered steps
// of every host. It is pure: no clock, no network, no file. The same input gives
// the same plan and digest, so what a dry run showed is what a later run does. It
// depends only on those facts that a run does not change (Ubuntu release, architecture).
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gowebpki/jcs"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
)

// Schema names the form of a Plan.
const Schema = "valtctl/plan/v1"

// Plan is the work for a whole site.
type Plan struct {
	Schema  string     `json:"schema"`
	Site    string     `json:"site"`
	Release string     `json:"release"`
	Hosts   []HostPlan `json:"hosts"` // in the site file's order
	// Replaced names the servers that others have taken the place of, and that keep recordings.
	Replaced []string `json:"replaced,omitempty"`
}

// HostPlan is the work for one host, in order: the steps of the fetch half, then
// those of the apply half.
type HostPlan struct {
	Host  string      `json:"host"`
	Roles []string    `json:"roles"`
	Steps []step.Spec `json:"steps"`
}

// Digest is the SHA-256 of the plan as RFC 8785 JSON, in hex. It covers no time and no
// evidence, so an unchanged site has an unchanged digest.
func (p *Plan) Digest() (string, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("writing the plan as JSON: %w", err)
	}
	canonical, err := jcs.Transform(raw)
	if err != nil {
		return "", fmt.Errorf("writing the plan as RFC 8785 JSON: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

// Health finds the step that asks whether a role of the host serves.
func (h HostPlan) Health(r site.Role) (step.Spec, bool) {
	id := healthID(r)
	for _, s := range h.Steps {
		if s.Kind == docker.KindHealth && s.ID == id {
			return s, true
		}
	}
	return step.Spec{}, false
}

// Secrets are the names of the secrets that the host's steps ask for, in order: what of the site's
// files it needs, and no more. A parameter that names one is called secret, or ends so.
func (h HostPlan) Secrets() ([]string, error) {
	var names []string
	var walk func(key string, v any)
	walk = func(key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, one := range v {
				walk(k, one)
			}
		case []any:
			for _, one := range v {
				walk(key, one)
			}
		case string:
			if v != "" && (key == "secret" || strings.HasSuffix(key, "_secret")) {
				names = append(names, v)
			}
		}
	}
	for _, s := range h.Steps {
		var params any
		if err := json.Unmarshal(s.Params, &params); err != nil {
			return nil, fmt.Errorf("reading which secrets step %s asks for: %w", s.ID, err)
		}
		walk("", params)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Host finds a host's plan by its name.
func (p *Plan) Host(name string) (HostPlan, bool) {
	for _, h := range p.Hosts {
		if h.Host == name {
			return h, true
		}
	}
	return HostPlan{}, false
}
