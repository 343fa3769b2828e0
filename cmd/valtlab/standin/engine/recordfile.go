package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/durable"
)

// The states of a recording on the disk. lost is written in capitals, so that it is
// seen in a listing of a thousand.
const (
	stateRecording = "recording"
	stateComplete  = "complete"
	stateLost      = "LOST"
)

// recordState is what lies beside a recording as <file>.json.
type recordState struct {
	Label   string    `json:"label"`
	Stream  string    `json:"stream"`
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
}

// recordFile is a recording being written. Its content is text that says what it is.
type recordFile struct {
	file  *os.File
	state recordState
	size  int64
}

// newRecordFile starts a recording in dir. The name is the stream's and the time.
func newRecordFile(dir, stream string, now time.Time) (*recordFile, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the folder of the recordings: %w", err)
	}
	path := filepath.Join(dir, stream+"_"+now.UTC().Format("20060102T150405.000")+".mp4")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("starting a recording: %w", err)
	}
	f := &recordFile{file: file, state: recordState{Label: "stand-in", Stream: stream, State: stateRecording, Started: now}}
	if err := writeState(path, f.state); err != nil {
		file.Close()
		return nil, err
	}
	return f, f.write("a recording of the stand-in engine: no video\n")
}

func (f *recordFile) name() string { return f.file.Name() }

// write appends and does not return before the disk has it.
func (f *recordFile) write(text string) error {
	n, err := f.file.WriteString(text)
	f.size += int64(n)
	if err != nil {
		return fmt.Errorf("writing a recording: %w", err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("writing a recording: %w", err)
	}
	return nil
}

// end closes the recording in the state given.
func (f *recordFile) end(state, reason string, now time.Time) error {
	f.state.State, f.state.Reason, f.state.Ended = state, reason, now
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("closing a recording: %w", err)
	}
	return writeState(f.name(), f.state)
}

func writeState(recording string, s recordState) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing the state of %s: %w", recording, err)
	}
	return durable.WriteFile(recording+".json", append(text, '\n'), 0o640)
}

// markLost marks the recordings that a predecessor left unfinished: it was killed and
// could not do so itself. It returns their names.
func markLost(dir string, now time.Time) ([]string, error) {
	states, err := filepath.Glob(filepath.Join(dir, "*", "*.mp4.json"))
	if err != nil {
		return nil, fmt.Errorf("looking for lost recordings: %w", err)
	}
	var lost []string
	for _, path := range states {
		text, err := os.ReadFile(path)
		if err != nil {
			return lost, fmt.Errorf("looking for lost recordings: %w", err)
		}
		var s recordState
		if err := json.Unmarshal(text, &s); err != nil {
			return lost, fmt.Errorf("reading %s: %w", path, err)
		}
		if s.State != stateRecording {
			continue
		}
		s.State, s.Reason, s.Ended = stateLost, "the engine was killed while recording", now
		recording := strings.TrimSuffix(path, ".json")
		if err := writeState(recording, s); err != nil {
			return lost, err
		}
		lost = append(lost, recording)
	}
	return lost, nil
}
