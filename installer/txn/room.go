package txn

import (
	"crypto/rand"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/repos/durable"
)

// room is how many bytes a transaction sets aside for its way back: journal lines, each with
// the reasons of a failure, and files that are put back.
const room = 2 << 20

func (s *Store) roomFile(id string) string { return filepath.Join(s.dir, id, "room") }

// setRoomAside writes a file that spendRoom removes when the disk is full. It holds noise, so
// that a file system that compresses has room set aside as well.
func (s *Store) setRoomAside(id string) error {
	if info, err := os.Stat(s.roomFile(id)); err == nil && info.Size() == room {
		return nil
	}
	noise := make([]byte, room)
	_, _ = rand.Read(noise) // never fails (crypto/rand)
	return durable.WriteFile(s.roomFile(id), noise, 0o600)
}

// spendRoom makes room with what was set aside; false: there is nothing, any more.
func (s *Store) spendRoom(id string) bool {
	if _, err := os.Lstat(s.roomFile(id)); err != nil {
		return false
	}
	return durable.Remove(s.roomFile(id)) == nil
}

// giveRoomBack ends the setting aside. Room that stays harms nobody: its transaction's folder
// goes one day.
func (s *Store) giveRoomBack(id string) { _ = durable.Remove(s.roomFile(id)) }
