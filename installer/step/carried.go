package step

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Carried is where a run's bundle answers on this host: a port on loopback that the agent
// carries to the controller. It is a secret of the run.
type Carried struct {
	Address  string `json:"address"` // 127.0.0.1:port
	User     string `json:"user"`
	Password string `json:"password"`
}

// ReadCarried reads a secret that holds one.
func ReadCarried(h *Machine, secret string) (Carried, error) {
	text, err := h.Secret(secret)
	if err != nil {
		return Carried{}, err
	}
	var c Carried
	if err := json.Unmarshal(text, &c); err != nil || !strings.HasPrefix(c.Address, "127.0.0.1:") {
		return Carried{}, fmt.Errorf("reading where the bundle answers: it is no port of this host (%w)", err)
	}
	return c, nil
}
