package main

import (
	"fmt"
	"os"
	"time"

	"github.com/chzyer/readline"
)

// consoleReader reads keys as readline turns a console's events into them.
type consoleReader struct{}

func readerOf(*os.File) ttyReader { return consoleReader{} }

func (consoleReader) read(_ <-chan struct{}, wait time.Duration) ([]byte, error) {
	if wait > 0 {
		return nil, nil // a console cannot be asked whether there is more
	}
	buf := make([]byte, 4096)
	n, err := readline.Stdin.Read(buf)
	if err != nil {
		return nil, fmt.Errorf("reading from the console: %w", err)
	}
	return buf[:n], nil
}
