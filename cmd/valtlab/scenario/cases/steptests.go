package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/images"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/program"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// stepsFolder is where the tests lie on a server.
const stepsFolder = "/opt/step-tests"

// stepPackages are the packages whose tests ask real programs of the machine, and are run where those are of today.
// Their tests are compiled, since a server has no Go.
var stepPackages = []string{"installer/step/docker", "installer/step/apt"}

// stepTests runs the tests of steps inside servers of the newest Ubuntu: one whose engine keeps images with
// containerd, and one that keeps them as before. In a sample it is one of them, as the seed draws.
func stepTests(ctx context.Context, e *Env) (err error) {
	files, err := compiledTests(ctx)
	if err != nil {
		return err
	}
	var all []show
	for _, store := range []string{lab.GraphDriver, lab.Containerd} {
		all = append(all, show{"with " + store, func(ctx context.Context) error { return e.stepTestsOn(ctx, store, files) }})
	}
	return e.parts(ctx, all...)
}

// stepTestsOn runs them on a server of its own, which is taken away again.
func (e *Env) stepTestsOn(ctx context.Context, store string, files []containers.File) (err error) {
	name := "steps-" + store
	if err := e.removeAny(ctx, name); err != nil { // left by a run that was killed
		return err
	}
	host, err := e.Lab.AddHost(ctx, lab.Host{Name: name, Ubuntu: ubuntu.Newest, ImageStore: store})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.removeAny(context.WithoutCancel(ctx), name)) }()
	if _, err := e.Lab.Output(ctx, name, "sh", "-ec", stepEngine); err != nil {
		return fmt.Errorf("installing the engine on %s: %w", name, err)
	}
	status, err := e.Lab.Output(ctx, name, "docker", "info", "--format", "{{.ServerVersion}} {{json .DriverStatus}}")
	if err != nil {
		return err
	}
	if strings.Contains(status, "io.containerd.snapshotter") != (store == lab.Containerd) {
		return fmt.Errorf("the engine of %s does not keep images with %s: %s", name, store, status)
	}
	version, _, _ := strings.Cut(status, " ")
	e.Measure(name, "Ubuntu %s, Docker %s with images kept by %s", host.Ubuntu, version, store)
	if err := e.Lab.Engine().CopyTo(ctx, e.Lab.Container(name), files); err != nil {
		return err
	}
	var errs []error
	for _, p := range stepPackages {
		errs = append(errs, e.Timed(store+": "+p, func() error { return e.runStepTests(ctx, name, p) }))
	}
	return errors.Join(errs...)
}

// stepEngine installs the engine as a person would, from the part of Ubuntu's archive that the lab serves.
const stepEngine = `export DEBIAN_FRONTEND=noninteractive
sed -i -e 's|//archive|//us.archive|' -e 's/ restricted universe multiverse//' -e 's/ [a-z]*-backports//' /etc/apt/sources.list.d/ubuntu.sources
apt-get -q update
apt-get -q install --yes --no-install-recommends docker.io $(apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli)
docker version`

// runStepTests runs one package's tests, and tells the tests that failed with what they said.
func (e *Env) runStepTests(ctx context.Context, host, pkg string) error {
	var out bytes.Buffer
	code, err := e.Lab.Exec(ctx, host, containers.Exec{
		Argv: []string{"/bin/sh", "-ec", "cd " + path.Join(stepsFolder, pkg) + " && exec env VALTCTL_TEST_EVERYTHING=1 VALTCTL_TEST_PROBE=" +
			stepsFolder + "/probe ./tests -test.timeout 30m"},
		Stdout: &out, Stderr: &out,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("the tests of %s fail on %s (exit %d): %s", pkg, host, code, failures(out.String()))
	}
	return nil
}

// failures are what a run of tests said of those that failed, as much as a person reads.
func failures(said string) string {
	const most = 4000 // bytes
	at := strings.Index(said, "--- FAIL")
	said = said[max(at, 0):]
	return said[:min(len(said), most)]
}

// compiledTests are the tests of the packages as programs, and the program that their images hold.
func compiledTests(ctx context.Context) (files []containers.File, err error) {
	root, err := images.ModuleRoot(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "valtlab-step-tests-")
	if err != nil {
		return nil, fmt.Errorf("making room for tests: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	compile := func(to, pkg string, how ...string) error {
		file := filepath.Join(dir, "compiled")
		command := exec.CommandContext(ctx, "go", append(how, "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, "./"+pkg)...)
		command.Dir = root
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
		if err := program.Run(command); err != nil {
			return fmt.Errorf("compiling %s: %w", pkg, err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading the compiled %s: %w", pkg, err)
		}
		files = append(files, containers.File{Path: path.Join(stepsFolder, to), Mode: 0o755, Content: content})
		return nil
	}
	if err := compile("probe", "installer/step/docker/testdata/probe", "build"); err != nil {
		return nil, err
	}
	for _, p := range stepPackages {
		if err := compile(path.Join(p, "tests"), p, "test", "-c", "-vet=off"); err != nil {
			return nil, err
		}
	}
	return files, nil
}
