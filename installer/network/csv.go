package network

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
)

// WriteCSV writes one row a flow below the header that the contract fixes. GRE and ESP
// have an empty port.
func WriteCSV(w io.Writer, flows []Flow) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"id", "source", "source_address", "destination", "destination_address", "protocol", "port", "service", "basis"}}
	for _, f := range flows {
		rows = append(rows, []string{
			f.ID, f.Source.Name, f.Source.Address, f.Destination.Name, f.Destination.Address,
			string(f.Protocol), f.PortText(), f.Service, string(f.Basis),
		})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("writing flows as CSV: %w", err)
	}
	return nil
}

// PortText is the port as a number, and empty where the protocol has none.
func (f Flow) PortText() string {
	if f.Port == 0 {
		return ""
	}
	return strconv.Itoa(int(f.Port))
}
