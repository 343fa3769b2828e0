package probe

// ListenRequest asks a machine to listen where nothing does, until the call ends.
type ListenRequest struct {
	Ports []uint16 `json:"ports"` // TCP
	// Token is what a listener of ours writes to whoever connects, so that an answer from
	// anything else is known as such. It is unguessable and no secret.
	Token string `json:"token"`
}

// ListenEvent is one line of what a listening machine tells. The first ones are States,
// one a port; Arrivals follow as they come.
type ListenEvent struct {
	State   *PortState `json:"state,omitempty"`
	Arrival *Arrival   `json:"arrival,omitempty"`
}

// PortState is who listens on a port.
type PortState struct {
	Port uint16 `json:"port"`
	Ours bool   `json:"ours"`          // we listen there now
	By   string `json:"by,omitempty"`  // the program that already did: "nginx (pid 812)"
	Err  string `json:"err,omitempty"` // why neither
	// Watched says that packets are seen before the machine's firewall, so that what has no
	// Arrival never came. Without it only accepted connections of ours have one.
	Watched bool `json:"watched,omitempty"`
}

// Arrival is a connection's first packet as it reached the machine, before its firewall.
type Arrival struct {
	From string `json:"from"` // address:port
	Port uint16 `json:"port"`
}
