// Command probe is what the test images run: it stays until it is told to end, listens, or
// answers as a health check would.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "listen":
		if _, err := net.Listen("tcp", os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "fail":
		fmt.Println(os.Args[2])
		os.Exit(1)
	case "ok":
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	if os.Args[1] == "slow" { // a database that writes down what it has in memory
		took, err := time.ParseDuration(os.Args[2])
		if err != nil {
			os.Exit(1)
		}
		time.Sleep(took)
	}
}
