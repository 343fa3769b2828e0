// Package drain keeps new sessions out of a host while it is changed, waits for the running
// ones, and tells from outside whether a host serves. Its steps run on the host; which
// hosts are drained when is for package updater.
package drain

import "ipivs.com/valtctl/installer/wowza"

// Params are the parameters of the step kind "drain".
type Params struct {
	// ControlPorts can start a recording: they are closed for everybody but this host,
	// established connections included.
	ControlPorts []int `json:"control_ports,omitempty"`
	// SessionPorts are closed for new sessions of everybody but From; running ones go on.
	SessionPorts []int `json:"session_ports,omitempty"`
	// From are the addresses of the site's own hosts, which ask whether this one serves.
	From []string `json:"from,omitempty"`
	// Engine is the media engine whose recorders are waited for; nil: there is none here.
	Engine *wowza.Access `json:"engine,omitempty"`
	// Quiet lies between the two readings that must both find nothing recorded, a Go
	// duration.
	Quiet string `json:"quiet,omitempty"`
	// Within is how long to wait for recordings, a Go duration; then the host is left as
	// it was (step.ErrNotDrained).
	Within string `json:"within,omitempty"`
	// AskElsewhere has who follows asked, once the gate is closed, whether nothing is recorded on
	// the site's other hosts: this one drives their recordings.
	AskElsewhere bool `json:"ask_elsewhere,omitempty"`
	// Before and After are programs of the site's on this host: run before the gate is closed, and
	// once it is open again or all is over. HookWithin is how long each may take, a Go duration.
	Before     string `json:"before,omitempty"`
	After      string `json:"after,omitempty"`
	HookWithin string `json:"hook_within,omitempty"`
	// Interrupt says that a person, naming this host, accepts that recordings are cut.
	Interrupt bool `json:"interrupt,omitempty"`
}
