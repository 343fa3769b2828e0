package inputs

import (
	"fmt"
	"io"
	"os"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// maxFile caps each file that a site file names, in bytes.
const maxFile = 1 << 20

// readCapped reads a file of at most maxFile bytes.
func readCapped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return content, nil
}

// missing is the problem of a file that the site file names and that cannot be read.
func missing(s *site.Site, field string, err error) error {
	return &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, field), Err: err,
		Fix: "put the file there, or name another in the site file"}
}

// place is where a field stands in the site file, with its name.
func place(s *site.Site, field string) string { return s.Position(field) + ": " + field }
