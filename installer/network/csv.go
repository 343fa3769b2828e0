package network

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"ipivs.com/valtctl/repos/plain"
)

// WriteCSV writes one row a flow below the header that the contract fixes. GRE and ESP
// have an empty port.
func WriteCSV(w io.Writer, flows []Flow) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"id", "source", "source_address", "destination", "destination_address", "protocol", "port", "service", "basis"}}
	for _, f := range flows {
		rows = append(rows, cells(
			f.ID, f.Source.Name, f.Source.Address, f.Destination.Name, f.Destination.Address,
			string(f.Protocol), f.PortText(), f.Service, string(f.Basis),
		))
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("writing flows as CSV: %w", err)
	}
	return nil
}

// cells keep a spreadsheet from reading a name of the site file as a formula.
func cells(row ...string) []string {
	for i := range row {
		row[i] = plain.Cell(row[i])
	}
	return row
}

// PortText is the port as a number, and empty where the protocol has none.
func (f Flow) PortText() string {
	if f.Port == 0 {
		return ""
	}
	return strconv.Itoa(int(f.Port))
}
