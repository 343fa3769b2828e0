package txn

import (
	"crypto/rand"
	"fmt"
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
func (s *Store) giveRoomBack(id string) {
	_ = durable.Remove(s.roomFile(id))
	s.makeRoomForSteps(id)
}

// roomPart is how large a file of the steps' room is, in bytes.
const roomPart = 16 << 20

func (s *Store) stepsRoomFile(id string, part int) string {
	return filepath.Join(s.dir, id, fmt.Sprintf("room-%d", part))
}

// setStepsRoomAside sets aside what the steps' ways back write, in files of roomPart.
func (s *Store) setStepsRoomAside(id string, bytes int64) error {
	noise := make([]byte, min(bytes, roomPart))
	_, _ = rand.Read(noise) // never fails (crypto/rand)
	for part := 0; bytes > 0; part++ {
		n := min(bytes, roomPart)
		bytes -= n
		if info, err := os.Stat(s.stepsRoomFile(id, part)); err == nil && info.Size() == n {
			continue
		}
		if err := durable.WriteFile(s.stepsRoomFile(id, part), noise[:n], 0o600); err != nil {
			return fmt.Errorf("setting room aside for the way back: %w", err)
		}
	}
	return nil
}

// makeRoomForSteps lets the steps' ways back have what was set aside for them. Where a file stays they
// have the less, and say so themselves.
func (s *Store) makeRoomForSteps(id string) {
	for part := 0; ; part++ {
		if _, err := os.Lstat(s.stepsRoomFile(id, part)); err != nil {
			return
		}
		_ = durable.Remove(s.stepsRoomFile(id, part))
	}
}
