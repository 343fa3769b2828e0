package cases

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/icholy/digest"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// engineWantsLicence starts the engine with neither key nor dongle, then with a key.
func (s *imageSite) engineWantsLicence(ctx context.Context) error {
	engine, name := s.env.Lab.Engine(), s.container("engine")
	files := []containers.File{secret("engine"), {Path: "/recordings", Dir: true}}
	if err := s.start(ctx, "engine", "engine", nil, files...); err != nil {
		return err
	}
	ended, failed := engine.API().ContainerWait(ctx, name, container.WaitConditionNotRunning)
	select {
	case result := <-ended:
		if result.StatusCode == 0 {
			return errors.New("the engine ends without a licence and says that all is well")
		}
	case err := <-failed:
		return fmt.Errorf("waiting for the engine: %w", err)
	case <-time.After(imagesWithin):
		return errors.New("the engine runs without a licence")
	}
	env := []string{"VALT_LICENCE=/etc/valt/licence", "VALT_CAMERAS=" + net.JoinHostPort(s.env.Lab.Camera(1).String(), "554"), "ENGINE_POLL=1s",
		"ENGINE_ALLOW=" + s.env.Lab.Controller().String()}
	files = append(files, containers.File{Path: "/etc/valt/licence", Mode: 0o600, Content: []byte("ET1A4-practice")})
	if err := s.start(ctx, "engine", "engine", env, files...); err != nil {
		return err
	}
	return s.engineAnswers(ctx)
}

func (s *imageSite) engineAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, imagesWithin)
	defer cancel()
	for {
		_, body, err := s.get(ctx, "http://"+s.address("engine").String()+":8086/")
		if err == nil && strings.Contains(body, "Wowza Streaming Engine 4") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the engine's version page answers %q (%w)", body, err)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// engineLosesRecording lets the engine record a camera and kills it.
func (s *imageSite) engineLosesRecording(ctx context.Context) error {
	engine, name := s.env.Lab.Engine(), s.container("engine")
	if err := s.record(ctx, s.env.Lab.Camera(1).String()); err != nil {
		return err
	}
	if err := engine.API().ContainerKill(ctx, name, "SIGKILL"); err != nil {
		return fmt.Errorf("killing the engine: %w", err)
	}
	if err := engine.StartContainer(ctx, name); err != nil {
		return err
	}
	if err := s.engineAnswers(ctx); err != nil {
		return err
	}
	states, err := s.recordings(ctx)
	if err != nil {
		return err
	}
	if strings.Count(states, `"state":"LOST"`) != 1 {
		return fmt.Errorf("after the engine was killed while recording its recordings are: %s", states)
	}
	return nil
}

// record creates a recorder over the REST interface and waits until it records.
func (s *imageSite) record(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, imagesWithin)
	defer cancel()
	url := "http://" + s.address("engine").String() + ":8087/v2/servers/_defaultServer_/vhosts/_defaultVHost_/applications/live/instances/_definst_/streamrecorders/" + stream
	if said, err := s.rest(ctx, http.MethodPost, url); err != nil {
		return fmt.Errorf("creating a recorder: %w: %s", err, said)
	}
	for {
		said, err := s.rest(ctx, http.MethodGet, url)
		if err == nil && strings.Contains(said, "Recording in Progress") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the recorder of %s does not record, but says %s (%w)", stream, said, err)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// rest asks the REST interface with the password that the engine was given.
func (s *imageSite) rest(ctx context.Context, method, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", fmt.Errorf("asking the engine: %w", err)
	}
	client := &http.Client{Transport: &digest.Transport{Username: "valt", Password: string(secret("engine").Content)}}
	answer, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("asking the engine: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err == nil && answer.StatusCode >= 300 {
		err = errors.New(answer.Status)
	}
	return string(body), err
}

// recordings are the states of all recordings, as the engine keeps them.
func (s *imageSite) recordings(ctx context.Context) (string, error) {
	stream, _, err := s.env.Lab.Engine().API().CopyFromContainer(ctx, s.container("engine"), "/recordings")
	if err != nil {
		return "", fmt.Errorf("reading the recordings: %w", err)
	}
	defer stream.Close()
	var states strings.Builder
	for archive := tar.NewReader(stream); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return states.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("reading the recordings: %w", err)
		}
		if strings.HasSuffix(header.Name, ".json") {
			if _, err := io.Copy(&states, archive); err != nil {
				return "", fmt.Errorf("reading the recordings: %w", err)
			}
		}
	}
}
