// Package camera is a camera of the practice site: RTSP on 554 and a page on 80, on
// every address of its container, so that one container can be many cameras. The RTSP is
// real (gortsplib), the picture is not: it describes and plays a stream that shows nothing.
package camera

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// Run is the program with the flags args, until ctx ends.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("camera", flag.ContinueOnError)
	name := flags.String("name", "camera", "what the camera calls itself")
	rtsp := flags.String("rtsp", ":554", "listen address of RTSP")
	http := flags.String("http", ":80", "listen address of the page")
	login := flags.Bool("login", false, "answer 401 to everything")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}
	c, err := start(options{*name, *rtsp, *http, *login, time.Now})
	if err != nil {
		return err
	}
	return c.serve(ctx)
}
