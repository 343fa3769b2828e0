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

// Host finds a host's plan by its name.
func (p *Plan) Host(name string) (HostPlan, bool) {
	for _, h := range p.Hosts {
		if h.Host == name {
			return h, true
		}
	}
	return HostPlan{}, false
}
