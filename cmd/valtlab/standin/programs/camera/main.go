//go:build standin

// Command camera is a camera of the practice site. All that it does is in the package of
// its name. The tag keeps it out of
// what is built for people: only images are made of it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ipivs.com/valtctl/cmd/valtlab/standin/camera"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := camera.Run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "camera:", err)
		os.Exit(1)
	}
}
