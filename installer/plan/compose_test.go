package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// composeOf is a Compose file of the app role with two images and a few variables.
func composeOf(content string) Compose {
	image := func(name string) release.Image {
		return release.Image{Repository: "docker.ipivs.com/valt/" + name, Platforms: map[string]release.ImagePlatform{
			"linux/amd64": {Index: "sha256:i-" + name, Manifest: "sha256:m-" + name, Config: "sha256:c-" + name, Size: 1000},
		}}
	}
	return Compose{
		File: "/etc/valt/compose/compose.app.yaml", Content: []byte(content),
		Site: "st-marys", Role: "app", Disrupts: step.Container, Release: "6.4.1", Platform: "linux/amd64",
		Vars:   map[string]string{"VALT_NAME": "valt.example", "VALT_RECORDINGS": "/srv/valt", "VALT_EMPTY": ""},
		Images: map[string]release.Image{"web": image("web"), "db": image("db")},
	}
}

// everything uses every attribute that is translated.
const everything = `
services:
  web:
    image: web
    restart: always
    command: ["serve", "--name", "${VALT_NAME}"]
    entrypoint: /entry
    environment: {NAME: "${VALT_NAME}", PRICE: "5$$"}
    user: "33:33"
    group_add: ["44"]
    working_dir: /app
    hostname: web
    init: true
    read_only: true
    ports: ["80:8080", "127.0.0.1:53:53/udp"]
    volumes: ["data:/data", "${VALT_RECORDINGS}:/recordings:ro", {type: bind, source: /var/lib/valt/y, target: /y}]
    secrets: [db, {source: db, target: /etc/pw}]
    tmpfs: [/run, "/tmp:size=64m"]
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {test: [CMD, check], interval: 5s, timeout: 2s, retries: 3, start_period: 1m}
    ulimits: {nofile: 1000, nproc: {soft: 1, hard: 2}}
    devices: [/dev/null]
    device_cgroup_rules: ["c 189:* rmw"]
    extra_hosts: ["b=10.0.0.1", "a:10.0.0.2"]
    dns: 10.0.0.53
    stop_grace_period: 30s
    stop_signal: SIGQUIT
    mem_limit: 1g
    shm_size: 64m
    pids_limit: 100
    logging: {driver: json-file, options: {max-size: "1m"}}
    security_opt: ["no-new-privileges:true"]
    cap_add: [NET_BIND_SERVICE]
    cap_drop: [ALL]
    sysctls: {net.core.somaxconn: 1024}
    labels: {owner: valt}
    networks: {default: {aliases: [www]}}
  db: {image: db, restart: always}
volumes: {data: {}}
secrets: {db: {file: /etc/valt/secrets/db}}
`

