package docker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// What stands before each piece of a container's log (Engine API, "ContainerAttach", "Stream
// format"): which stream, three zeroes, and its length.
const (
	frameHead   = 8
	frameStderr = 2
	frameErr    = 3 // the engine's own complaint
)

// maxComplaint caps what the engine complains of, in bytes.
const maxComplaint = 4 << 10

// CopyLog copies the pieces of a container's log as they come, standard output and standard
// error alike. docker's stdcopy keeps each whole first, and of a container that writes to a
// terminal it takes what that prints for their length.
func CopyLog(to io.Writer, log io.Reader) error { return CopyStreams(to, to, log) }

// CopyStreams is CopyLog with each of the two streams to a place of its own, also for what a program
// says that runs in a container without a terminal.
func CopyStreams(stdout, stderr io.Writer, log io.Reader) error {
	for {
		var head [frameHead]byte
		if _, err := io.ReadFull(log, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a log: %w", err)
		}
		size := int64(binary.BigEndian.Uint32(head[4:]))
		switch {
		case head[0] > frameErr || head[1] != 0 || head[2] != 0 || head[3] != 0:
			return errors.New("its container writes to a terminal of its own, and such a log cannot be read here")
		case head[0] == frameErr:
			text, err := io.ReadAll(io.LimitReader(log, min(size, maxComplaint)))
			return errors.Join(fmt.Errorf("the engine says: %s", text), err)
		}
		to := stdout
		if head[0] == frameStderr {
			to = stderr
		}
		if n, err := io.CopyN(to, log, size); err != nil {
			return fmt.Errorf("after %d bytes of a piece of %d: %w", n, size, err)
		}
	}
}
