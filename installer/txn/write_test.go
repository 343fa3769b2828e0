package txn

import (
	"os"
	"path/filepath"
	"testing"

	"ipivs.com/valtctl/repos/plain"
)

// What a transaction leaves on a host is looked at by people, and says what others have said.
func TestWhatATransactionLeavesCanBeLookedAt(t *testing.T) {
	const word = "image\u009b2J\u202Exe\u200B\U000E0041\x1b[2J"
	path := filepath.Join(t.TempDir(), "summary.json")
	if err := writeJSON(path, Summary{Error: word}, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if shown := plain.Text(string(text)); shown != string(text) {
		t.Errorf("a reader of %s sees something else", shown)
	}
	var s Summary
	if err := readJSON(path, &s); err != nil || s.Error != word {
		t.Errorf("it is %q now, %v", s.Error, err)
	}
}
