package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// greets asks whether an SSH server says hello at the address.
func greets(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("dialling sshd: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return fmt.Errorf("dialling sshd: %w", err)
		}
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading sshd's greeting: %w", err)
	}
	if !strings.HasPrefix(line, "SSH-2.0-") {
		return fmt.Errorf("reading sshd's greeting: %q is none", line)
	}
	return nil
}

// answers asks whether the world's web servers and its registry are there.
func (l *Lab) answers(ctx context.Context) error {
	transport, err := l.Transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 3 * time.Second}
	for url, want := range map[string]int{
		"https://" + RegistryName + "/v2/":               http.StatusUnauthorized,
		"http://us.archive.ubuntu.com/":                  http.StatusNotFound,
		"https://acme-v02.api.letsencrypt.org/directory": http.StatusOK,
		"https://" + l.World().String() + "/":            http.StatusNotFound,
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("asking the world: %w", err)
		}
		answer, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("asking the world: %w", err)
		}
		_ = answer.Body.Close() // nothing of it was read
		if answer.StatusCode != want {
			return fmt.Errorf("asking the world for %s: %s", url, answer.Status)
		}
	}
	return nil
}
