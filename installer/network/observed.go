package network

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ObservedTable is the id under which what was observed stands, beside the vendor's tables.
const ObservedTable = "observed"

// ObservedTitle is its heading.
const ObservedTitle = "Observed by a check, and not on the vendor's page"

// rowObserved is the only row of it.
const rowObserved = ObservedTable + ".blobs"

// Observed is the flow to where another one was led, at "name:port": the registry's blobs come from there. The vendor's
// page does not have it, and what it has stays as it is.
func Observed(led Flow, at string) Flow {
	name, text := at, ""
	if colon := strings.LastIndex(at, ":"); colon >= 0 {
		name, text = at[:colon], at[colon+1:]
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		port = 443
	}
	return Flow{
		ID: fmt.Sprintf("%s/%s/%s", rowObserved, led.Source.Name, name), Rows: []string{rowObserved}, Source: led.Source,
		Destination: Party{Kind: KindVendor, Name: name, Address: name, label: name},
		Protocol:    TCP, Port: uint16(port), Service: "HTTPS Container images", Basis: Seen,
	}
}

// WithObserved adds flows that were observed, but for what the list has already.
func WithObserved(flows, observed []Flow) []Flow {
	for _, o := range observed {
		if !slices.ContainsFunc(flows, func(f Flow) bool {
			return f.Source.Address == o.Source.Address && f.Destination.Address == o.Destination.Address && f.Protocol == o.Protocol && f.Port == o.Port
		}) {
			flows = append(flows, o)
		}
	}
	return flows
}

func explainObserved() map[string]Explanation {
	return map[string]Explanation{
		rowObserved: {Purpose: "Servers download VALT's container images: the registry sends them there for what the images are made of.", Lifetime: Maintenance,
			Unclear: "The page does not name this host. A check was led there by the registry; it may become another one without notice."},
	}
}
