// Package engine stands in for the media engine of the practice site, which is
// proprietary. It speaks just enough of what others ask of the real one: the RTMP
// handshake, the version page, the REST interface with digest authentication, and
// recordings that are lost when it is stopped while one is active. It is not a media
// server: it moves no video, and everything it says carries the word stand-in.
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
)

// Run is the program with the arguments args, of which there are none, or the word health,
// until ctx ends. Its options are in the environment (readOptions).
func Run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == "health" {
		return health(ctx, "http://127.0.0.1:8086/")
	}
	if len(args) > 0 {
		return fmt.Errorf("reading the command line: it takes nothing, or the word health")
	}
	o, err := readOptions(os.Getenv)
	if err != nil {
		return err
	}
	e, err := newEngine(o, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	return e.serve(ctx)
}
