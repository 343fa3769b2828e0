package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/program"
)

// programs are the practice site's own programs that run in containers, each built
// from cmd/valtlab/standin/programs/<name>.
type programs struct {
	app, engine, camera []byte
}

// programsTag keeps them out of a build of ./cmd/..., which leaves what people run.
const programsTag = "standin"

// buildPrograms compiles them for the containers: static, and without anything of this
// machine or of the commit in them, so that unchanged sources give unchanged images.
func buildPrograms(ctx context.Context) (p programs, err error) {
	dir, err := os.MkdirTemp("", "valtlab-programs-")
	if err != nil {
		return p, fmt.Errorf("making room for programs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := ModuleRoot(ctx)
	if err != nil {
		return p, err
	}
	const in = "./cmd/valtlab/standin/programs/"
	build := exec.CommandContext(ctx, "go", "build", "-tags", programsTag, "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", dir, in+"app", in+"engine", in+"camera")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if err := program.Run(build); err != nil {
		return p, fmt.Errorf("building the programs for the images: %w", err)
	}
	for name, content := range map[string]*[]byte{"app": &p.app, "engine": &p.engine, "camera": &p.camera} {
		if *content, err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return p, fmt.Errorf("reading a program for the images: %w", err)
		}
	}
	return p, nil
}

// ModuleRoot is the repository's folder, found from the working folder.
func ModuleRoot(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the sources: %w", err)
	}
	mod := strings.TrimSpace(string(output))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("looking for the sources: run this inside the repository")
	}
	return filepath.Dir(mod), nil
}
