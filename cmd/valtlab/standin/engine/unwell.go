package engine

import (
	"net/http"
	"os"
	"strings"
)

// What an engine can be ill with, as the text of the file that makes it so. A file with any
// other text, or none, makes it say on its version page that it is unwell.
const (
	Mute     = "mute"     // it takes every question and answers none
	Confused = "confused" // its REST interface answers what no engine says
)

// ailing serves a port as long as the engine is well. Whether it is ill, and how, is looked up
// at every question, so that it falls ill and recovers while it runs.
func (e *engine) ailing(port string, well http.Handler) http.Handler {
	if e.unwell == "" {
		return well
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(e.unwell)
		illness := strings.TrimSpace(string(text))
		switch {
		case err != nil: // not there: it is well
			well.ServeHTTP(w, r)
		case illness == Mute:
			<-r.Context().Done() // until whoever asked has had enough
		case illness == Confused && port == "rest":
			page(versionText()).ServeHTTP(w, r)
		case illness != Confused && port == "version":
			http.Error(w, "the stand-in is unwell", http.StatusInternalServerError)
		default:
			well.ServeHTTP(w, r)
		}
	})
}
