package release_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/release"
)

func TestManifestErrorsNameFieldAndRemedy(t *testing.T) {
	tests := map[string]struct{ old, new, field string }{
		"schema":           {`valtctl/release/v1`, `valtctl/release/v9`, "schema"},
		"version":          {`"version": "6.4.2",`, `"version": "../6",`, "version"},
		"from":             {`">= 6.2"`, `"newer"`, "from"},
		"beside":           {`"media": ">= 6.3, < 7"`, `"media": "=> 6"`, "beside.media"},
		"ubuntu":           {`"24.04"`, `"noble"`, "ubuntu[1]"},
		"apt address":      {`https://apt.ipivs.com/ubuntu`, `apt.ipivs.com`, "apt[0].uri"},
		"apt key and ring": {`"key": "-----`, `"keyring": "/usr/share/keyrings/x.gpg", "key": "-----`, "apt[0].keyring"},
		"package name":     {`"valt-host"`, `"valt host"`, "packages[1].name"},
		"package role":     {`"roles": ["app", "media"]`, `"roles": ["db"]`, "packages[1].roles[0]"},
		"image with tag":   {`docker.ipivs.com/valt/web`, `docker.ipivs.com/valt/web:6`, "images.web.repository"},
		"short digest":     {`sha256:1111`, `sha256:11`, "images.web.platforms.linux/amd64.manifest"},
		"role": {`"media": {
      "compose"`, `"recorder": {
      "compose"`, "roles.recorder"},
		"foreign compose":    {`releases/6.4.2/compose.app.yaml`, `releases/6.4.1/compose.app.yaml`, "roles.app.compose"},
		"health address":     {`http://127.0.0.1:8086/`, `127.0.0.1`, "roles.media.health[0].url"},
		"health duration":    {`"2m"`, `"2"`, "roles.media.health[0].within"},
		"health status":      {`"status": 200, "within": "2m"`, `"within": "2m"`, "roles.media.health[0].status"},
		"relative directory": {`/var/lib/valt/db`, `var/lib/valt/db`, "roles.app.directories[0].path"},
		"dotted directory":   {`/var/lib/valt/db`, `/var/lib/../etc`, "roles.app.directories[0].path"},
		"mode":               {`"0750"`, `"rwx"`, "roles.app.directories[0].mode"},
		"owner":              {`"uid": 999`, `"uid": -1`, "roles.app.directories[0].uid"},
		"password name":      {`{"name": "db"`, `{"name": "../db"`, "roles.app.passwords[0].name"},
		"setting name":       {`"recording_days"`, `"Recording-Days"`, "settings.Recording-Days"},
		"drain":              {`"app": "wait"`, `"app": "hope"`, "drain.app"},
		"control port":       {`[8087]`, `[80870]`, "drain.control_ports[0]"},
		"key path":           {`"/etc/valt/tls/key.pem"`, `""`, "paths.key"},
		"dongle":             {`"0529"`, `"529"`, "dongle.vendor"},
		"unknown field":      {`"drain":`, `"drian":`, "drian"},
		"trailing text":      {"\n}\n", "\n}\n{}", "follows"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			good := publishtest.Manifest("6.4.2")
			bad := bytes.Replace(good, []byte(test.old), []byte(test.new), 1)
			if bytes.Equal(good, bad) {
				t.Fatal("the case changes nothing")
			}
			_, err := release.ParseManifest(bad)
			wantProblem(t, err, problem.Input, test.field)
		})
	}
}

func TestAllManifestErrorsAreReportedAtOnce(t *testing.T) {
	text := strings.NewReplacer(`"0750"`, `"x"`, `[8087]`, `[0]`, `"2m"`, `""`).Replace(string(publishtest.Manifest("6.4.2")))
	_, err := release.ParseManifest([]byte(text))
	if got := len(problem.All(err)); got != 3 {
		t.Errorf("%d problems, want 3: %v", got, err)
	}
}

// Whatever is accepted can be written and read again to the same manifest.
func FuzzParseManifest(f *testing.F) {
	f.Add(publishtest.Manifest("6.4.2"))
	f.Add([]byte(`{"schema":"valtctl/release/v1","roles":{"app":{}}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := release.ParseManifest(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := release.ParseManifest(again); err != nil {
			t.Errorf("accepted, but not after writing it again: %v", err)
		}
	})
}

func BenchmarkParseManifest(b *testing.B) {
	data := publishtest.Manifest("6.4.2")
	for b.Loop() {
		if _, err := release.ParseManifest(data); err != nil {
			b.Fatal(err)
		}
	}
}
