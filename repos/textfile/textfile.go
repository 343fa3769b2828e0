// Package textfile reads text as people hand it over: with CRLF ends of lines, a byte order
// mark, or in UTF-16, as editors on Windows write it. It exists so that there is one reader
// for all of it: what is behind it sees UTF-8 with plain ends of lines, and an edited file is
// written again in the form that it had. It knows nothing of what the text says, and keeps
// away from what is no text, such as certificates in DER.
package textfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how characters are written as bytes.
type encoding int

const (
	utf8Text encoding = iota
	utf16Little
	utf16Big
)

// Form is how an editor wrote a file, beside what it says. The zero Form is UTF-8 without a
// mark and with LF.
type Form struct {
	encoding encoding
	mark     bool // a byte order mark stands before the text
	crlf     bool // every line ends in CRLF
}

// Odd is why a file is no text: at a line and column, both from 1, stands what no text of its
// encoding has.
type Odd struct {
	Line, Column int
	What         string
}

func (o *Odd) Error() string { return fmt.Sprintf("line %d, column %d: %s", o.Line, o.Column, o.What) }

// Fix is what to do about what is not text.
const Fix = "save the file as UTF-8 (in Notepad: Save as, Encoding: UTF-8)"

// Read reads a file of at most limit bytes and decodes it. Its error says where the file is no
// text, and not what stands there: it may be a secret.
func Read(path string, limit int64) ([]byte, error) {
	raw, err := ReadRaw(path, limit)
	if err != nil {
		return nil, err
	}
	text, _, err := Decode(raw)
	if odd := new(Odd); errors.As(err, &odd) {
		return nil, fmt.Errorf("reading %s: %w", path, &Odd{Line: odd.Line, Column: odd.Column, What: "it is not text in UTF-8"})
	}
	return text, err
}

// ReadRaw reads a file of at most limit bytes, as it is.
func ReadRaw(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return raw, nil
}

// Decode is a file's text in UTF-8, with LF where all its lines end in CRLF, and the form
// that it had. The error is an *Odd; what is returned beside it is the text with each odd
// byte read as Latin-1, so that more can be said of it.
func Decode(raw []byte) ([]byte, Form, error) {
	form := formOf(raw)
	var text []byte
	var err error
	switch body := raw[len(form.bytesOfMark()):]; form.encoding {
	case utf8Text:
		text, err = checked(body)
	default:
		text, err = fromUTF16(body, form.order())
	}
	if n := bytes.Count(text, []byte("\n")); n > 0 && n == bytes.Count(text, []byte("\r\n")) {
		form.crlf, text = true, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	return text, form, err
}

// Encode writes text, in UTF-8 and with LF, in a form that Decode told.
func (f Form) Encode(text []byte) []byte {
	if f.crlf {
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	if f.encoding != utf8Text {
		units := utf16.Encode([]rune(string(text)))
		text = make([]byte, 0, 2*len(units))
		for _, u := range units {
			text = f.order().AppendUint16(text, u)
		}
	}
	return append(bytes.Clone(f.bytesOfMark()), text...)
}

// order is UTF-16's order of bytes.
func (f Form) order() byteOrder {
	if f.encoding == utf16Big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (f Form) bytesOfMark() []byte {
	switch {
	case !f.mark:
		return nil
	case f.encoding == utf8Text:
		return []byte("\xef\xbb\xbf")
	}
	return f.order().AppendUint16(nil, 0xfeff)
}

// formOf tells the encoding by the mark (RFC 3629 section 6, RFC 2781 section 3.2), or where
// there is none by the first character, which in all that is read here is one of ASCII.
func formOf(raw []byte) Form {
	for _, f := range []Form{{mark: true}, {utf16Little, true, false}, {utf16Big, true, false}} {
		if bytes.HasPrefix(raw, f.bytesOfMark()) {
			return f
		}
	}
	if len(raw) >= 4 && raw[0] != 0 && raw[1] == 0 && raw[2] != 0 && raw[3] == 0 {
		return Form{encoding: utf16Little}
	}
	if len(raw) >= 4 && raw[0] == 0 && raw[1] != 0 && raw[2] == 0 && raw[3] != 0 {
		return Form{encoding: utf16Big}
	}
	return Form{}
}

// checked is UTF-8 that is UTF-8, or else what it may have been meant as.
func checked(body []byte) ([]byte, error) {
	if utf8.Valid(body) {
		return body, nil
	}
	var text []byte
	var odd error
	for len(body) > 0 {
		r, size := utf8.DecodeRune(body)
		if r == utf8.RuneError && size == 1 {
			r = rune(body[0])
			if odd == nil {
				odd = place(text, fmt.Sprintf("the byte 0x%02X is not UTF-8; in Latin-1 it is %q", body[0], r))
			}
		}
		text, body = utf8.AppendRune(text, r), body[size:]
	}
	return text, odd
}

func fromUTF16(body []byte, order byteOrder) ([]byte, error) {
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = order.Uint16(body[2*i:])
	}
	var text []byte
	var odd error
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			r = utf8.RuneError
			if i+1 < len(units) {
				r = utf16.DecodeRune(rune(units[i]), rune(units[i+1]))
			}
			if r == utf8.RuneError && odd == nil {
				odd = place(text, fmt.Sprintf("0x%04X is half a character of UTF-16", units[i]))
			} else if r != utf8.RuneError {
				i++
			}
		}
		text = utf8.AppendRune(text, r)
	}
	if len(body)%2 != 0 && odd == nil {
		odd = place(text, "half a character of UTF-16 ends the file")
	}
	return text, odd
}

// place says what is odd behind a text.
func place(before []byte, what string) *Odd {
	start := bytes.LastIndexByte(before, '\n') + 1
	return &Odd{Line: 1 + bytes.Count(before, []byte("\n")), Column: 1 + utf8.RuneCount(before[start:]), What: what}
}

// byteOrder reads and writes.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}
