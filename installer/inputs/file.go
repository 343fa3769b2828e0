package inputs

import (
	"bytes"
	"errors"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// maxFile caps each file that a site file names, in bytes.
const maxFile = 1 << 20

// readRaw reads a file of at most maxFile bytes, as it is.
func readRaw(path string) ([]byte, error) { return textfile.ReadRaw(path, maxFile) }

// readText reads a file of text of at most maxFile bytes, in whatever form its editor wrote it.
func readText(path string) ([]byte, error) { return textfile.Read(path, maxFile) }

// FirstLine is the first line of a file of text: a password's form.
func FirstLine(path string) ([]byte, error) {
	text, err := readText(path)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// missing is the problem of a file that the site file names and that cannot be read.
func missing(s *site.Site, field string, err error) error {
	return &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, field), Err: err, Fix: fixFor(err)}
}

// fixFor is what to do about a file that cannot be read, or is no text.
func fixFor(err error) string {
	if odd := new(textfile.Odd); errors.As(err, &odd) {
		return textfile.Fix
	}
	return "put the file there, or name another in the site file"
}

// place is where a field stands in the site file, with its name.
func place(s *site.Site, field string) string { return s.Position(field) + ": " + field }
