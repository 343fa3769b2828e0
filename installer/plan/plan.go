// Package plan turns a site, a release and the hosts' facts into the ordered steps
// of every host. It is pure: no clock, no network, no file. The same input gives
// the same plan and digest, so what a dry run showed is what a later run does. It
// depends only on those facts that a run does not change (Ubuntu release, architecture).
package plan

import (
	"ipivs.com/valtctl/installer/step"
)

// Plan is the work for a whole site.
type Plan struct {
	Schema  string     `json:"schema"` // "valtctl/plan/v1"
	Site    string     `json:"site"`
	Release string     `json:"release"`
	Hosts   []HostPlan `json:"hosts"`
}

// HostPlan is the work for one host, in order.
type HostPlan struct {
	Host  string      `json:"host"`
	Roles []string    `json:"roles"`
	Steps []step.Spec `json:"steps"`
}
