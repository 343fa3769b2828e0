//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fdReader reads a terminal without waiting for it for ever.
type fdReader struct{ fd int }

func readerOf(tty *os.File) ttyReader { return fdReader{int(tty.Fd())} }

// lookEvery is how often a waiting reader looks whether it is over.
const lookEvery = 200 * time.Millisecond

func (r fdReader) read(done <-chan struct{}, wait time.Duration) ([]byte, error) {
	for {
		select {
		case <-done:
			return nil, io.EOF
		default:
		}
		within := lookEvery
		if wait > 0 {
			within = wait
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}, int(within.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("waiting for the terminal: %w", err)
		case n == 0 && wait > 0:
			return nil, nil
		case n == 0:
			continue
		}
		buf := make([]byte, 64<<10)
		n, err = unix.Read(r.fd, buf)
		if err != nil {
			return nil, fmt.Errorf("reading from the terminal: %w", err)
		}
		return buf[:n], nil
	}
}
