package release_test

import "maps"

// mistake is one in an otherwise good manifest: new where old stood, and the field that is
// refused for it.
type mistake struct{ old, new, field string }

// mistakes are made in publishtest.Manifest("6.4.2"), one at a time.
func mistakes() map[string]mistake {
	all := releaseMistakes()
	for _, more := range []map[string]mistake{aptMistakes(), imageMistakes(), roleMistakes(), fileMistakes(), hostMistakes(), databaseMistakes()} {
		maps.Copy(all, more)
	}
	return all
}

func releaseMistakes() map[string]mistake {
	return map[string]mistake{
		"schema":        {`valtctl/release/v1`, `valtctl/release/v9`, "schema"},
		"version":       {`"version": "6.4.2",`, `"version": "../6",`, "version"},
		"from":          {`">= 6.2"`, `"newer"`, "from"},
		"beside":        {`"media": ">= 6.3, < 7"`, `"media": "=> 6"`, "beside.media"},
		"ubuntu":        {`"24.04"`, `"noble"`, "ubuntu[1]"},
		"unknown field": {`"drain":`, `"drian":`, "drian"},
		"trailing text": {"\n}\n", "\n}\n{}", "follows"},
	}
}

// databaseMistakes put a whole section in front of drain, with one mistake in each.
func databaseMistakes() map[string]mistake {
	const good = `"image": "web", "user": "root", "password": "db"`
	section := func(text, field string) mistake {
		return mistake{`"drain": {`, `"database": {` + text + `}, "drain": {`, field}
	}
	return map[string]mistake{
		"database image":       section(`"image": "mysql", "user": "root", "password": "db"`, "database.image"),
		"database user":        section(`"image": "web", "user": "root'@'%", "password": "db"`, "database.user"),
		"database password":    section(`"image": "web", "user": "root", "password": "root"`, "database.password"),
		"database from":        section(good+`, "from": "newer", "migrate": {"within": "5m"}`, "database.from"),
		"migration service":    section(good+`, "migrate": {"service": "../x", "within": "5m"}`, "database.migrate.service"),
		"migration time":       section(good+`, "migrate": {"service": "migrate", "within": "5"}`, "database.migrate.within"),
		"irreversible by what": section(good+`, "irreversible": true`, "database.irreversible"),
	}
}

func aptMistakes() map[string]mistake {
	return map[string]mistake{
		"apt name":             {`"name": "valt", "uri"`, `"name": "VALT", "uri"`, "apt[0].name"},
		"apt address":          {`https://apt.ipivs.com/ubuntu`, `apt.ipivs.com`, "apt[0].uri"},
		"no suite":             {`["{codename}"]`, `[]`, "apt[0].suites"},
		"no component":         {`["main"]`, `[]`, "apt[0].components"},
		"apt key and ring":     {`"key": "-----`, `"keyring": "/usr/share/keyrings/x.gpg", "key": "-----`, "apt[0].keyring"},
		"neither key nor ring": {`"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"`, `""`, "apt[0].keyring"},
		"replaced file":        {`["main"],`, `["main"], "replaces": ["sources.list"],`, "apt[0].replaces[0]"},
		"package name":         {`"valt-host"`, `"valt host"`, "packages[1].name"},
		"package version":      {`"valt-host", "version": "6.4.2"`, `"valt-host", "version": "newest"`, "packages[1].version"},
		"package role":         {`"roles": ["app", "media"]`, `"roles": ["db"]`, "packages[1].roles[0]"},
	}
}

func imageMistakes() map[string]mistake {
	const web = "images.web.platforms.linux/amd64"
	return map[string]mistake{
		"image with tag": {`docker.ipivs.com/valt/web`, `docker.ipivs.com/valt/web:6`, "images.web.repository"},
		"short digest":   {`sha256:1111`, `sha256:11`, web + ".manifest"},
		"config digest":  {`sha256:2222`, `sha512:2222`, web + ".config"},
		"index digest":   {`"linux/amd64": {`, `"linux/amd64": {"index": "sha256:12",`, web + ".index"},
		"image size":     {`"size": 1000`, `"size": 0`, web + ".size"},
	}
}

func roleMistakes() map[string]mistake {
	return map[string]mistake{
		"role": {`"media": {
      "compose"`, `"recorder": {
      "compose"`, "roles.recorder"},
		"foreign compose": {`releases/6.4.2/compose.app.yaml`, `releases/6.4.1/compose.app.yaml`, "roles.app.compose"},
		"health name":     {`"name": "application"`, `"name": ""`, "roles.app.health[0].name"},
		"health address":  {`http://127.0.0.1:8086/`, `127.0.0.1`, "roles.media.health[0].url"},
		"health duration": {`"2m"`, `"2"`, "roles.media.health[0].within"},
		"health status":   {`"status": 200, "within": "2m"`, `"within": "2m"`, "roles.media.health[0].status"},
	}
}

func fileMistakes() map[string]mistake {
	return map[string]mistake{
		"relative directory": {`/var/lib/valt/db`, `var/lib/valt/db`, "roles.app.directories[0].path"},
		"dotted directory":   {`/var/lib/valt/db`, `/var/lib/../etc`, "roles.app.directories[0].path"},
		"mode":               {`"0750"`, `"rwx"`, "roles.app.directories[0].mode"},
		"owner":              {`"uid": 999`, `"uid": -1`, "roles.app.directories[0].uid"},
		"group":              {`"uid": 999`, `"gid": -1`, "roles.app.directories[0].gid"},
		"password name":      {`{"name": "db"`, `{"name": "../db"`, "roles.app.passwords[0].name"},
		"password path":      {`"/etc/valt/secrets/db"`, `"secrets/db"`, "roles.app.passwords[0].path"},
		"short password":     {`{"name": "db",`, `{"name": "db", "length": 15,`, "roles.app.passwords[0].length"},
		"password owner":     {`{"name": "db",`, `{"name": "db", "uid": -1,`, "roles.app.passwords[0].uid"},
		"password group":     {`{"name": "db",`, `{"name": "db", "gid": -1,`, "roles.app.passwords[0].gid"},
		"file path":          {`"/etc/valt/nginx.conf"`, `"/etc/valt/"`, "roles.app.files[0].path"},
		"file mode":          {`"0644"`, `"0"`, "roles.app.files[0].mode"},
	}
}

func hostMistakes() map[string]mistake {
	return map[string]mistake{
		"setting name":     {`"recording_days"`, `"Recording-Days"`, "settings.Recording-Days"},
		"drain":            {`"app": "wait"`, `"app": "hope"`, "drain.app"},
		"control port":     {`[8087]`, `[80870]`, "drain.control_ports[0]"},
		"quiet":            {`"quiet_seconds": 30`, `"quiet_seconds": -1`, "drain.quiet_seconds"},
		"certificate path": {`"/etc/valt/tls/cert.pem"`, `"cert.pem"`, "paths.certificate"},
		"key path":         {`"/etc/valt/tls/key.pem"`, `""`, "paths.key"},
		"licence path":     {`"/etc/valt/licence"`, `"/etc/../licence"`, "paths.licence"},
		"compose folder":   {`"/etc/valt/compose"`, `"/"`, "paths.compose"},
		"dongle":           {`"0529"`, `"529"`, "dongle.vendor"},
		"dongle's product": {`"0001"`, `"1"`, "dongle.product"},
		"dongle's device":  {`"/dev/bus/usb"`, `"bus/usb"`, "dongle.device"},
		"dongle's service": {`"service": "engine"`, `"service": ""`, "dongle.service"},
	}
}
