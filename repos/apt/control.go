package apt

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"pault.ag/go/debian/control"
)

// Paragraph is one stanza of a control file: its fields by their canonical names.
// Names are case-insensitive (deb-control(5)); Get finds them whatever their case.
type Paragraph struct {
	fields map[string]string
}

// Get is a field's value, with the line breaks of a folded one; empty where there is none.
func (p Paragraph) Get(name string) string { return p.fields[strings.ToLower(name)] }

// Words is a field's value split at white space.
func (p Paragraph) Words(name string) []string { return strings.Fields(p.Get(name)) }

// Paragraphs yields the stanzas of a control file (deb822: a .sources file, Packages,
// Release) one after the other. It ends at the first error, which names the stanza. A
// stanza with a field twice is an error, since readers differ on which one counts.
func Paragraphs(r io.Reader) iter.Seq2[Paragraph, error] {
	return func(yield func(Paragraph, error) bool) {
		// Signatures are Open's business: what looks signed here is refused below,
		// because the library would strip a signature without checking it.
		reader, err := control.NewParagraphReader(&unsigned{r: r}, nil)
		for n := 1; err == nil; n++ {
			var raw *control.Paragraph
			if raw, err = reader.Next(); err != nil {
				if !errors.Is(err, io.EOF) {
					yield(Paragraph{}, fmt.Errorf("reading stanza %d: %w", n, err))
				}
				return
			}
			p, bad := fields(raw)
			if bad != nil {
				yield(Paragraph{}, fmt.Errorf("reading stanza %d: %w", n, bad))
				return
			}
			if !yield(p, nil) {
				return
			}
		}
		yield(Paragraph{}, fmt.Errorf("reading a control file: %w", err))
	}
}

func fields(raw *control.Paragraph) (Paragraph, error) {
	if _, stray := raw.Values[""]; stray {
		return Paragraph{}, errors.New("it has a line that belongs to no field")
	}
	p := Paragraph{fields: make(map[string]string, len(raw.Order))}
	for _, name := range raw.Order {
		lower := strings.ToLower(name)
		if _, twice := p.fields[lower]; twice {
			return Paragraph{}, fmt.Errorf("it has the field %s twice", name)
		}
		p.fields[lower] = raw.Values[name]
	}
	return p, nil
}

// unsigned refuses text that begins as a clear-signed one does. It goes on refusing:
// the library looks ahead without minding errors.
type unsigned struct {
	r    io.Reader
	seen []byte
	ok   bool
	err  error
}

const signedStart = "-----BEGIN PGP "

func (u *unsigned) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.r.Read(p)
	if u.ok {
		return n, err
	}
	u.seen = append(u.seen, p[:n]...)
	if strings.HasPrefix(string(u.seen), signedStart) {
		u.err = errors.New("it is clear-signed: open it with its keyring first")
		return 0, u.err
	}
	if len(u.seen) >= len(signedStart) {
		u.ok, u.seen = true, nil
	}
	return n, err
}
