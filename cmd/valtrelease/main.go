// Command valtrelease is the vendor's side: it makes keys, signs releases and channels
// and writes the repository that valtctl reads. It is never on a site's host, and it
// neither uploads nor serves: the folder it writes is copied to a web server, with
// metadata/timestamp.json last.
package main

import (
	"os"
	"time"

	"ipivs.com/valtctl/repos/plain"
)

func main() {
	a := &app{out: plain.NewWriter(os.Stdout), err: plain.NewWriter(os.Stderr), now: time.Now}
	os.Exit(a.main(os.Args[1:]))
}
