// Command valtlab is the practice site: real hosts in containers, stand-ins for the
// vendor's servers, cameras, faults and scenarios, on one machine and sealed off from
// every other network. One file here is one command; what they do is in the packages
// below. Nothing of it is part of the product.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work in order; after it a second one kills.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}
