package survey

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/facts"
)

// The table that Ubuntu keeps up to date on every host (package distro-info-data).
const distroInfo = "/usr/share/distro-info/ubuntu.csv"

// support is how long this Ubuntu gets updates. Another system has no answer.
func (h *host) support(context.Context) (answer, error) {
	os, err := facts.ReadOS(h.Root)
	if err != nil || os.ID != "ubuntu" {
		return nil, err
	}
	text, err := h.read(distroInfo)
	source := distroInfo
	if err != nil || text == "" {
		text, source = releaseCycle, "ubuntu.com/about/release-cycle, as of November 2026"
	}
	found, err := readSupport(text, os.VersionID)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", source, err)
	}
	found.Source = source
	return func(r *Reply) { r.Support = &found }, nil
}

// releaseCycle stands in for a host's own table: ubuntu.com/about/release-cycle, LTS
// releases alone, in the form of distro-info-data.
const releaseCycle = `version,codename,series,created,release,eol,eol-server,eol-esm
18.04 LTS,Bionic Beaver,bionic,2017-10-19,2018-04-26,2023-05-31,2023-05-31,2028-04-26
20.04 LTS,Focal Fossa,focal,2019-10-17,2020-04-23,2025-05-29,2025-05-29,2030-04-23
22.04 LTS,Jammy Jellyfish,jammy,2021-10-14,2022-04-21,2027-06-01,2027-06-01,2032-04-21
24.04 LTS,Noble Numbat,noble,2023-10-12,2024-04-25,2029-05-31,2029-05-31,2034-04-25
26.04 LTS,Resolute Raccoon,resolute,2025-10-09,2026-04-23,2031-05-29,2031-05-29,2036-04-23
`

// readSupport finds a version in distro-info's table. Rows of short-lived releases have
// fewer columns.
func readSupport(table, version string) (Support, error) {
	lines := csv.NewReader(strings.NewReader(table))
	lines.FieldsPerRecord = -1
	rows, err := lines.ReadAll()
	if err != nil {
		return Support{}, fmt.Errorf("reading the table of releases: %w", err)
	}
	if len(rows) == 0 {
		return Support{}, errors.New("the table of releases is empty")
	}
	column := func(row []string, name string) string {
		if i := slices.Index(rows[0], name); i >= 0 && i < len(row) {
			return row[i]
		}
		return ""
	}
	for _, row := range rows[1:] {
		number, lts, _ := strings.Cut(column(row, "version"), " ")
		if number != version {
			continue
		}
		found := Support{LTS: lts == "LTS"}
		if found.Until, err = time.Parse(time.DateOnly, column(row, "eol")); err != nil {
			return Support{}, fmt.Errorf("reading the end of %s: %w", version, err)
		}
		if esm := column(row, "eol-esm"); esm != "" {
			if found.Paid, err = time.Parse(time.DateOnly, esm); err != nil {
				return Support{}, fmt.Errorf("reading the paid end of %s: %w", version, err)
			}
		}
		return found, nil
	}
	return Support{}, fmt.Errorf("it has no Ubuntu %s", version)
}
