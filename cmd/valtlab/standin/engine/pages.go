package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// versionText is the page that the real engine answers everything with that it knows
// no better answer to.
func versionText() string {
	return "<html><head><title>Wowza Streaming Engine</title></head><body>" + version + " build20240101</body></html>\n"
}

func page(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, text) //nolint:errcheck // the client has gone
	})
}

// versionPage is port 8086's catch-all; it needs no login.
func versionPage() http.Handler { return page(versionText()) }

// managerPage is port 8088's.
func managerPage() http.Handler {
	return page("<html><head><title>Wowza Streaming Engine Manager (stand-in)</title></head>" +
		"<body><h1>Wowza Streaming Engine Manager</h1><p>A stand-in of the practice site: there is nothing to manage.</p></body></html>\n")
}

// webPage is port 8000's: downloads, were there any.
func (e *engine) webPage() http.Handler {
	return page("<html><head><title>Downloads (stand-in)</title></head><body><p>" + version +
		": web server. No video is kept here.</p></body></html>\n")
}

// health asks the version page, for the container's own health check.
func health(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), "Wowza Streaming Engine") {
		return fmt.Errorf("asking %s: it answered %s, not as the engine does", url, response.Status)
	}
	return nil
}
