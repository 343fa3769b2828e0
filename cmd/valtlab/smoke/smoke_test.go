package smoke

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// saying answers each address as a site would, from the container that asks.
type saying map[string]string

func (s saying) Output(_ context.Context, container string, argv ...string) (string, error) {
	said, ok := s[container+" "+argv[len(argv)-1]]
	if !ok {
		return "", errors.New("exit 7: could not connect")
	}
	if strings.HasPrefix(argv[len(argv)-1], "https:") && !slices.Contains(argv, "valt.example:443:10.0.0.10") {
		return "", errors.New("exit 6: the name leads elsewhere")
	}
	return said, nil
}

func site() (Site, saying) {
	return Site{Name: "valt.example", App: netip.MustParseAddr("10.0.0.10"), Release: "6.4.1",
			Media: []Media{{"media1", netip.MustParseAddr("10.0.0.21"), []netip.Addr{netip.MustParseAddr("10.0.0.101")}}}},
		saying{
			"client https://valt.example/":       "<title>VALT 6.4.1</title>",
			"client https://valt.example/health": `{"status":"ok","version":"6.4.1"}`,
			"client http://10.0.0.21:8086/":      "<body>Wowza Streaming Engine 4 build1</body>",
			"media1 rtsp://10.0.0.101/":          "RTSP/1.0 200 OK\r\nCSeq: 1\r\n",
		}
}

func TestAServingSiteAnswersEverything(t *testing.T) {
	s, lab := site()
	answers := All(t.Context(), lab, s)
	if err := Err(answers); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, a := range answers {
		said = append(said, a.Said)
	}
	want := []string{"VALT 6.4.1", `{"status":"ok","version":"6.4.1"}`, "Wowza Streaming Engine 4 build1", "RTSP/1.0 200 OK"}
	if !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}

func TestWhatDoesNotServeIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ question, instead, want string }{
		"engine down":      {"client http://10.0.0.21:8086/", "", "asking http://10.0.0.21:8086/ from client"},
		"health failing":   {"client https://valt.example/health", `{"status":"failing"}`, "not what was expected"},
		"another release":  {"client https://valt.example/", "VALT 6.3.0", "does not say 6.4.1"},
		"camera refuses":   {"media1 rtsp://10.0.0.101/", "RTSP/1.0 401 Unauthorized", "from media1"},
		"another web site": {"client https://valt.example/", "It works!", "not what was expected"},
	} {
		t.Run(name, func(t *testing.T) {
			s, lab := site()
			if lab[c.question] = c.instead; c.instead == "" {
				delete(lab, c.question)
			}
			if err := Err(All(t.Context(), lab, s)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to hold %q", err, c.want)
			}
		})
	}
}
