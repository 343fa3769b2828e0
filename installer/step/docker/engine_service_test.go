package docker

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// startEngine answers like a Docker engine's _ping at a machine's socket.
func startEngine(t *testing.T, h *step.Machine) {
	t.Helper()
	socket := h.Path("/var/run/docker.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("API-Version", "1.41")
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

func TestEngineIsStartedAndEnabledOnlyWhereItIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		runs, enabled bool
		want          string
	}{
		"as it should be": {true, true, ""},
		"stopped":         {false, true, "does not answer"},
		"disabled":        {true, false, "does not start at boot"},
	} {
		t.Run(name, func(t *testing.T) {
			h := steptest.RootMachine(t, nil)
			if c.enabled {
				steptest.Place(t, h, dockerEnabled, "")
			}
			if c.runs {
				startEngine(t, h)
			}
			s := steptest.MakeStep(t, EngineServiceKind(), EngineServiceParams{})
			found, err := s.Inspect(t.Context(), h)
			if err != nil || found.Change != (c.want != "") || !strings.Contains(found.Diff, c.want) {
				t.Errorf("found %+v, %v, want %q", found, err, c.want)
			}
			if err := s.Apply(t.Context(), h); err != nil || h.Run.(steptest.RecordedRuns)["systemctl enable --now docker.service"] != 1 {
				t.Errorf("applying: %v, ran %v", err, h.Run)
			}
		})
	}
}
