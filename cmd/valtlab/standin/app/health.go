package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// health asks a component of this container: http(s)://… must answer 200, and
// greeting://host:port must say something, as MariaDB does once its passwords are set.
func health(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("reading the address: %w", err)
	}
	if u.Scheme == "greeting" {
		return greeting(ctx, u.Host)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, text, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", text, err)
	}
	// The certificate has the site's name, not loopback's, and whether clients accept
	// it is not the question here.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", text, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("asking %s: %s", text, answer.Status)
	}
	return nil
}

func greeting(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("waiting for a greeting: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for a greeting of %s: %w", address, err)
	}
	return nil
}
