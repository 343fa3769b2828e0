package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// manifestLine names the line of a manifest that an offset is in.
func manifestLine(data []byte, offset int64) string {
	offset = min(max(offset, 0), int64(len(data)))
	return fmt.Sprintf("manifest.json:%d", 1+bytes.Count(data[:offset], []byte("\n")))
}

// offsets are where the fields of a JSON text are, in bytes: behind their values, or behind
// what their values begin with.
type offsets map[string]int64

// of is where a field stands; of one that is missing, what it is missing from.
func (o offsets) of(field string) int64 {
	for {
		if at, ok := o[field]; ok || field == "" {
			return at
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
}

// fieldOffsets finds the fields of a JSON text, named as findings name them. It reads as far as
// the text can be read.
func fieldOffsets(data []byte) offsets {
	found := offsets{}
	_ = found.read(json.NewDecoder(bytes.NewReader(data)), "") // what cannot be read is not found
	return found
}

func (o offsets) read(d *json.Decoder, field string) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	o[field] = d.InputOffset()
	switch token {
	case json.Delim('{'):
		err = o.readObject(d, field)
	case json.Delim('['):
		for i := 0; d.More() && err == nil; i++ {
			err = o.read(d, fmt.Sprintf("%s[%d]", field, i))
		}
	default:
		return nil
	}
	if err == nil {
		_, err = d.Token() // what closes it
	}
	return err
}

func (o offsets) readObject(d *json.Decoder, field string) error {
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if err := o.read(d, strings.TrimPrefix(fmt.Sprintf("%s.%v", field, key), ".")); err != nil {
			return err
		}
	}
	return nil
}

// decodedTo is where a text was found not to be a manifest; 0 where that is not known.
func decodedTo(data []byte, err error) int64 {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return syntax.Offset
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return wrong.Offset
	}
	if unknown := regexp.MustCompile(`unknown field ("[^"]*")`).FindStringSubmatch(err.Error()); unknown != nil {
		return int64(max(0, bytes.Index(data, []byte(unknown[1]))))
	}
	return 0
}
