package survey

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dialIn connects from inside the network of a process. The thread that entered it is given to nobody
// else afterwards: it ends with its goroutine, which never unlocks it.
func dialIn(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	type dialled struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		runtime.LockOSThread()
		conn, err := enterAndDial(ctx, namespace, network, address)
		done <- dialled{conn, err}
	}()
	d := <-done
	return d.conn, d.err
}

func enterAndDial(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	there, err := os.Open(namespace)
	if err != nil {
		return nil, fmt.Errorf("entering the container's network: %w", err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("entering the container's network: %w", err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address) // to an address, so no other thread looks it up
	if err != nil {
		return nil, fmt.Errorf("asking from inside the container: %w", err)
	}
	return conn, nil
}
