// Command camera is a camera of the practice site: RTSP on 554 and a page on 80, on
// every address of its container, so that one container can be many cameras. The RTSP is
// real (gortsplib), the picture is not: it describes and plays a stream that shows nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	name := flag.String("name", "camera", "what the camera calls itself")
	rtsp := flag.String("rtsp", ":554", "listen address of RTSP")
	http := flag.String("http", ":80", "listen address of the page")
	login := flag.Bool("login", false, "answer 401 to everything")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c, err := start(options{*name, *rtsp, *http, *login, time.Now})
	if err == nil {
		err = c.serve(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "camera:", err)
		os.Exit(1)
	}
}
