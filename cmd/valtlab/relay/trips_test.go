package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

func TestTripsAreThoseWaitedFor(t *testing.T) {
	echo := func(conn net.Conn) { _, _ = io.Copy(conn, conn) }
	greet := func(conn net.Conn) {
		_, _ = io.WriteString(conn, "hello\n") // belongs to no trip: nobody asked
		echo(conn)
	}
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		talk  func(conn net.Conn, answers *bufio.Reader) error
		want  int
	}{
		{"nothing but the handshake", echo, func(net.Conn, *bufio.Reader) error { return nil }, 1},
		{"three questions one after the other", echo, func(conn net.Conn, answers *bufio.Reader) error {
			return ask(conn, answers, 1, 1, 1)
		}, 4},
		{"three questions at once", echo, func(conn net.Conn, answers *bufio.Reader) error {
			return ask(conn, answers, 3)
		}, 2},
		{"a greeting, then two questions", greet, func(conn net.Conn, answers *bufio.Reader) error {
			if _, err := answers.ReadString('\n'); err != nil {
				return err
			}
			return ask(conn, answers, 1, 1)
		}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			trips := make(chan int, 1)
			address := start(t, Relay{Delay: 5 * time.Millisecond, Ended: func(n int) { trips <- n }}, c.serve)
			conn := dial(t, address)
			if err := c.talk(conn, bufio.NewReader(conn)); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			if got := <-trips; got != c.want {
				t.Errorf("%d round trips, want %d", got, c.want)
			}
		})
	}
}

// ask sends batches of lines, each batch after the answers to the one before.
func ask(conn net.Conn, answers *bufio.Reader, batches ...int) error {
	for _, n := range batches {
		for range n {
			if _, err := fmt.Fprintln(conn, "question"); err != nil {
				return err
			}
		}
		for range n {
			if _, err := answers.ReadString('\n'); err != nil {
				return err
			}
		}
	}
	return nil
}
