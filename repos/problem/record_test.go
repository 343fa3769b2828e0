package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

func TestProblemsSurviveTheWire(t *testing.T) {
	sent := errors.Join(
		fmt.Errorf("host media1: %w", &Error{Kind: Trust, Doing: "checking", Object: "the index", Err: errors.New("no key"), Fix: "give one"}),
		errors.New("plain"), &Error{Kind: Check, Doing: "looking"})
	line, err := json.Marshal(Records(sent))
	if err != nil {
		t.Fatal(err)
	}
	var records []Record
	if err := json.Unmarshal(line, &records); err != nil {
		t.Fatal(err)
	}
	got := FromRecords(records)
	if got.Error() != sent.Error() || KindOf(got) != Trust {
		t.Errorf("%q arrives as %q, of kind %s", sent, got, KindOf(got))
	}
	if first := All(got)[0]; first.Fix != "give one" {
		t.Errorf("the fix is lost: %+v", first)
	}
	if FromRecords(nil) != nil || Records(nil) != nil {
		t.Error("no problem becomes one")
	}
	if one := FromRecords(records[2:]); one.Error() != "looking" {
		t.Errorf("a single one arrives as %q", one)
	}
}
