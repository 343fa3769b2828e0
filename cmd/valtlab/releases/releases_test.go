package releases

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"ipivs.com/valtctl/cmd/valtlab/images"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// built are images of both releases that hold nothing.
func built(t *testing.T) map[string][]images.Image {
	t.Helper()
	all := map[string][]images.Image{}
	database, err := random.Image(64, 1) // the same in all: a release with another one would have to say so
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range Versions() {
		for _, name := range []string{"db", "engine", "messaging", "web"} {
			image, err := random.Image(64, 1)
			if err != nil {
				t.Fatal(err)
			}
			if name == "db" {
				image = database
			}
			all[version] = append(all[version], images.Image{Repository: images.Prefix + name, Image: image})
		}
	}
	return all
}

var testKeys = Keys{IPIVS: "-----BEGIN PGP PUBLIC KEY BLOCK-----", Docker: "-----BEGIN PGP PUBLIC KEY BLOCK-----"}

func clock() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// vendor has published both releases.
func vendor(t *testing.T) Repository {
	t.Helper()
	dir := t.TempDir()
	r := Repository{Dir: filepath.Join(dir, "release"), Keys: filepath.Join(dir, "keys"), Root: filepath.Join(dir, "root.json"), Now: clock}
	if err := r.Publish(built(t), testKeys, Options{Agent: &Agent{"6.4.1", []byte("the agent")}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// read refreshes a site's view of the repository in dir, whose state is kept in state.
func read(t *testing.T, root, dir, state string) (*release.Repository, error) {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	trusted, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	r, err := release.Open(release.Options{URL: server.URL + "/", Root: trusted, Dir: state, HTTP: server.Client(), Now: clock})
	if err != nil {
		return nil, err
	}
	return r, r.Refresh(t.Context())
}

func TestSitesReadWhatWasPublished(t *testing.T) {
	v := vendor(t)
	site, err := read(t, v.Root, v.Dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[string]string{"stable": "6.4.1", "canary": "6.4.2"} {
		if got, err := site.Channel(t.Context(), channel); err != nil || got != want {
			t.Errorf("channel %s: %s, %v", channel, got, err)
		}
	}
	agent, err := site.Target(t.Context(), release.AgentPath("6.4.1"))
	if err != nil || string(agent) != "the agent" {
		t.Errorf("agent: %q, %v", agent, err)
	}
}

// variables are what the plan knows for one host with both roles.
func variables(ssl string) map[string]string {
	return map[string]string{
		"VALT_SITE": "practice", "VALT_NAME": "valt.example", "VALT_HOST": "app1", "VALT_ADDRESS": "10.0.4.10", "VALT_SSL": ssl,
		"VALT_SCHEME": "https", "VALT_WEB_PORT": "443", "VALT_STREAM_PORT": "444", "VALT_RECORDINGS": "/srv/valt",
		"VALT_CERTIFICATE": "/etc/valt/tls/certificate.pem", "VALT_KEY": "/etc/valt/tls/key.pem", "VALT_LICENCE": "/etc/valt/licence/wowza.key",
		"VALT_APP_ADDRESS": "10.0.4.10", "VALT_MEDIA_ADDRESSES": "10.0.4.21", "VALT_CAMERAS": "10.0.9.11:554", "VALT_CODENAME": "noble",
	}
}

// What the practice site's vendor publishes its own command would publish as well.
func TestThePracticeReleasesAskForNothingThatTheyMayNot(t *testing.T) {
	all := built(t)
	for _, version := range Versions() {
		r, err := Describe(version, all[version], testKeys)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Judge(t.Context(), r.Manifest, r.Files); err != nil {
			t.Errorf("release %s: %v", version, err)
		}
	}
}

func TestComposeFilesBecomeContainers(t *testing.T) {
	v := vendor(t)
	site, err := read(t, v.Root, v.Dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range Versions() {
		m, err := site.Manifest(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		for role, want := range map[string]string{"app": "valt-db valt-messaging valt-web", "media": "valt-engine"} {
			if version == Migrating && role == "app" {
				want = "valt-db valt-messaging valt-migrate valt-web"
			}
			content, err := site.Compose(t.Context(), m, role)
			if err != nil {
				t.Fatal(err)
			}
			vars := variables("true")
			for name, setting := range m.Settings {
				vars["VALT_SETTING_"+strings.ToUpper(name)] = setting.Default
			}
			stack, err := plan.Services(t.Context(), plan.Compose{File: "/etc/valt/compose/" + role + ".yaml", Content: content, Site: "practice", Role: role, Disrupts: step.Container,
				Release: version, Vars: vars, Images: m.Images, Platform: "linux/amd64"})
			if err != nil {
				t.Fatalf("%s of %s: %v", role, version, err)
			}
			var names []string
			for _, c := range stack.Containers {
				names = append(names, c.Name)
				if once := c.Service == "migrate"; once != (c.Spec.Restart == "no") || !once && c.Spec.Restart != "always" {
					t.Errorf("%s does not come back after a reboot", c.Name)
				}
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s of %s: %s", role, version, got)
			}
			for _, check := range m.Roles[role].Health {
				if _, err := plan.Expand(check.URL, vars); err != nil {
					t.Errorf("%s of %s: health %s: %v", role, version, check.Name, err)
				}
			}
		}
	}
}

func TestSecretsOfComposeFilesAreMade(t *testing.T) {
	for role, made := range map[string]release.Role{"app": appRole("6.4.1"), "media": mediaRole("6.4.1")} {
		content, err := composeFiles.ReadFile("compose/" + role + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range made.Passwords {
			if !strings.Contains(string(content), p.Name+": { file: "+p.Path+" }") {
				t.Errorf("%s: the password %s is made and not used", role, p.Path)
			}
		}
		if used := strings.Count(string(content), "{ file: "); used != len(made.Passwords) {
			t.Errorf("%s: %d secrets are used and %d made", role, used, len(made.Passwords))
		}
	}
}

func TestPublishingAgainIsSeen(t *testing.T) {
	v, state := vendor(t), t.TempDir()
	if _, err := read(t, v.Root, v.Dir, state); err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(v.Root)
	if err != nil {
		t.Fatal(err)
	}
	changed := built(t)
	for range 2 { // changed, then unchanged
		if err := v.Publish(changed, testKeys, Options{}); err != nil {
			t.Fatal(err)
		}
		site, err := read(t, v.Root, v.Dir, state)
		if err != nil {
			t.Fatalf("a site that has seen the former releases: %v", err)
		}
		m, err := site.Manifest(t.Context(), Stable)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := changed[Stable][0].Digest()
		if got := m.Images[images.Prefix+"db"].Platforms["linux/amd64"].Manifest; got != want.String() {
			t.Errorf("the site sees image %s, published is %s", got, want)
		}
	}
	if after, err := os.ReadFile(v.Root); err != nil || string(after) != string(root) {
		t.Errorf("the root of trust has changed: %v", err)
	}
}

func TestSpoiltRepositoriesAreRefused(t *testing.T) {
	for how, kind := range map[Spoiled]problem.Kind{TamperedTarget: problem.Trust, WrongSignature: problem.Trust, ForeignRoot: problem.Trust, Expired: problem.Trust} {
		t.Run(string(how), func(t *testing.T) {
			v, state, spoilt := vendor(t), t.TempDir(), t.TempDir()
			if err := v.Spoil(t.Context(), spoilt, how); err != nil {
				t.Fatal(err)
			}
			site, err := read(t, v.Root, spoilt, state)
			if err == nil {
				_, err = site.Manifest(t.Context(), Stable)
			}
			if got := problem.KindOf(err); err == nil || got != kind {
				t.Errorf("exit %d, error: %v", got.ExitCode(), err)
			}
			if err := v.Publish(built(t), testKeys, Options{}); err != nil {
				t.Fatal(err)
			}
			if _, err := read(t, v.Root, v.Dir, state); err != nil {
				t.Errorf("after it was mended: %v", err)
			}
		})
	}
	mistaken, err := vendor(t).Mistaken()
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Judge(t.Context(), mistaken.Manifest, mistaken.Files); err == nil || strings.Count(err.Error(), MistakenAsks+" gives the container power") != 2 {
		t.Errorf("of a mistaken release it is said: %v", err)
	}
	if err := vendor(t).Spoil(t.Context(), t.TempDir(), "gently"); err == nil || !strings.Contains(err.Error(), "gently") {
		t.Errorf("an unknown way: %v", err)
	}
}

func TestInterruptedFirstPublicationIsRepeated(t *testing.T) {
	v := vendor(t)
	if err := os.Remove(filepath.Join(v.Dir, "metadata", "timestamp.json")); err != nil {
		t.Fatal(err)
	}
	if err := v.Publish(built(t), testKeys, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, v.Root, v.Dir, t.TempDir()); err != nil {
		t.Error(err)
	}
}
