package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// StreamCarried is the controller's handler of what programs on the host say to the port
// that Carry opened.
const StreamCarried = "carried"

// CarryRequest has the agent listen on loopback, for as long as it lives, and carry every
// connection to the controller's handler StreamCarried. Port is the one that it had for the
// same transaction before; 0, or taken meanwhile: any.
type CarryRequest struct {
	Port int `json:"port,omitempty"`
}

// CarryReply is where it listens: on 127.0.0.1, at this port.
type CarryReply struct {
	Port int `json:"port"`
}

// carrier listens on the host for the controller.
type carrier struct {
	open     Opener
	loopback func(port int) (net.Listener, error)
	mu       sync.Mutex
	listen   net.Listener
	under    sync.WaitGroup
}

// maxCarried is how many connections are carried at a time, fewer than the streams that a
// controller takes of a host. Whoever else connects waits: everybody on the host can.
const maxCarried = 32

func loopback(port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// carry begins to listen; a second call tells where it does already.
func (c *carrier) carry(_ context.Context, r CarryRequest) (CarryReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listen == nil {
		l, err := c.loopback(r.Port)
		if err != nil && r.Port != 0 {
			l, err = c.loopback(0)
		}
		if err != nil {
			return CarryReply{}, fmt.Errorf("listening for the host's own programs: %w", err)
		}
		c.listen = l
		c.under.Go(c.accept)
	}
	return CarryReply{Port: c.listen.Addr().(*net.TCPAddr).Port}, nil
}

func (c *carrier) accept() {
	slots := make(chan struct{}, maxCarried)
	for {
		slots <- struct{}{}
		conn, err := c.listen.Accept()
		if err != nil {
			return // closed with the agent
		}
		c.under.Go(func() {
			defer func() { <-slots }()
			c.pass(conn)
		})
	}
}

// pass copies both ways until either side has ended.
func (c *carrier) pass(conn net.Conn) {
	defer conn.Close()
	stream, err := c.open(StreamCarried)
	if err != nil {
		return
	}
	defer stream.Close()
	there := make(chan struct{})
	go func() {
		defer close(there)
		_, _ = io.Copy(stream, conn) // its end is the other side's end
		stream.Close()
	}()
	_, _ = io.Copy(conn, stream)
	conn.Close()
	<-there
}

// close ends it with the agent.
func (c *carrier) close() {
	c.mu.Lock()
	l := c.listen
	c.mu.Unlock()
	if l == nil {
		return
	}
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return
	}
	c.under.Wait()
}