func TestServicesTranslatesEveryAttribute(t *testing.T) {
	stack, err := Services(t.Context(), composeOf(everything))
	if err != nil {
		t.Fatal(err)
	}
	yes, thirty := true, 30
	want := docker.ContainerSpec{
		Entrypoint: []string{"/entry"}, Command: []string{"serve", "--name", "valt.example"},
		Env: map[string]string{"NAME": "valt.example", "PRICE": "5$"}, User: "33:33", GroupAdd: []string{"44"},
		WorkingDir: "/app", Hostname: "web", Labels: map[string]string{"owner": "valt"}, Restart: "always",
		StopSignal: "SIGQUIT", StopSeconds: &thirty, Init: &yes, ReadOnly: true,
		Health:   &docker.ContainerHealth{Test: []string{"CMD", "check"}, Interval: "5s", Timeout: "2s", StartPeriod: "1m0s", Retries: 3},
		Networks: []docker.ContainerNetwork{{Name: "valt_default", Aliases: []string{"web", "www"}}},
		Ports:    []docker.ContainerPort{{Published: 80, Target: 8080, Protocol: "tcp"}, {HostIP: "127.0.0.1", Published: 53, Target: 53, Protocol: "udp"}},
		DNS:      []string{"10.0.0.53"}, ExtraHosts: []string{"a:10.0.0.2", "b:10.0.0.1"},
		Mounts: []docker.ContainerMount{
			{Type: "volume", Source: "valt_data", Target: "/data", Labels: map[string]string{"com.docker.compose.project": "valt", "com.docker.compose.volume": "data"}},
			{Type: "bind", Source: "/srv/valt", Target: "/recordings", ReadOnly: true},
			{Type: "bind", Source: "/var/lib/valt/y", Target: "/y"},
			{Type: "bind", Source: "/etc/valt/secrets/db", Target: "/run/secrets/db", ReadOnly: true},
			{Type: "bind", Source: "/etc/valt/secrets/db", Target: "/etc/pw", ReadOnly: true},
		},
		Tmpfs:             map[string]string{"/run": "", "/tmp": "size=64m"},
		Devices:           []docker.ContainerDevice{{Source: "/dev/null", Target: "/dev/null", Permissions: "rwm"}},
		DeviceCgroupRules: []string{"c 189:* rmw"}, CapAdd: []string{"NET_BIND_SERVICE"}, CapDrop: []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges:true"}, Sysctls: map[string]string{"net.core.somaxconn": "1024"},
		Ulimits: []docker.ContainerUlimit{{Name: "nofile", Soft: 1000, Hard: 1000}, {Name: "nproc", Soft: 1, Hard: 2}},
		ShmSize: 64 << 20, Memory: 1 << 30, PidsLimit: 100,
		LogDriver: "json-file", LogOptions: map[string]string{"max-size": "1m"},
	}
	// The database comes first: the web server depends on it.
	if names := containerNames(stack); !slices.Equal(names, []string{"valt-db", "valt-web"}) {
		t.Errorf("containers in order %v", names)
	}
	if d := cmp.Diff(want, stack.Containers[1].Spec); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]docker.NetworkParams{{Name: "valt_default", Site: "st-marys", Project: "valt", Network: "default"}}, stack.Networks); d != "" {
		t.Error(d)
	}
}

func containerNames(s Stack) []string {
	var names []string
	for _, c := range s.Containers {
		names = append(names, c.Name)
	}
	return names
}

