// Command valtctl installs VALT sites and keeps them current. This package is flags,
// prompts, rendering and exit codes: one file a command, listed in root.go, and nothing
// below it prints, exits or reads the clock. What a command does is in installer and
// updater, so that it can be tested without a terminal.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal cancels; the next one kills
	home, _ := os.UserHomeDir()  // without one, ~ in a site file is refused by name
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, home: home, now: time.Now}
	os.Exit(a.main(ctx, os.Args[1:]))
}
