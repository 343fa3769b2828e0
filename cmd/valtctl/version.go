package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which valtctl this is", Args: cobra.NoArgs,
		RunE: a.action([]string{"text", "json"}, func(context.Context, []string) (report, error) {
			b := readBuild()
			return text(b, b.write), nil
		}),
	}
}

// build is what the Go toolchain stamped into the program (runtime/debug.BuildInfo).
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision, RFC 3339
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) write(w io.Writer) error {
	from := ""
	if b.Revision != "" {
		from = fmt.Sprintf(" (%.12s, %s)", b.Revision, b.Time)
	}
	_, err := fmt.Fprintf(w, "valtctl %s%s, %s, %s\n", b.Version, from, b.Go, b.Platform)
	return err
}
