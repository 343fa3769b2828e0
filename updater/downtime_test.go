package updater

import (
	"testing"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
)

// What is a container the record's kind says; an id says nothing.
func TestDowntimeIsThatOfContainers(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(second int, kind journal.Kind, id string, of step.KindName) journal.Record {
		return journal.Record{Time: noon.Add(time.Duration(second) * time.Second), Kind: kind, Step: id, StepKind: of}
	}
	for name, c := range map[string]struct {
		records []journal.Record
		want    time.Duration
	}{
		"from the first that goes to the last that serves": {[]journal.Record{
			at(0, journal.Apply, "container/notes", files.KindFile), at(1, journal.Applied, "container/notes", files.KindFile),
			at(10, journal.Apply, "db", docker.KindContainer), at(12, journal.Applied, "db", docker.KindContainer),
			at(13, journal.Apply, "web", docker.KindContainer), at(17, journal.Applied, "web", docker.KindContainer),
			at(30, journal.Apply, "prune", docker.KindPrune), at(40, journal.Applied, "prune", docker.KindPrune)}, 7 * time.Second},
		"until the former one is back": {[]journal.Record{
			at(10, journal.Apply, "web", docker.KindContainer), at(11, journal.Failed, "web", docker.KindContainer), at(15, journal.Undone, "web", docker.KindContainer)}, 5 * time.Second},
		"it never came back": {[]journal.Record{at(10, journal.Apply, "web", docker.KindContainer)}, 0},
		"none was replaced":  {[]journal.Record{at(10, journal.Apply, "container/web", files.KindFile), at(20, journal.Applied, "container/web", files.KindFile)}, 0},
	} {
		if got := downtime(c.records); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
