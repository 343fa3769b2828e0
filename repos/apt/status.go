package apt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Installed is one stanza of dpkg's status file: a package that is installed, half
// installed, or removed with its configuration kept.
type Installed struct {
	Name    string
	Arch    string // empty only for a package that dpkg knows by name alone
	Version string // empty where dpkg knows none

	// Abbrev is the state as `dpkg-query -f '${db:Status-Abbrev}'` prints it,
	// without its trailing space: "ii", "rc", "iU", "iHR". A word that dpkg(1)
	// does not name shows as "?".
	Abbrev string
}

// Unpacked says whether the package's files are on the disk, whether or not it is
// configured: every state but not-installed, config-files and half-installed.
func (p Installed) Unpacked() bool {
	return len(p.Abbrev) >= 2 && bytes.IndexByte([]byte("UFWti"), p.Abbrev[1]) >= 0
}

// ReadStatus reads dpkg's status file (/var/lib/dpkg/status, deb822 as dpkg itself
// writes it). It takes four fields of a stanza and skips the rest without copying,
// since every run reads the file of every host. Errors name the line.
func ReadStatus(r io.Reader) ([]Installed, error) {
	var all []Installed
	var p Installed
	lines := lineReader{r: bufio.NewReaderSize(r, 64<<10)}
	seen := false // any line of the present stanza
	end := func() error {
		if seen && p.Name == "" {
			return fmt.Errorf("reading dpkg's status: line %d: a stanza without a Package field", lines.n)
		}
		if seen {
			all = append(all, p)
		}
		p, seen = Installed{}, false
		return nil
	}
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return all, end()
		}
		if err != nil {
			return nil, fmt.Errorf("reading dpkg's status: line %d: %w", lines.n, err)
		}
		switch {
		case len(bytes.TrimRight(line, " \t")) == 0:
			if err := end(); err != nil {
				return nil, err
			}
		case line[0] == ' ' || line[0] == '\t': // continues a field we do not take
		default:
			seen = true
			if err := p.take(line); err != nil {
				return nil, fmt.Errorf("reading dpkg's status: line %d: %w", lines.n, err)
			}
		}
	}
}

// take stores the field in line if it is one of the four.
func (p *Installed) take(line []byte) error {
	name, value, found := bytes.Cut(line, []byte{':'})
	if !found {
		return fmt.Errorf("%.40q has no colon", line)
	}
	value = bytes.TrimSpace(value)
	switch string(name) {
	case "Package":
		p.Name = string(value)
	case "Architecture":
		p.Arch = string(value)
	case "Version":
		p.Version = string(value)
	case "Status":
		abbrev, err := abbreviate(value)
		if err != nil {
			return err
		}
		p.Abbrev = abbrev
	}
	return nil
}

// abbreviate turns "install ok installed" into "ii" (dpkg-query(1), db:Status-Abbrev).
func abbreviate(status []byte) (string, error) {
	if string(status) == "install ok installed" { // nearly every stanza
		return "ii", nil
	}
	words := bytes.Fields(status)
	if len(words) != 3 {
		return "", fmt.Errorf("status %q is not three words", status)
	}
	abbrev := want(words[0]) + state(words[2])
	if string(words[1]) == "reinstreq" {
		abbrev += "R"
	}
	return abbrev, nil
}

// want is the letter of the wanted state.
func want(word []byte) string {
	switch string(word) {
	case "install":
		return "i"
	case "hold":
		return "h"
	case "deinstall":
		return "r"
	case "purge":
		return "p"
	case "unknown":
		return "u"
	}
	return "?"
}

// state is the letter of the present state.
func state(word []byte) string {
	switch string(word) {
	case "not-installed":
		return "n"
	case "config-files":
		return "c"
	case "half-installed":
		return "H"
	case "unpacked":
		return "U"
	case "half-configured":
		return "F"
	case "triggers-awaited":
		return "W"
	case "triggers-pending":
		return "t"
	case "installed":
		return "i"
	}
	return "?"
}

// lineReader yields lines without their end; of a line longer than its buffer only the
// beginning, which is enough for the fields that are taken. n counts the lines.
type lineReader struct {
	r *bufio.Reader
	n int
}

func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return nil, err
	}
	l.n++
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
