package main

import (
	"io"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
)

func TestWrapped(t *testing.T) {
	for text, want := range map[string]string{
		"short\n":                          "short\n",
		"  one two three four\n    five\n": "  one two\n  three four\n    five\n",
		"averyverylongword x\n":            "averyverylongword\nx\n",
		"  looking at é …\nlast":           "  looking at\n  é …\nlast",
	} {
		if got := wrapped(text, 13); got != want {
			t.Errorf("%q is broken into %q, want %q", text, got, want)
		}
	}
}

// typed is a terminal that was typed into.
type typed struct{ chunks []string }

func (c *typed) read(_ <-chan struct{}, wait time.Duration) ([]byte, error) {
	if len(c.chunks) == 0 {
		if wait > 0 {
			return nil, nil
		}
		return nil, io.EOF
	}
	next := c.chunks[0]
	c.chunks = c.chunks[1:]
	return []byte(next), nil
}

// What is pasted comes as one answer, whatever its lines and in however many pieces; keys
// come one by one, and what is typed ahead is kept for the next prompt.
func TestKeys(t *testing.T) {
	long := "10.0.0.1\r\n10.0.0.2\r\n"
	tests := map[string]struct {
		chunks   []string
		choosing bool
		keys     string // up to Enter
		pasted   string
		gesture  gesture
		left     string
	}{
		"typed":          {chunks: []string{"a", "b", "\r"}, keys: "ab\r"},
		"typed ahead":    {chunks: []string{"ab\r"}, keys: "ab\r"},
		"pasted":         {chunks: []string{long, "10.0.0.3"}, keys: "\r", pasted: long + "10.0.0.3"},
		"pasted behind":  {chunks: []string{"x", long}, keys: "x\r", pasted: long},
		"arrow":          {chunks: []string{"\x1b[B", "\r"}, keys: "\x1b[B\r"},
		"explain":        {chunks: []string{"?"}, choosing: true, keys: "\r", gesture: explain},
		"back":           {chunks: []string{"<"}, choosing: true, keys: "\r", gesture: back},
		"several keys":   {chunks: []string{"\x1b[B\rnext\r"}, choosing: true, keys: "\x1b[B\r", left: "next\r"},
		"cooked newline": {chunks: []string{"a\n"}, keys: "a\r"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			k := &keys{tty: &typed{tt.chunks}}
			defer k.begin(tt.choosing).end()
			var got []byte
			for p := make([]byte, 10); len(got) == 0 || got[len(got)-1] != '\r'; {
				n, err := k.Read(p)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p[:n]...)
			}
			if string(got) != tt.keys || k.pasted != tt.pasted || k.gesture != tt.gesture || string(k.kept) != tt.left {
				t.Errorf("keys %q, pasted %q, gesture %v, left %q", got, k.pasted, k.gesture, k.kept)
			}
		})
	}
}

// Recordings are offered disks, and never the system's own file systems.
func TestDisksForRecordings(t *testing.T) {
	f := facts.Facts{Filesystems: []facts.Filesystem{{Mount: "/", Size: 9 << 30}, {Mount: "/boot/efi", Size: 1 << 20}, {Mount: "/srv/small", Size: 1 << 30}, {Mount: "/srv/valt", Size: 8 << 40},
		{Mount: "/run/x", Size: 1 << 40}, {Mount: "/snap/core/1", Type: "squashfs"}, {Mount: "/mnt/ram", Type: "tmpfs", Size: 1 << 40}}}
	got := disks(f)
	if len(got) != 2 || got[0].Mount != "/srv/valt" || got[1].Mount != "/srv/small" {
		t.Errorf("offered %+v", got)
	}
}
