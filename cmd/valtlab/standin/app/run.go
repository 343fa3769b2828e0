// Package app is the first process of the practice site's application images: it
// hands out the passwords that Compose mounts for root alone, prepares what the
// component needs and becomes it, or stays as its supervisor where there are two. No
// shell is involved. It knows nothing of the media engine, which is its own first process.
package app

import (
	"context"
	"fmt"
	"os"
)

// Run is the program with the arguments args: web, db, migrate, messaging or health URL. It ends
// with ctx; messaging does not come back, since this process becomes Node.js.
func Run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "web":
		return web(ctx, os.Getenv)
	case len(args) == 1 && args[0] == "db":
		return database(ctx)
	case len(args) == 1 && args[0] == "migrate":
		return migrate(ctx)
	case len(args) == 1 && args[0] == "messaging":
		return messaging()
	case len(args) == 2 && args[0] == "health":
		return health(ctx, args[1])
	}
	return fmt.Errorf("reading the command line: want web, db, migrate, messaging or health URL, not %q", args)
}
