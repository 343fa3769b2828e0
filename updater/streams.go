package updater

import (
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/site"
)

// Offline is a media server whose streams VALT loses while it is drained and changed. VALT mails
// that to the customer by itself, so who gets those mails is to know beforehand.
type Offline struct {
	Host     string        `json:"host"`
	Wave     int           `json:"wave,omitempty"` // from 1; 0: there are none
	Expected time.Duration `json:"expected_ns,omitempty"`
}

func (o Offline) String() string {
	if o.Wave == 0 {
		return o.Host
	}
	return fmt.Sprintf("%s (wave %d, for about %s)", o.Host, o.Wave, o.Expected.Round(time.Second))
}

// OfflineMails says which mails VALT itself may send, about which servers, and when; empty: none.
// When follows the servers' names: "in the maintenance window that opens on …".
func OfflineMails(all []Offline, when string) string {
	if len(all) == 0 {
		return ""
	}
	names := make([]string, len(all))
	for i, o := range all {
		names[i] = o.String()
	}
	return fmt.Sprintf("VALT itself may mail \"stream offline\" about the cameras of %s %s. No camera is at fault then; tell whoever gets these mails",
		strings.Join(names, ", "), when)
}

// streams are the media servers of the preview that are drained, in its order.
func (p *Preview) streams(s *site.Site) []Offline {
	var all []Offline
	for _, h := range p.Hosts {
		if is, ok := s.Host(h.Host); ok && h.Drained && is.HasEngine() {
			all = append(all, Offline{h.Host, h.Wave, h.Expected})
		}
	}
	return all
}

// MediaServers are all that a site's streams could be lost on, for when it is not known which will be.
func MediaServers(s *site.Site) []Offline {
	var all []Offline
	for _, h := range s.Hosts {
		if h.HasEngine() {
			all = append(all, Offline{Host: h.Name})
		}
	}
	return all
}
