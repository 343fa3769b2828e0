package cases

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// What is planted on hosts has this in its name, to be found again.
const plantedName = "planted-for-support"

// word is a random one: a secret, or what stands beside one.
func (e *Env) word(prefix string) string {
	const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	text := []byte(prefix)
	for range 24 {
		text = append(text, letters[e.Random.IntN(len(letters))])
	}
	return string(text)
}

// plants are ten secrets of different kinds in different places. The first six exist: the
// site and its hosts work with them. Of the others nobody knows but by how they look.
func (e *Env) plants(ctx context.Context, site string) ([]plant, error) {
	known, err := e.knownSecrets(ctx)
	if err != nil {
		return nil, err
	}
	odd := e.word("") + "+/ &" + e.word("") // URLs and JSON write it differently
	// The journal cuts a line at 48 KiB (journald.conf(5), LineMax).
	const lineMax = 48 << 10
	half := len(known["database"]) / 2
	marker := make([]string, 10)
	for i := range marker {
		marker[i] = e.word(fmt.Sprintf("marker%d", i))
	}
	return []plant{
		e.inContainerLog("the registry's password in a container's log", "app1", "valt-web", "1", marker[0], known["registry"], "sent "+known["registry"]+" to the registry"),
		e.inUnit("a database's password as base64 in a unit's journal", "app1", 1, marker[1], known["database"], "X-Login "+base64.StdEncoding.EncodeToString([]byte("root:"+known["database"]))),
		e.inUnit("a database's password across a wrapped line", "app1", 2, marker[2], known["database"],
			"\n"+strings.Repeat("-", lineMax-half-1)+" "+known["database"]+" and on"),
		e.inJournal("the licence key in a line of the journal", "media1", marker[3], known["licence"], "asked with <"+known["licence"]+">"),
		e.inFile("a line of the SSH key in a log of packages", "media1", "/var/log/apt/term.log", marker[4], known["identity"], "debug1: "+known["identity"]),
		e.inContainerLog("a line of the certificate's key among a container's errors", "app1", "valt-web", "2", marker[5], known["key"], "loaded "+known["key"]),
		e.inFile("a proxy's login in apt's settings", "app1", "/etc/apt/apt.conf.d/99"+plantedName, marker[6], odd,
			`Acquire::http::Proxy::planted.example "http://squid:`+url.QueryEscape(odd)+`@10.0.0.9:3128";`),
		e.inVariables("a password in the variables of a container", "app1", marker[7], e.word("")),
		e.besideTheSite("a password in a remark of the site file", site, marker[8], e.word("")),
		e.inFile("a private key, a token and a header in a transaction's folder", "app1", "", marker[9], e.word("")+e.word(""), ""),
	}, nil
}

// knownSecrets are those that the site works with.
func (e *Env) knownSecrets(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for name, file := range map[string]string{"registry": "registry_password", "licence": "licences/media1", "identity": "id_ed25519", "key": "site.key"} {
		content, err := readFile(e.Lab.Path(file))
		if err != nil {
			return nil, err
		}
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		all[name] = lines[min(1, len(lines)-1)] // of a key the first line of what is in it
	}
	database, err := e.Lab.Output(ctx, "app1", "cat", "/etc/valt/secrets/db-root")
	all["database"] = strings.TrimSpace(database)
	return all, err
}

// pipe runs a program on a host with a text to read. A secret is never an argument.
func (e *Env) pipe(ctx context.Context, host, text string, argv ...string) error {
	var stderr bytes.Buffer
	code, err := e.Lab.Exec(ctx, host, containers.Exec{Argv: argv, Stdin: strings.NewReader(text), Stderr: &stderr})
	if err == nil && code != 0 {
		err = fmt.Errorf("%s on %s: exit %d: %s", argv[0], host, code, stderr.String())
	}
	return err
}

// inContainerLog writes to a container's standard output (1) or standard error (2).
func (e *Env) inContainerLog(name, host, container, stream, marker, secret, text string) plant {
	return plant{name: name, secret: secret, marker: marker,
		put: func(ctx context.Context) error {
			return e.pipe(ctx, host, marker+" "+text+"\n", "docker", "exec", "-i", container, "tee", "/proc/1/fd/"+stream)
		},
		place: func(ctx context.Context) (string, error) {
			var text bytes.Buffer
			_, err := e.Lab.Exec(ctx, host, containers.Exec{Argv: []string{"docker", "logs", "--tail", "100", container}, Stdout: &text, Stderr: &text})
			return text.String(), err
		}}
}

