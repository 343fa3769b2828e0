package txn

import (
	"time"

	"ipivs.com/valtctl/installer/facts"
)

// writeReplaced says which host has taken this one's place. What it was brought to last stays
// known: it may take its place back.
func (s *Store) writeReplaced(r Request) error {
	var was facts.Installed
	if err := readJSON(s.hostFile, &was); err != nil {
		return err
	}
	was.ReplacedBy, was.Time = r.ReplacedBy, s.now().UTC().Format(time.RFC3339)
	return writeJSON(s.hostFile, was, 0o644)
}

// writeInstalled says what the host now is. The release that it had before stays known:
// a rollback goes there.
func (s *Store) writeInstalled(r Request) error {
	var was facts.Installed
	_ = readJSON(s.hostFile, &was) // none yet, or unreadable: then nothing is known of before
	previous := was.Previous
	if was.Release != "" && was.Release != r.Release {
		previous = was.Release
	}
	return writeJSON(s.hostFile, facts.Installed{
		Site: r.Site, Host: r.Host, Roles: r.Roles, Release: r.Release, Previous: previous, PlanDigest: r.PlanDigest,
		Time: s.now().UTC().Format(time.RFC3339),
	}, 0o644)
}
