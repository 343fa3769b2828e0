package fleet

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
)

// agents dials agents of this process.
func agents(ctx context.Context, _ site.Host, _ func(done, total int64)) (io.ReadWriteCloser, error) {
	here, there := net.Pipe()
	go func() { _ = agent.Serve(context.WithoutCancel(ctx), there, agent.Handlers{}) }() // it ends with the connection
	return here, nil
}

// Whoever takes the port that a lost connection left may be told its password: it opens nothing.
func TestAPasswordIsGoodOverItsConnectionAlone(t *testing.T) {
	c := NewCarrier(nil)
	defer c.Close()
	media := site.Host{Name: "media1"}
	connect := func() (*agent.Client, step.Carried) {
		t.Helper()
		client, err := Dialer(agents).open(t.Context(), media, event.Silent{}, c)
		if err != nil {
			t.Fatal(err)
		}
		var at step.Carried
		if err := json.Unmarshal(c.secret(media.Name), &at); err != nil {
			t.Fatal(err)
		}
		return client, at
	}
	status := func(address, password string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("bundle", password)
		visitor := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		reply, err := visitor.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		return reply.StatusCode
	}
	if c.secret(media.Name) != nil {
		t.Error("a host that is not connected to is told where the bundle answers")
	}
	client, first := connect()
	if got := status(first.Address, first.Password); got != http.StatusOK {
		t.Errorf("the password of the connection is answered %d", got)
	}
	for _, wrong := range []string{"", "guessed"} {
		if got := status(first.Address, wrong); got != http.StatusUnauthorized {
			t.Errorf("the password %q is answered %d", wrong, got)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	client, second := connect()
	defer client.Close()
	if got := status(second.Address, second.Password); got != http.StatusOK {
		t.Errorf("the password of the next connection is answered %d", got)
	}
	if got := status(second.Address, first.Password); got != http.StatusUnauthorized {
		t.Errorf("the password of the lost connection is answered %d", got)
	}
}
