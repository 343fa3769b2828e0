// Command valtctl installs VALT sites and keeps them current. This package is flags,
// prompts, rendering and exit codes: one file a command, listed in root.go, and nothing
// below it prints, exits or reads the clock. What a command does is in installer and
// updater, so that it can be tested without a terminal.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// garbagePercent is how much the heap may grow between two collections. The smallest heap,
// 4 MiB at 100, grows with it.
const garbagePercent = 400

// memoryAim is where collecting becomes more frequent again, in bytes, so that garbage of large
// answers does not pile up: what a stranger may send takes less than 100 MB in all.
const memoryAim = 64 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal cancels; the next one kills
	home, _ := os.UserHomeDir()  // without one, ~ in a site file is refused by name
	// A run is short and small: collecting the few megabytes that it makes costs a fifth of
	// its time on the hosts.
	debug.SetGCPercent(garbagePercent)
	debug.SetMemoryLimit(memoryAim)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, home: home, now: time.Now}
	os.Exit(a.main(ctx, os.Args[1:]))
}
