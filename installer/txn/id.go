package txn

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"

	"ipivs.com/valtctl/repos/problem"
)

// newID makes a transaction's id: the time to the second in UTC, so that ids sort by
// age, and eight random hex digits. It is safe as a path and in a unit's name.
func newID(now time.Time) string {
	var noise [4]byte
	_, _ = rand.Read(noise[:]) // never fails (crypto/rand)
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(noise[:])
}

// isID says whether text has the form of an id.
func isID(text string) bool {
	return regexp.MustCompile(`^\d{8}T\d{6}Z-[0-9a-f]{8}$`).MatchString(text)
}

// checkID keeps everything but an id out of paths and argument lists.
func checkID(id string) error {
	if isID(id) {
		return nil
	}
	return &problem.Error{Kind: problem.Input, Doing: "finding the transaction",
		Err: fmt.Errorf("%q is not an id of one", id), Fix: "valtctl history lists them."}
}