func TestServicesPinsImagesAndPutsEndpointsIn(t *testing.T) {
	c := composeOf(`services: {a: {image: web}, b: {image: docker.ipivs.com/valt/web}, c: {image: "docker.ipivs.com/valt/db@sha256:i-db"}}`)
	c.Endpoints = map[string]string{"docker.ipivs.com": "mirror.example.com:5000"}
	stack, err := Services(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []docker.ImageParams{
		{Name: "db", Repository: "mirror.example.com:5000/valt/db", Digests: docker.ImageDigests{Index: "sha256:i-db", Manifest: "sha256:m-db", Config: "sha256:c-db"}, Size: 1000},
		{Name: "web", Repository: "mirror.example.com:5000/valt/web", Digests: docker.ImageDigests{Index: "sha256:i-web", Manifest: "sha256:m-web", Config: "sha256:c-web"}, Size: 1000},
	}
	if d := cmp.Diff(want, stack.Images); d != "" {
		t.Error(d)
	}
	if got := stack.Containers[2].Image.Config; got != "sha256:c-db" {
		t.Errorf("service c runs image %s", got)
	}
}

// TestTheLargestImageComesFirst: its layers' files are gone again before the disk is full.
func TestTheLargestImageComesFirst(t *testing.T) {
	c := composeOf(`services: {a: {image: db}, b: {image: web}, c: {image: api}}`)
	c.Images["api"] = c.Images["db"]
	web := c.Images["web"].Platforms["linux/amd64"]
	web.Size++
	c.Images["web"].Platforms["linux/amd64"] = web
	stack, err := Services(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, image := range stack.Images {
		order = append(order, image.Name)
	}
	if d := cmp.Diff([]string{"web", "api", "db"}, order); d != "" {
		t.Error(d)
	}
}

func TestServicesRefuses(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"build":               {`services: {web: {image: web, build: .}}`, "service web: build"},
		"env_file":            {`services: {web: {image: web, env_file: x}}`, "service web: env_file"},
		"label_file":          {`services: {web: {image: web, label_file: x}}`, "service web: label_file"},
		"privileged":          {`services: {web: {image: web, privileged: true}}`, "service web: privileged: true"},
		"host pid":            {`services: {web: {image: web, pid: host}}`, "service web: pid: host"},
		"host ipc":            {`services: {web: {image: web, ipc: host}}`, "service web: ipc: host"},
		"all capabilities":    {`services: {web: {image: web, cap_add: [ALL]}}`, "service web: cap_add"},
		"no seccomp":          {`services: {web: {image: web, security_opt: ["seccomp:unconfined"]}}`, "service web: security_opt"},
		"foreign network":     {`services: {web: {image: web, network_mode: "container:x"}}`, "service web: network_mode"},
		"scale":               {`services: {web: {image: web, scale: 2}}`, "service web: scale"},
		"container name":      {`services: {web: {image: web, container_name: xyz}}`, "service web: container_name"},
		"unknown attribute":   {`services: {web: {image: web, colour: red}}`, "colour"},
		"misspelt variable":   {`services: {web: {image: web, hostname: "${VALT_NANE:-x}"}}`, "services.web.hostname: the variable VALT_NANE is not known"},
		"caller's variable":   {`services: {web: {image: web, environment: [HOME]}}`, "service web: environment: HOME has no value"},
		"home bind":           {`services: {web: {image: web, volumes: ["~/x:/x"]}}`, "service web: volumes: ~/x"},
		"relative bind":       {`services: {web: {image: web, volumes: ["./x:/x"]}}`, "service web: volumes: ./x"},
		"climbing bind":       {`services: {web: {image: web, volumes: ["/srv/../etc:/x"]}}`, "service web: volumes: /srv/../etc"},
		"engine's socket":     {`services: {web: {image: web, volumes: ["/var/run/docker.sock:/s"]}}`, "power over the host"},
		"folder of a socket":  {`services: {web: {image: web, volumes: ["/var/run:/r"]}}`, "power over the host"},
		"the whole host":      {`services: {web: {image: web, volumes: ["/:/h"]}}`, "power over the host"},
		"anonymous volume":    {`services: {web: {image: web, volumes: ["/v"]}}`, "service web: volumes: /v: an anonymous volume"},
		"undeclared volume":   {`services: {web: {image: web, volumes: ["v:/v"]}}`, "v"},
		"outside volume":      {"services: {web: {image: web}}\nvolumes: {v: {external: true}}", "volumes.v.external"},
		"chosen by engine":    {`services: {web: {image: web, ports: ["80"]}}`, "service web: ports: container port 80"},
		"foreign image":       {`services: {web: {image: "nginx:latest"}}`, `service web: image: "nginx:latest" is none`},
		"tagged image":        {`services: {web: {image: "docker.ipivs.com/valt/web:6"}}`, "none of the release's images"},
		"wrong digest":        {`services: {web: {image: "docker.ipivs.com/valt/web@sha256:other"}}`, "none of the release's images"},
		"secret from env":     {"services: {web: {image: web, secrets: [s]}}\nsecrets: {s: {environment: HOME}}", "secrets.s.environment"},
		"relative secret":     {"services: {web: {image: web, secrets: [s]}}\nsecrets: {s: {file: ./s}}", "service web: secrets: s: ./s"},
		"circle":              {`services: {a: {image: web, depends_on: [b]}, b: {image: web, depends_on: [a]}}`, "depend"},
		"waits for a job":     {`services: {a: {image: web, depends_on: {b: {condition: service_completed_successfully}}}, b: {image: web}}`, "service a: depends_on.b.condition"},
		"other file":          {"include: [x.yaml]\nservices: {web: {image: web}}", "include"},
		"extends":             {`services: {web: {image: web, extends: {file: /etc/passwd, service: x}}}`, "service web: extends"},
		"another project":     {"name: other\nservices: {web: {image: web}}", "name: other"},
		"part of a second":    {`services: {web: {image: web, stop_grace_period: 500ms}}`, "service web: stop_grace_period"},
		"not YAML":            {"services: [", "compose.app.yaml"},
		"nothing":             {"", "empty compose file"},
		"two errors, first":   {`services: {a: {image: x, privileged: true}}`, "privileged"},
		"two errors, second":  {`services: {a: {image: x, privileged: true}}`, `"x" is none of`},
		"two variables, both": {`services: {a: {image: web, user: "${A}", hostname: "${B}"}}`, "variable B"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Services(t.Context(), composeOf(c.content))
			if err == nil {
				t.Fatal("taken")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "compose.app.yaml") {
				t.Errorf("the error does not say %q and the file: %v", c.want, err)
			}
			if problem.KindOf(err) != problem.Input {
				t.Errorf("kind %v", problem.KindOf(err))
			}
		})
	}
}

