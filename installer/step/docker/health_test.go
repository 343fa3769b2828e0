package docker

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
)

// healthServer answers with TLS for valt.example on loopback.
func healthServer(t *testing.T, answer http.HandlerFunc) (url, ca string) {
	t.Helper()
	certificate, pem := certificateFor(t, net.IPv4(127, 0, 0, 2), "valt.example")
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "https://valt.example:" + port, string(pem)
}

func TestHealthAsksTheHostItselfUnderTheSitesName(t *testing.T) {
	url, ca := healthServer(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "valt.example:") && !strings.HasPrefix(r.Host, "127.0.0.1:") {
			t.Errorf("asked as %s", r.Host)
		}
		io.WriteString(w, "database ok, message ok")
	})
	loopback := strings.Replace(url, "valt.example", "127.0.0.1", 1)
	s := steptest.MakeStep(t, HealthKind(), HealthParams{ServerName: "valt.example", TrustPEM: ca, Checks: []HealthCheck{
		{Name: "page", URL: url + "/health", Status: 200, Contains: "message ok"},
		{Name: "loopback", URL: loopback, Status: 200},
	}})
	if f, err := s.Inspect(t.Context(), engineMachine(nil)); err != nil || f.Change {
		t.Errorf("%+v, %v", f, err)
	}
	if err := s.Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Error(err)
	}
}

func TestHealthWaitsUntilTheHostServes(t *testing.T) {
	var asked atomic.Int64
	url, ca := healthServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
		}
	})
	s := steptest.MakeStep(t, HealthKind(), HealthParams{ServerName: "valt.example", TrustPEM: ca, Checks: []HealthCheck{{Name: "page", URL: url, Status: 200}}})
	f, err := s.Inspect(t.Context(), engineMachine(nil))
	if err != nil || !f.Change || !strings.Contains(f.Diff, `503 Service Unavailable "starting"`) {
		t.Errorf("%+v, %v", f, err)
	}
	if err := s.Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Error(err)
	}
}

func TestHealthFailureTellsTheLastAnswerOfEveryCheck(t *testing.T) {
	url, ca := healthServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		io.WriteString(w, "<h1>It works!</h1>"+strings.Repeat("x", 1000))
	})
	_, other := certificateFor(t, net.IPv4(127, 0, 0, 2), "valt.example")
	check := func(name, path string) HealthCheck {
		return HealthCheck{Name: name, URL: url + path, Status: 200, Contains: "database ok", Within: "10ms"}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refused := HealthCheck{Name: "refused", URL: "http://" + closed.Addr().String(), Status: 200, Within: "10ms"}
	for name, c := range map[string]struct {
		params HealthParams
		want   []string
	}{
		"wrong content":     {HealthParams{TrustPEM: ca, Checks: []HealthCheck{check("page", "/")}}, []string{"It works!", `wanted 200 with "database ok"`}},
		"redirect":          {HealthParams{TrustPEM: ca, Checks: []HealthCheck{check("page", "/moved")}}, []string{"302 Found"}},
		"another authority": {HealthParams{TrustPEM: string(other), Checks: []HealthCheck{check("page", "/")}}, []string{"x509"}},
		"two at once":       {HealthParams{TrustPEM: ca, Checks: []HealthCheck{check("page", "/"), refused}}, []string{"It works!", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.params.ServerName = "valt.example"
			err := steptest.MakeStep(t, HealthKind(), c.params).Apply(t.Context(), engineMachine(nil))
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("does not say %q: %v", want, err)
				}
			}
			var told *problem.Error
			if !errors.As(err, &told) || !strings.Contains(told.Fix, "valtctl logs") {
				t.Errorf("no way out: %v", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the answer is not cut: %d bytes", len(err.Error()))
			}
		})
	}
}

func TestHealthParametersThatAreRefused(t *testing.T) {
	for name, p := range map[string]HealthParams{
		"address":     {Checks: []HealthCheck{{URL: "valt.example/health"}}},
		"patience":    {Checks: []HealthCheck{{URL: "http://valt.example", Within: "soon"}}},
		"authorities": {TrustPEM: "not PEM"},
	} {
		if _, err := newHealth(p); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
