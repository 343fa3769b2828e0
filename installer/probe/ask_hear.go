package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"unicode"
)

// finding is an answer that settles a question. The asks hand it up as an error, because
// whoever meets it has nothing further to ask.
type finding struct {
	verdict Verdict
	cause   string
}

func (f *finding) Error() string { return f.cause }

// found is a finding with its cause, which is for people: short, no full stop.
func found(v Verdict, format string, args ...any) error {
	return &finding{verdict: v, cause: fmt.Sprintf(format, args...)}
}

// conclude writes down what an ask came to. Nothing in the way means that it works.
func (c *conversation) conclude(ctx context.Context, err error) {
	var f *finding
	switch {
	case err == nil:
		c.out.Verdict = Works
	case errors.Is(ctx.Err(), context.Canceled):
		c.out.Verdict, c.out.Cause = Unknown, "the question was interrupted"
	case errors.As(err, &f):
		c.out.Verdict, c.out.Cause = f.verdict, c.clean(f.cause)
	default:
		c.out.Verdict, c.out.Cause = Unknown, c.clean(err.Error())
	}
}

// note adds a line of evidence.
func (c *conversation) note(format string, args ...any) {
	c.out.Evidence = append(c.out.Evidence, c.clean(fmt.Sprintf(format, args...)))
}

// maxLine is how much of a line the far end may put into a report, in bytes.
const maxLine = 400

// clean makes text that the far end had a hand in fit for a report: one line, printable,
// short, and without the proxy's login, which a proxy's page could quote.
func (c *conversation) clean(text string) string {
	for _, secret := range c.secrets() {
		text = strings.ReplaceAll(text, secret, "…")
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}

// heard is a connection that remembers how its answer began, for saying what it was, and
// takes no more of it than it is allowed to.
type heard struct {
	net.Conn
	first []byte // at most maxFirst bytes
	total int64  // bytes read
	left  int64  // bytes that may still be read
}

const maxFirst = 64

var errTooLong = errors.New("the answer is longer than any that is right")

func (h *heard) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > h.left {
		p = p[:h.left]
	}
	n, err := h.Conn.Read(p)
	h.first = append(h.first, p[:min(n, maxFirst-len(h.first))]...)
	h.total += int64(n)
	h.left -= int64(n)
	return n, err //nolint:wrapcheck // readers compare with io.EOF
}

// silent says how an answer failed to come, and nothing if bytes came that were wrong:
// those are for described.
func (h *heard) silent(err error) string {
	var timeout interface{ Timeout() bool }
	late := errors.As(err, &timeout) && timeout.Timeout()
	switch {
	case late && h.total == 0:
		return "accepts connections and then says nothing"
	case late:
		return "begins to answer and then stops"
	case h.total > 0:
		return ""
	case errors.Is(err, errReset), errors.Is(err, syscall.EPIPE):
		return "accepts connections and resets them as soon as it is asked"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "accepts connections and closes them without a word"
	}
	return ""
}

// unheard is the finding for an answer that did not come or was not of the protocol.
func (h *heard) unheard(err error, protocol string) error {
	if how := h.silent(err); how != "" {
		return found(WrongContent, "%s", how)
	}
	if h.left <= 0 { // which not every reader passes on as errTooLong
		return found(WrongContent, "answers %s with more than a right answer can have", protocol)
	}
	if h.total == 0 {
		return found(WrongContent, "accepts connections and then fails: %v", err)
	}
	if bytes.HasPrefix(h.first, []byte(protocol)) {
		return found(WrongContent, "answers in broken %s: %v", protocol, err)
	}
	return found(WrongContent, "does not speak %s: %s", protocol, h.described())
}

// described is what the far end spoke, by its first bytes.
func (h *heard) described() string {
	switch {
	case isTLS(h.first):
		return "it answers as TLS does"
	case bytes.HasPrefix(h.first, []byte("HTTP/")):
		return "it answers as HTTP does"
	case bytes.HasPrefix(h.first, []byte("RTSP/")):
		return "it answers as RTSP does"
	case bytes.HasPrefix(h.first, []byte("SSH-")):
		return "it answers as SSH does"
	}
	line, _, _ := bytes.Cut(h.first, []byte("\n"))
	return "it answers " + strconv.QuoteToASCII(string(line[:min(len(line), 40)]))
}

// isTLS says whether bytes begin a TLS record: a type from change_cipher_spec to
// application_data and a version 3.x (RFC 8446, section 5.1).
func isTLS(first []byte) bool {
	return len(first) >= 3 && first[0] >= 20 && first[0] <= 23 && first[1] == 3 && first[2] <= 4
}
