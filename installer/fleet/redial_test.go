package fleet_test

import (
	"context"
	"io"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
)

// One opens a lost connection again for all who need it. Who has no time left does not wait for that.
func TestWhoseTimeIsOverDoesNotWaitForAConnection(t *testing.T) {
	t.Parallel()
	o := options(t)
	dial := o.Dial
	var first io.Closer
	dialling, open := make(chan struct{}), make(chan struct{})
	o.Dial = func(ctx context.Context, h site.Host, progress func(done, total int64)) (io.ReadWriteCloser, error) {
		if first != nil {
			close(dialling)
			<-open
		}
		channel, err := dial(ctx, h, progress)
		first = channel
		return channel, err
	}
	media, _ := o.Site.Host("media1")
	f := fleet.New(o, []site.Host{media})
	h := f.Hosts[0]
	if err := h.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context) <-chan error {
		answered := make(chan error, 1)
		go func() {
			_, err := h.Inspect(ctx, agent.InspectRequest{})
			answered <- err
		}()
		return answered
	}
	patient := ask(t.Context())
	<-dialling
	over, cancel := context.WithCancel(t.Context())
	cancel()
	select {
	case err := <-ask(over):
		if err == nil {
			t.Error("it was answered over a connection that is not there")
		}
	case <-time.After(time.Minute):
		t.Error("it waits still")
	}
	close(open)
	if err := <-patient; err != nil {
		t.Errorf("who waited for the connection: %v", err)
	}
}