func TestServicesMissingPlatform(t *testing.T) {
	c := composeOf(`services: {web: {image: web}}`)
	c.Platform = "linux/arm64"
	if _, err := Services(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no image web for linux/arm64") {
		t.Error(err)
	}
}

// The controller's environment must not reach a host: neither as a variable nor as a home.
func TestServicesIgnoresTheControllersEnvironment(t *testing.T) {
	t.Setenv("VALT_FROM_OUTSIDE", "x")
	t.Setenv("COMPOSE_PROJECT_NAME", "other")
	if _, err := Services(t.Context(), composeOf(`services: {web: {image: web, hostname: "$VALT_FROM_OUTSIDE"}}`)); err == nil {
		t.Error("a variable of the controller was used")
	}
	stack, err := Services(t.Context(), composeOf(`services: {web: {image: web, hostname: "a${VALT_EMPTY}b"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := stack.Containers[0]; got.Spec.Hostname != "ab" || got.Project != "valt" {
		t.Errorf("host name %q, project %q", got.Spec.Hostname, got.Project)
	}
}

// A plan's digest depends on the order of everything in it.
func TestServicesIsDeterministic(t *testing.T) {
	content := `services:
  e: {image: web, depends_on: [c, d], networks: [x, y, z], extra_hosts: ["a:1.1.1.1", "b:1.1.1.2", "c:1.1.1.3"]}
  d: {image: web, depends_on: [a]}
  c: {image: db}
  b: {image: db}
  a: {image: web, depends_on: [b]}
networks: {x: {}, y: {}, z: {}}
`
	var first string
	for range 20 {
		stack, err := Services(t.Context(), composeOf(content))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(stack)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(text)
			if names := containerNames(stack); !slices.Equal(names, []string{"valt-b", "valt-a", "valt-c", "valt-d", "valt-e"}) {
				t.Errorf("containers in order %v", names)
			}
		}
		if string(text) != first {
			t.Fatalf("two readings differ:\n%s\n%s", first, text)
		}
	}
}

func TestServicesOfMediaDisruptTheEngine(t *testing.T) {
	c := composeOf(`services: {engine: {image: web, network_mode: host}}`)
	c.Role, c.Disrupts = "media", mediaRole().disrupts
	stack, err := Services(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := stack.Containers[0]; got.Disrupts != step.Engine || len(got.Spec.Networks) != 0 || len(stack.Networks) != 0 {
		t.Errorf("disrupts %s, networks %v %v", got.Disrupts, got.Spec.Networks, stack.Networks)
	}
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"VALT_NAME": "valt.example"}
	if got, err := Expand("https://${VALT_NAME}/ costs 5$$", vars); err != nil || got != "https://valt.example/ costs 5$" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Expand("${VALT_OTHER}", vars); err == nil || !strings.Contains(err.Error(), "VALT_OTHER") {
		t.Errorf("an unknown variable: %v", err)
	}
}

func FuzzServices(f *testing.F) {
	for _, seed := range []string{
		`services: {web: {image: web}}`,
		`services: {web: {image: web, volumes: ["a:/b:ro", "~/x:/y", "/v"], ports: ["80:80/udp"], secrets: [s]}}`,
		"services: {web: {image: web, ulimits: {nofile: {soft: 1, hard: 2}}, tmpfs: /x, environment: [A=b]}}\nvolumes: {a: }",
		"services: {web: &a {image: web}, db: *a}", "services: {web: {image: web, depends_on: [web]}}", "- x", "services: {web: }",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		stack, err := Services(t.Context(), composeOf(content))
		if err != nil {
			return
		}
		for _, c := range stack.Containers {
			if !strings.HasPrefix(c.Image.Config, "sha256:c-") {
				t.Errorf("container %s is not pinned: %+v", c.Name, c.Image)
			}
			for _, m := range c.Spec.Mounts {
				if m.Source == "" || m.Type == "bind" && !strings.HasPrefix(m.Source, "/") {
					t.Errorf("container %s mounts %+v", c.Name, m)
				}
			}
		}
	})
}