// inUnit has a unit of valtctl's kind print a text.
func (e *Env) inUnit(name, host string, n int, marker, secret, text string) plant {
	unit, file := fmt.Sprintf("valtctl-%s-%d", plantedName, n), fmt.Sprintf("/run/%s-%d", plantedName, n)
	return plant{name: name, secret: secret, marker: marker,
		put: func(ctx context.Context) error {
			if err := e.pipe(ctx, host, marker+" "+text+"\n", "tee", file); err != nil {
				return err
			}
			_, err := e.Lab.Output(ctx, host, "systemd-run", "--quiet", "--wait", "--collect", "--unit", unit, "cat", file)
			return err
		},
		place: func(ctx context.Context) (string, error) {
			if _, err := e.Lab.Output(ctx, host, "journalctl", "--sync"); err != nil {
				return "", err
			}
			return e.Lab.Output(ctx, host, "journalctl", "--no-pager", "--output=short-iso", "--unit", unit)
		}}
}

func (e *Env) inJournal(name, host, marker, secret, text string) plant {
	return plant{name: name, secret: secret, marker: marker,
		put: func(ctx context.Context) error {
			return e.pipe(ctx, host, marker+" "+text+"\n", "logger", "--tag", plantedName, "--priority", "user.warning")
		},
		place: func(ctx context.Context) (string, error) {
			if _, err := e.Lab.Output(ctx, host, "journalctl", "--sync"); err != nil {
				return "", err
			}
			return e.Lab.Output(ctx, host, "journalctl", "--no-pager", "--identifier", plantedName)
		}}
}

// inFile adds to a file of a host. Without a path it is a file in the newest transaction's
// folder, with a secret of three shapes.
func (e *Env) inFile(name, host, path, marker, secret, text string) plant {
	if path == "" {
		text = `{"password": "` + secret + `", "header": "Authorization: Bearer ` + secret + `", "key": "-----BEGIN RSA PRIVATE KEY-----\n` + secret + `\n-----END RSA PRIVATE KEY-----"}`
	}
	find := func(ctx context.Context) (string, error) {
		if path != "" {
			return path, nil
		}
		folder, err := e.Lab.Output(ctx, host, "find", "/var/lib/valtctl/txn", "-mindepth", "1", "-maxdepth", "1", "-type", "d", "-name", "2*", "-print", "-quit")
		return filepath.Join(folder, plantedName), err
	}
	return plant{name: name, secret: secret, marker: marker,
		put: func(ctx context.Context) error {
			file, err := find(ctx)
			if err != nil {
				return err
			}
			// apt's settings know a remark by its slashes; elsewhere it is a line like others
			return e.pipe(ctx, host, "// "+marker+"\n"+text+"\n", "tee", "-a", file)
		},
		place: func(ctx context.Context) (string, error) {
			file, err := find(ctx)
			if err != nil {
				return "", err
			}
			return e.Lab.Output(ctx, host, "cat", file)
		}}
}

// inVariables makes a container that is none of ours, and never runs.
func (e *Env) inVariables(name, host, marker, secret string) plant {
	return plant{name: name, secret: secret, marker: marker,
		put: func(ctx context.Context) error {
			file := "/run/" + plantedName + ".env"
			if err := e.pipe(ctx, host, "CUSTOMER_PASSWORD="+secret+"\n"+marker+"=1\n", "tee", file); err != nil {
				return err
			}
			image, err := e.Lab.Output(ctx, host, "docker", "inspect", "--format", "{{.Image}}", "valt-web")
			if err != nil {
				return err
			}
			_, err = e.Lab.Output(ctx, host, "docker", "create", "--name", plantedName, "--env-file", file, strings.TrimSpace(image))
			return err
		},
		place: func(ctx context.Context) (string, error) {
			return e.Lab.Output(ctx, host, "docker", "inspect", plantedName)
		}}
}

// besideTheSite writes a remark into the site file, as people do.
func (e *Env) besideTheSite(name, site, marker, secret string) plant {
	return plant{name: name, secret: secret, marker: marker,
		put: func(context.Context) error {
			text, err := readFile(e.Lab.Path(site))
			if err != nil {
				return err
			}
			return os.WriteFile(e.Lab.Path(site), append(text, "# "+marker+" the customer's\n# admin password: "+secret+"\n"...), 0o600)
		},
		place: func(context.Context) (string, error) {
			text, err := readFile(e.Lab.Path(site))
			return string(text), err
		}}
}

// uproot removes what was planted, but for logs: they are what they are.
func (e *Env) uproot(ctx context.Context) error {
	_, container := e.Lab.Output(ctx, "app1", "docker", "rm", "--force", plantedName)
	errs := []error{container}
	for _, host := range []string{"app1", "media1"} {
		for _, folder := range []string{"/run", "/etc/apt/apt.conf.d", "/var/lib/valtctl/txn"} {
			_, err := e.Lab.Output(ctx, host, "find", folder, "-maxdepth", "2", "-type", "f", "-name", "*"+plantedName+"*", "-delete")
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
