package cases

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/images"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// imagesServe runs a release's images by themselves and takes parts of them away.
func imagesServe(ctx context.Context, e *Env) (err error) {
	s := &imageSite{env: e}
	defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx))) }()
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"images loaded", s.load},
		{"the application serves", s.serves},
		{"health without messaging", s.withoutMessaging},
		{"health after the database was killed", s.withoutDatabase},
		{"the application serves over SSL", s.servesSSL},
		{"the engine wants a licence", s.engineWantsLicence},
		{"a killed engine's recording is lost", s.engineLosesRecording},
	} {
		if err := e.Timed(part.name, func() error { return part.run(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// imageSite is the images of one release as containers on the lab's network.
type imageSite struct {
	env  *Env
	refs map[string]string // by image's last name
	made []string          // containers
}

// Last numbers of the containers' addresses, between the client's and the cameras'.
var imageAddresses = map[string]byte{"db": 60, "messaging": 61, "web": 62, "web-ssl": 63, "engine": 64}

func (s *imageSite) address(name string) netip.Addr {
	bytes := s.env.Lab.Subnet().Addr().As4()
	bytes[3] = imageAddresses[name]
	return netip.AddrFrom4(bytes)
}

func (s *imageSite) container(name string) string { return s.env.Lab.Container("images-" + name) }

func (s *imageSite) load(ctx context.Context) error {
	cache, err := s.env.Lab.CacheDir("images")
	if err != nil {
		return err
	}
	set, err := images.Build(ctx, cache, s.env.Lab.RootTar, releases.Stable)
	if err != nil {
		return err
	}
	s.refs = map[string]string{}
	for _, image := range set.Of(releases.Stable) {
		if s.refs[path.Base(image.Repository)], err = image.Load(ctx, s.env.Lab.Engine()); err != nil {
			return err
		}
	}
	return nil
}

// start runs one image. No name is looked up: those of the other parts stand in its hosts
// file, so that a missing part is not asked for outside.
func (s *imageSite) start(ctx context.Context, name, image string, env []string, files ...containers.File) error {
	s.made = append(s.made, name)
	return s.env.Lab.Engine().Run(ctx, containers.Spec{
		Name: s.container(name), Hostname: name, Lab: s.env.Lab.Name(), Kind: "scenario", Image: s.refs[image], Env: env,
		Network: s.env.Lab.Network(), Address: s.address(name),
		Hosts: []string{"db:" + s.address("db").String(), "messaging:" + s.address("messaging").String()},
		Binds: []containers.Bind{{Source: s.env.Lab.Path("hosts", "resolv.conf"), Target: "/etc/resolv.conf", ReadOnly: true}},
	}, files...)
}

func (s *imageSite) remove(ctx context.Context) error {
	var errs []error
	for _, name := range s.made {
		errs = append(errs, s.env.Lab.Engine().Remove(ctx, s.container(name)))
	}
	return errors.Join(errs...)
}

// secret is a password as Compose mounts it.
func secret(name string) containers.File {
	return containers.File{Path: "/run/secrets/" + name, Mode: 0o600, Content: []byte("a-password-of-" + name)}
}

func (s *imageSite) serves(ctx context.Context) error {
	if err := errors.Join(
		s.start(ctx, "db", "db", nil, secret("db-root"), secret("db-app")),
		s.start(ctx, "messaging", "messaging", nil, secret("messaging")),
		s.start(ctx, "web", "web", nil, secret("db-app"), secret("messaging")),
	); err != nil {
		return err
	}
	if err := s.await(ctx, "web", http.StatusOK, map[string]string{"database": "ok", "messaging": "ok", "version": releases.Stable}); err != nil {
		return err
	}
	status, body, err := s.get(ctx, "http://"+s.address("web").String()+"/")
	if err != nil || status != http.StatusOK || !strings.Contains(body, "VALT "+releases.Stable) {
		return fmt.Errorf("the page answers %d %q (%w)", status, body, err)
	}
	return nil
}

// get asks over HTTP. The certificate is not the question here.
func (s *imageSite) get(ctx context.Context, url string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", fmt.Errorf("asking %s: %w", url, err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("asking %s: %w", url, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return 0, "", fmt.Errorf("asking %s: %w", url, err)
	}
	return answer.StatusCode, string(text), nil
}

// imagesWithin is how long the application may take to say what is expected.
const imagesWithin = 5 * time.Minute

// await asks /health until it answers with the status and these fields.
func (s *imageSite) await(ctx context.Context, web string, status int, want map[string]string) error {
	url := "http://" + s.address(web).String() + "/health"
	if web == "web-ssl" {
		url = "https://" + s.address(web).String() + "/health"
	}
	ctx, cancel := context.WithTimeout(ctx, imagesWithin)
	defer cancel()
	var last string
	for {
		got, body, err := s.get(ctx, url)
		if err == nil && got == status && holds(body, want) {
			return nil
		}
		last = fmt.Sprintf("%d %s %v", got, body, err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer %d with %v within %s, but %s", url, status, want, imagesWithin, last)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// holds says whether a JSON object has the fields.
func holds(body string, want map[string]string) bool {
	var said map[string]any
	if json.Unmarshal([]byte(body), &said) != nil {
		return false
	}
	for name, value := range want {
		if text, _ := said[name].(string); text != value {
			return false
		}
	}
	return true
}

func (s *imageSite) withoutMessaging(ctx context.Context) error {
	api, name := s.env.Lab.Engine().API(), s.container("messaging")
	if err := api.ContainerStop(ctx, name, container.StopOptions{}); err != nil {
		return fmt.Errorf("stopping messaging: %w", err)
	}
	if err := s.await(ctx, "web", http.StatusServiceUnavailable, map[string]string{"database": "ok", "status": "failing"}); err != nil {
		return err
	}
	if err := s.env.Lab.Engine().StartContainer(ctx, name); err != nil {
		return err
	}
	return s.await(ctx, "web", http.StatusOK, map[string]string{"messaging": "ok"})
}

// withoutDatabase kills the database, so that it must recover what it had.
func (s *imageSite) withoutDatabase(ctx context.Context) error {
	api, name := s.env.Lab.Engine().API(), s.container("db")
	if err := api.ContainerKill(ctx, name, "SIGKILL"); err != nil {
		return fmt.Errorf("killing the database: %w", err)
	}
	if err := s.await(ctx, "web", http.StatusServiceUnavailable, map[string]string{"messaging": "ok", "status": "failing"}); err != nil {
		return err
	}
	if err := s.env.Lab.Engine().StartContainer(ctx, name); err != nil {
		return err
	}
	return s.await(ctx, "web", http.StatusOK, map[string]string{"database": "ok"})
}

func (s *imageSite) servesSSL(ctx context.Context) error {
	files := []containers.File{secret("db-app"), secret("messaging")}
	for _, name := range []string{"site.pem", "site.key"} {
		content, err := readFile(s.env.Lab.Path(name))
		if err != nil {
			return err
		}
		files = append(files, containers.File{Path: "/etc/valt/tls/" + name, Mode: 0o600, Content: content})
	}
	env := []string{"VALT_SSL=true", "VALT_CERTIFICATE=/etc/valt/tls/site.pem", "VALT_KEY=/etc/valt/tls/site.key"}
	if err := s.start(ctx, "web-ssl", "web", env, files...); err != nil {
		return err
	}
	if err := s.await(ctx, "web-ssl", http.StatusOK, map[string]string{"status": "ok"}); err != nil {
		return err
	}
	if _, _, err := s.get(ctx, "http://"+s.address("web-ssl").String()+"/"); err == nil {
		return errors.New("with SSL it still answers without")
	}
	return nil
}
