package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/updater"
)

func TestAPreviewSaysWhichMailsVALTWillSend(t *testing.T) {
	p := &updater.Preview{Kind: updater.KindUpdate, From: "6.4.1", To: "6.4.2", Digest: "d", Expected: time.Minute,
		Hosts: []updater.HostPreview{{Host: "media1", Wave: 1, Drained: true, Expected: time.Minute, Steps: []updater.StepPreview{{ID: "container/engine"}}}}}
	print := func(w io.Writer) error { return writePreview(w, p, false) }
	if got := printedBy(t, print); strings.Contains(got, "mails:") {
		t.Errorf("nobody's streams are lost: %s", got)
	}
	p.Offline = []updater.Offline{{Host: "media1", Wave: 1, Expected: time.Minute}}
	want := "\nmails: VALT itself may mail \"stream offline\" about the cameras of media1 (wave 1, for about 1m0s) while drained and changed. "
	if got := printedBy(t, print); strings.Count(got, "stream offline") != 1 || !strings.Contains(got, want) {
		t.Errorf("it says %s", got)
	}
}
