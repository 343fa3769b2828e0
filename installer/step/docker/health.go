package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// HealthParams are the questions whose answers say that a host serves.
type HealthParams struct {
	Checks []HealthCheck `json:"checks"`
	// ServerName is what clients type. A URL with this host is asked of this host's own
	// loopback address, whatever the name resolves to.
	ServerName string `json:"server_name,omitempty"`
	// At is the address of another host that is asked instead, for ServerName and for
	// loopback addresses alike.
	At       string `json:"at,omitempty"`
	TrustPEM string `json:"trust_pem,omitempty"` // the CAs to verify TLS with; empty: the host's
}

// HealthCheck is one question (release.Health).
type HealthCheck struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	Status   int    `json:"status"`
	Contains string `json:"contains,omitempty"`
	Within   string `json:"within,omitempty"` // a Go duration; empty: 2m
}

// KindHealth names what HealthKind makes.
const KindHealth step.KindName = "health"

// HealthKind waits until a host serves. It changes nothing itself.
func HealthKind() step.Kind {
	return step.KindOf(KindHealth, step.Reversible, func(p HealthParams) (step.Step, error) { return newHealth(p) })
}

// HealthFrom is a health step of one host as another one asks it, at an address.
func HealthFrom(spec step.Spec, at string) (step.Spec, error) {
	var params HealthParams
	if err := json.Unmarshal(spec.Params, &params); err != nil {
		return spec, fmt.Errorf("reading the parameters of step %s: %w", spec.ID, err)
	}
	params.At = at
	raw, err := json.Marshal(params)
	if err != nil {
		return spec, fmt.Errorf("writing the parameters of step %s: %w", spec.ID, err)
	}
	spec.Params = raw
	return spec, nil
}

// Fixed times of the health step.
const (
	healthOnce = 3 * time.Second        // one question, in Inspect and in Apply
	healthPoll = 500 * time.Millisecond // between two tries
	healthRead = 1 << 20                // bytes of an answer that are looked at
)

type health struct {
	HealthParams
	roots  *x509.CertPool
	within []time.Duration // by check
}

func newHealth(p HealthParams) (*health, error) {
	made := &health{HealthParams: p}
	if p.TrustPEM != "" {
		made.roots = x509.NewCertPool()
		if !made.roots.AppendCertsFromPEM([]byte(p.TrustPEM)) {
			return nil, errors.New("reading the certificates of a health step: no PEM certificate in them")
		}
	}
	for _, check := range p.Checks {
		if u, err := url.Parse(check.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("reading the health check %s: %q is not an http or https address", check.Name, check.URL)
		}
		within := defaultWithin
		if check.Within != "" {
			var err error
			if within, err = time.ParseDuration(check.Within); err != nil {
				return nil, fmt.Errorf("reading the health check %s: %w", check.Name, err)
			}
		}
		made.within = append(made.within, within)
	}
	return made, nil
}

func (s *health) Inspect(ctx context.Context, _ *step.Machine) (step.Finding, error) {
	answers := make([]error, len(s.Checks))
	var group errgroup.Group
	for i, check := range s.Checks {
		group.Go(func() error {
			answers[i] = s.ask(ctx, check)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return step.Finding{}, err
	}
	var text strings.Builder
	for i, err := range answers {
		if err != nil {
			fmt.Fprintf(&text, "- %s: %v\n+ %s: healthy\n", s.Checks[i].Name, err, s.Checks[i].Name)
		}
	}
	return step.Finding{Change: text.Len() > 0, Diff: text.String(), Disrupts: step.Nothing}, nil
}

// Apply waits for all checks at once and reports every one that did not come.
func (s *health) Apply(ctx context.Context, h *step.Machine) error {
	failed := make([]error, len(s.Checks))
	var group errgroup.Group
	for i, check := range s.Checks {
		group.Go(func() error {
			failed[i] = s.await(ctx, h, check, s.within[i])
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return errors.Join(failed...)
}

// Undo has nothing to take back: it only looks.
func (s *health) Undo(context.Context, *step.Machine) error { return nil }

// await asks until the answer is right or its time is over.
func (s *health) await(ctx context.Context, h *step.Machine, check HealthCheck, within time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		// Each question has a time of its own, so that the last answer told is the
		// host's and not that the waiting ended.
		err := s.ask(ctx, check)
		if err == nil {
			return nil
		}
		h.Report(step.Progress{Text: fmt.Sprintf("waiting for %s: %v", check.Name, err)})
		if sleep.For(limited, healthPoll) == nil {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for %s: %w", check.Name, ctx.Err())
		}
		return &problem.Error{Kind: problem.Failed, Doing: "waiting for", Object: check.Name,
			Err: fmt.Errorf("not healthy within %s: %w", within, err), Fix: "read what the containers say: valtctl logs"}
	}
}

// ask asks once. The error says what was answered instead.
func (s *health) ask(ctx context.Context, check HealthCheck) error {
	ctx, cancel := context.WithTimeout(ctx, healthOnce)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, check.URL, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", check.URL, err)
	}
	client := s.client(request.URL.Hostname())
	defer client.CloseIdleConnections()
	reply, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", check.URL, errors.Unwrap(err))
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, healthRead))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", check.URL, err)
	}
	if reply.StatusCode != check.Status || !strings.Contains(string(body), check.Contains) {
		return fmt.Errorf("%s answered %s %q, wanted %s", check.URL, reply.Status, clip(strings.TrimSpace(string(body)), lastAnswer), check.wanted())
	}
	return nil
}

// wanted is the right answer in words.
func (c HealthCheck) wanted() string {
	if c.Contains == "" {
		return fmt.Sprint(c.Status)
	}
	return fmt.Sprintf("%d with %q", c.Status, c.Contains)
}

// client asks the host itself: no proxy, no redirect, and the site's own name at loopback.
func (s *health) client(host string) *http.Client {
	dialer := &net.Dialer{}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12, ServerName: s.tlsName(host)},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				at, err := s.where(host, address)
				if err != nil {
					return nil, err
				}
				return dialer.DialContext(ctx, network, at)
			},
		},
	}
}

// where is the address that a question to host is sent to: the site's own name is asked
// of this host, and of another one with At whatever is asked of this one.
func (s *health) where(host, address string) (string, error) {
	here := s.ServerName != "" && strings.EqualFold(host, s.ServerName)
	if !here && (s.At == "" || !isLoopback(host)) {
		return address, nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("reading the address %s: %w", address, err)
	}
	if s.At != "" {
		return net.JoinHostPort(s.At, port), nil
	}
	return net.JoinHostPort("127.0.0.1", port), nil
}

func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// tlsName is the name the certificate must have: the site's, also where the URL says
// loopback.
func (s *health) tlsName(host string) string {
	if isLoopback(host) {
		return s.ServerName
	}
	return host
}
